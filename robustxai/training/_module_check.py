"""Check, before training, that a module is a classifier that returns logits."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from robustxai._arguments import COUNT, checked
from robustxai._random import RandomStreams

__all__ = ["check_has_weights", "check_module"]

#: Number of rows on which the module is evaluated.
_ROWS = 16
#: Largest difference between two evaluations of one row, relative to the largest logit.
_TOLERANCE = 1e-3
#: Operations that reorder or reshape, by the first part of their node's name in the graph.
_SHAPES = ("View", "UnsafeView", "Reshape", "Squeeze", "Unsqueeze", "Alias", "ToCopy", "T", "Permute", "Transpose")
#: Last operations whose results are not logits.
_NO_LOGITS = {"Softmax": "softmax", "Sigmoid": "sigmoid"}


def check_has_weights(module: nn.Module) -> None:
    """Raise ValueError for a module without parameters, because optimizers need at least one."""
    if not any(True for _ in module.parameters()):
        raise ValueError(f"{type(module).__name__} has nothing to train: it has no parameters.")


@checked(n_classes=COUNT)
def check_module(module: nn.Module, X: np.ndarray, n_classes: int) -> None:
    """Raise ValueError, with a remedy, unless a module turns rows of X into logits that can be explained.

    The module is called in evaluation mode with some rows of X. It must return one finite logit for each class and
    row, not their softmax or sigmoid, because the cross-entropy applies the softmax itself. The logits must have a
    derivative in the inputs and in at least one weight. The logits of a row must not depend on the other rows, and
    must not be random.

    Parameters
    ----------
    module : nn.Module
        Initialized module. The check restores its mode and changes neither its weights nor torch's random generators.
    X : ndarray of shape (n_samples, *features)
        Training inputs.
    n_classes : int
        Number of classes.
    """
    tensors = (*module.parameters(), *module.buffers())
    if any(isinstance(p, (nn.UninitializedParameter, nn.UninitializedBuffer)) for p in tensors):
        return  # a lazy layer gets its shape from the first batch
    name = type(module).__name__
    if not any(p.requires_grad for p in module.parameters()):
        raise ValueError(
            f"{name} has nothing to train: all of its parameters have requires_grad=False. "
            "Call module.requires_grad_(True), or unfreeze the layers to be trained."
        )
    modes = {part: part.training for part in module.modules()}
    place = next(p.device for p in module.parameters())
    rows = torch.as_tensor(np.array(X[:_ROWS]), device=place).requires_grad_()
    try:
        module.eval()
        with torch.enable_grad(), RandomStreams(0).in_use():
            logits = _call(module, rows)
            _check_logits(name, logits, rows, n_classes)
            again = _call(module, rows.detach())
            alone = _alone(module, rows.detach()[:1])
    finally:
        for part, mode in modes.items():
            part.training = mode
    _check_same(
        name, again, logits, "draws random numbers in evaluation mode. Use nn.Dropout, which is off in that mode, or "
        "draw only if module.training is True."
    )  # fmt: skip
    _check_same(
        name, alone, logits[:1], "computes other logits for a row if the other rows change, or fails with one row. "
        "Compute each row by itself in evaluation mode: batch normalization with running statistics, squeeze with an "
        "axis."
    )  # fmt: skip


def _call(module: nn.Module, rows: Tensor) -> Any:
    try:
        return module(rows)
    except NotImplementedError:
        raise
    except Exception as error:
        shape = ", ".join(map(str, rows.shape))
        raise ValueError(
            f"{type(module).__name__} cannot be called with rows of X, a tensor of shape ({shape}) and type float32: "
            f"{type(error).__name__}: {error}"
        ) from error


def _alone(module: nn.Module, row: Tensor) -> Any:
    try:
        return module(row)
    except Exception:  # the calls with several rows have succeeded
        return None


def _check_logits(name: str, logits: Any, rows: Tensor, n_classes: int) -> None:
    if not isinstance(logits, Tensor):
        raise ValueError(
            f"{name} must return one tensor of logits, got a {type(logits).__name__}. Wrap it in a module that returns "
            "only the logits."
        )
    if logits.shape != (len(rows), n_classes):
        hint = ""
        if n_classes == 2 and logits.numel() == len(rows):
            hint = " Two classes need two logits, which the cross-entropy compares: give the last layer two outputs."
        elif logits.shape == (len(rows), n_classes, 1) or logits.shape == (1, len(rows), n_classes):
            hint = " Squeeze the axis of length 1."
        raise ValueError(
            f"{name} must return logits of shape (n_samples, {n_classes}), one column for each class of y, and "
            f"returned {tuple(logits.shape)} for {len(rows)} rows.{hint}"
        )
    if not logits.is_floating_point():
        raise ValueError(f"{name} must return logits that are floating-point numbers, got {logits.dtype}.")
    values = logits.detach()
    if not bool(torch.isfinite(values).all()):
        raise ValueError(
            f"{name} returns NaN or infinity for rows of X before it is trained. Standardize the features, or check "
            "its weights."
        )
    last = _last_operation(logits)
    sums_to_one = bool((values >= 0).all()) and bool(((values.double().sum(dim=-1) - 1).abs() < 1e-4).all())
    if sums_to_one and n_classes > 1:
        last = "softmax"
    if last in _NO_LOGITS.values():
        raise ValueError(
            f"{name} ends in a {last}, and returns probabilities. The classifier takes logits and applies the softmax "
            f"itself. Leave the {last} out."
        )
    if not logits.requires_grad or not _reaches(logits, rows):
        raise ValueError(
            f"{name} has no derivative in its inputs, so that it cannot be explained. Leave out detach(), no_grad(), "
            "rounding and conversions to integers between the inputs and the logits."
        )


def _last_operation(logits: Tensor) -> str | None:
    """Return the name of the last operation on the logits if it is a softmax or sigmoid, None otherwise."""
    node = logits.grad_fn
    while node is not None and node.name().startswith(_SHAPES) and node.next_functions:
        node = node.next_functions[0][0]
    return None if node is None else next((last for op, last in _NO_LOGITS.items() if node.name().startswith(op)), None)


def _reaches(logits: Tensor, rows: Tensor) -> bool:
    """Return True if the graph of the logits leads to the rows. A gradient of zero (dead units only) is allowed."""
    (slope,) = torch.autograd.grad(logits.sum(), rows, allow_unused=True)
    return slope is not None


def _check_same(name: str, results: Any, expected: Tensor, problem: str) -> None:
    expected = expected.detach()
    tolerance = _TOLERANCE * (1 + expected.abs().max())
    if not isinstance(results, Tensor) or results.shape != expected.shape:
        raise ValueError(f"{name} {problem}")
    if not bool(((results.detach() - expected).abs() <= tolerance).all()):
        raise ValueError(f"{name} {problem}")
