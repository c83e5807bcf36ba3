"""Attribution methods of Captum by name, for explaining and scoring."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from types import ModuleType
from typing import Any, ClassVar, get_args

import numpy as np
import torch
from sklearn.utils import check_random_state
from torch import Tensor, nn

from robustxai._arguments import INTEGER_SEED, Choice, check_arguments, checked
from robustxai._random import RandomStreams
from robustxai._short_repr import short_repr
from robustxai._switches import differentiable
from robustxai.explainers._scaled import ScaledAttribution
from robustxai.protocols import CaptumMethod, CaptumOutput

__all__ = ["CaptumExplainer", "captum_explainer"]

#: Captum's methods of one input and one output; its layer, neuron and language-model methods answer other questions.
METHODS = (
    "DeepLift", "DeepLiftShap", "Deconvolution", "FeatureAblation", "FeaturePermutation", "GradientShap",
    "GuidedBackprop", "InputXGradient", "IntegratedGradients", "KernelShap", "LRP", "Lime", "Occlusion", "Saliency",
    "ShapleyValueSampling", "ShapleyValues",
)  # fmt: skip
#: Those that draw with NumPy, whose global generator alone they know.
_DRAW_WITH_NUMPY = ("GradientShap",)
_numpy_global = threading.Lock()


@dataclass(frozen=True, eq=False)
class CaptumExplainer:
    """Result of :func:`captum_explainer`."""

    name: CaptumMethod
    output: CaptumOutput = "logit"
    random_state: int = 0
    kwargs: dict[str, Any] = field(default_factory=dict)

    #: Audits then ask it as a black box.
    has_derivative: ClassVar[bool] = False
    __repr__ = short_repr

    _constraints = {"name": Choice(METHODS), "output": Choice(get_args(CaptumOutput)), "random_state": INTEGER_SEED}

    def __post_init__(self) -> None:
        check_arguments(self)
        _captum()

    @differentiable
    def __call__(
        self, module: nn.Module, x: Tensor, target: Tensor, *, logits: Tensor | None = None, create_graph: bool = False
    ) -> Tensor:
        """Attribution of class `target` at `x`, shaped like x, without a graph; `logits` are of no use here."""
        if create_graph:
            raise NotImplementedError(
                f"Captum's {self.name} has no derivative, so it can neither be trained on nor attacked by gradients; "
                "use one of robustxai's own explainers, or an attack without gradients such as RandomAttack."
            )
        method = getattr(_captum(), self.name)
        own = set(inspect.signature(method.__init__).parameters)
        make: dict[str, Any] = {}
        use: dict[str, Any] = {}
        for key, value in self.kwargs.items():
            # arrays, such as baselines and masks of features, go to where x is; floats in its precision too
            given = torch.as_tensor(value, device=x.device) if isinstance(value, np.ndarray | Tensor) else value
            if isinstance(given, Tensor) and given.is_floating_point():
                given = given.to(x.dtype)
            (make if key in own else use)[key] = given
        model = module if self.output == "logit" else nn.Sequential(module, nn.Softmax(dim=-1))
        with torch.enable_grad(), _seeded(self.name, self.random_state):
            inputs = x.detach().clone().requires_grad_()
            attribution = method(model, **make).attribute(inputs, target=target, **use)
        return attribution.detach()

    def scaled(
        self, module: nn.Module, x: Tensor, target: Tensor, *, logits: Tensor | None = None, create_graph: bool = False
    ) -> ScaledAttribution:
        """The attribution itself: nothing is known of a factor in it."""
        return ScaledAttribution(self(module, x, target, logits=logits, create_graph=create_graph))


@checked(**CaptumExplainer._constraints)
def captum_explainer(
    name: CaptumMethod, *, output: CaptumOutput = "logit", random_state: int = 0, **kwargs: Any
) -> CaptumExplainer:
    """Make an explainer of one of Captum's attribution methods, for explaining and for scoring.

    It has no derivative, so no penalty and no gradient attack can use it. Needs the extra ``captum``.

    Parameters
    ----------
    name : str
        Class in ``captum.attr``, such as "DeepLift", "GradientShap", "Lime" or "Occlusion".
    output : {"logit", "probability"}, default="logit"
        What is explained; unlike elsewhere the logit by default, for which Captum's rules were made.
    random_state : int, default=0
        Seed of methods that sample. Their draws differ between rows, and with the number of rows.
    **kwargs
        Passed to the constructor of the method if it names them, else to its ``attribute``: ``n_steps=50``,
        ``baselines=...``, ``sliding_window_shapes=(3,)``. Arrays become tensors on the device of the inputs.

    Returns
    -------
    CaptumExplainer
        A callable ``(module, x, target) -> attribution`` that can be pickled and cloned.

    Raises
    ------
    ImportError
        If Captum is not installed.
    ValueError
        If there is no such method; the message names the nearest one.

    Notes
    -----
    "FeaturePermutation" shuffles values between the rows of a batch: its rows are not independent of each other.

    What Captum draws with torch comes from a stream of its own. "GradientShap" also draws from NumPy's global
    generator: calls of it take turns, seed that generator and put its state back, and in the meantime other threads
    should not draw from ``np.random``.

    References
    ----------
    Kokhlikyan et al., *Captum: a unified and generic model interpretability library for PyTorch*, 2020.

    Examples
    --------
    >>> captum_explainer("DeepLfit")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    ValueError: captum_explainer: name='DeepLfit' is not known. Did you mean 'DeepLift'? Valid names: ...
    """
    return CaptumExplainer(name, output, random_state, kwargs)


@contextmanager
def _seeded(name: CaptumMethod, seed: int) -> Iterator[None]:
    """Let what the method draws in the block depend on the seed alone."""
    with RandomStreams(seed).in_use():
        if name not in _DRAW_WITH_NUMPY:
            yield
            return
        numpy_global = check_random_state(None)
        with _numpy_global:
            state = numpy_global.get_state()
            numpy_global.seed(seed)
            try:
                yield
            finally:
                numpy_global.set_state(state)


def _captum() -> ModuleType:
    try:
        return import_module("captum.attr")
    except ImportError as error:
        raise ImportError("captum_explainer needs Captum; install it with: pip install 'robustxai[captum]'") from error
