"""Worst points of a threat model, which a penalty looks for in every step."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from robustxai._arguments import COUNT, POSITIVE, Constraint, optional
from robustxai.engine import ExplainedBatch
from robustxai.perturbation import PerturbationSet, ThreatModel, ascend

__all__ = ["ASCENT_ARGUMENTS", "worst_points"]

#: Constraints of the arguments of an ascent.
ASCENT_ARGUMENTS: dict[str, Constraint] = {"max_iter": COUNT, "step_size": optional(POSITIVE)}


def worst_points(
    batch: ExplainedBatch,
    objective: Callable[[Tensor], Tensor],
    threat: ThreatModel,
    draw: Callable[[PerturbationSet, Tensor, torch.Generator | None], Tensor],
    *,
    max_iter: int,
    step_size: float | None = None,
) -> Tensor:
    """Return points of high `objective` near the inputs of a batch, shaped like them, without a graph.

    Parameters
    ----------
    batch : ExplainedBatch
        Inputs, and the source of the random numbers.
    objective : callable
        Points shaped like the inputs to values of shape (*batch,).
    threat : ThreatModel
        Perturbations that are allowed.
    draw : callable
        The set of perturbations, an empty tensor and a generator to the first perturbations, shaped like that tensor.
    max_iter : int
        Steps of the ascent.
    step_size : float, optional
        Length of a step; by default ``min(2.5 / max_iter, 1) * epsilon``, with which several steps can cross the set.
    """
    x = batch.x.detach()
    rows = x.flatten(end_dim=batch.batch_ndim - 1)
    # bound to no rows, because the check of rows against the bounds copies them from the device in every step
    space = threat.bind(np.empty((0, *rows.shape[1:]), np.float32), device=x.device)
    length = step_size if step_size is not None else space.epsilon * min(2.5 / max_iter, 1.0)
    start = batch.draw(lambda shape, generator: draw(space, rows.new_empty(shape), generator), rows.shape)
    delta = ascend(
        lambda points: objective(points.reshape(x.shape)).flatten(),
        rows,
        space,
        max_iter=max_iter,
        step_size=length,
        start=start,
    )
    return x + delta.reshape(x.shape)
