"""Choose the epochs and the weight decay of a training by the loss on held-out rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from torch.utils.data import Subset

from robustxai._arguments import Each, Function, Instance, checked
from robustxai._random import RandomStreams
from robustxai.exceptions import DivergedError
from robustxai.training._net import ObjectiveNet
from robustxai.training._threads import small_net_threads

__all__ = ["HeldOut", "Schedule", "held_out_rows", "watch_held_out"]

#: One row in five of every class is held out.
_ONE_IN = 5
#: Difference in nats by which the last held-out loss may exceed the lowest one without overfitting.
_TOLERANCE = 0.01
#: Held-out losses that differ by less count as equal; the longest schedule among equals is chosen.
_TIE = 0.01
#: Seed of the split and of the watched training, so that all fits on the same rows choose the same schedule.
_SEED = 0


class Schedule(NamedTuple):
    """Number of epochs and weight decay of a training; None keeps the optimizer's own weight decay."""

    max_epochs: int
    weight_decay: float | None

    @property
    def changes(self) -> dict[str, Any]:
        """The schedule as skorch parameters."""
        decay = {} if self.weight_decay is None else {"optimizer__weight_decay": self.weight_decay}
        return {"max_epochs": self.max_epochs, **decay}


@dataclass(frozen=True)
class HeldOut:
    """Losses of a training on four fifths of the rows, on these and on the held-out rows.

    Attributes
    ----------
    schedule : Schedule
        Schedule of the training.
    training : tuple of float
        Mean cross-entropy of the training rows, epoch by epoch.
    held_out : tuple of float
        Mean cross-entropy of the held-out rows at the end of the same epochs.
    too_few_rows : bool
        True if this schedule was the shortest one and a longer one overfitted, or if its held-out loss was not below
        that of the constant class shares by at least a hundredth of a nat.
    """

    schedule: Schedule
    training: tuple[float, ...]
    held_out: tuple[float, ...]
    too_few_rows: bool = False

    @property
    def overfits(self) -> bool:
        """True if the last held-out loss is above the lowest one."""
        return self.held_out[-1] > min(self.held_out) + _TOLERANCE


def held_out_rows(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of the training rows and of the held-out rows: one in five of every class, at random."""
    draws = np.random.RandomState(_SEED).permutation(len(codes))
    order = np.lexsort((draws, codes))
    out = np.zeros(len(codes), dtype=bool)
    out[order[_ONE_IN // 2 :: _ONE_IN]] = True
    return np.flatnonzero(~out), np.flatnonzero(out)


@checked(make_net=Function(), schedules=Each(Instance(Schedule)))
def watch_held_out(
    make_net: Callable[..., ObjectiveNet],
    X: np.ndarray,
    codes: np.ndarray,
    schedules: Sequence[Schedule],
    sample_weight: np.ndarray | None = None,
    soft_labels: np.ndarray | None = None,
) -> HeldOut | None:
    """Train by one schedule after the other until one overfits, and return the longest one with nearly the least loss.

    Parameters
    ----------
    make_net : callable
        Function from skorch parameters to an untrained net.
    X, codes : arrays of shape (n, *features) and (n,)
        Rows and class indices. The random numbers come from a stream of this function alone.
    schedules : sequence of Schedule
        Schedules from the shortest, with the strongest decay, to the longest. After one that overfits, the longer ones
        would overfit more and are not tried.
    sample_weight : array of shape (n,), optional
        Weights of the rows, in the trainings and in the held-out losses.
    soft_labels : array of shape (n, n_classes), optional
        Targets of the trainings. The held-out losses are those of the labels.

    Returns
    -------
    HeldOut or None
        None if the first training diverged; the fit itself then raises the error.
    """
    learned, held = held_out_rows(codes)
    options: dict[str, Any] = {f"callbacks__{name}": None for name in ("epoch_timer", "print_log")}
    options["train_split"] = lambda dataset, y: (Subset(dataset, learned.tolist()), Subset(dataset, held.tolist()))
    tried: list[HeldOut] = []
    for schedule in schedules:
        net = make_net(streams=RandomStreams(_SEED), **options, **schedule.changes).initialize()
        net.sample_weight_, net.soft_labels_ = sample_weight, soft_labels
        try:
            with small_net_threads(net.module_):
                net.notify("on_train_begin", X=X, y=codes)
                net.fit_loop(X, codes, epochs=net.max_epochs)
        except DivergedError:
            break
        tried.append(HeldOut(schedule, tuple(net.history[:, "cross_entropy"]), tuple(net.history[:, "valid_loss"])))
        if tried[-1].overfits:
            break
    lowest = min((one.held_out[-1] for one in tried), default=math.nan)
    best = next((one for one in reversed(tried) if one.held_out[-1] <= lowest + _TIE), None)
    if best is None:
        return None
    shortest = best is tried[0] and len(tried) > 1 and tried[-1].overfits
    weights = np.ones(len(codes)) if sample_weight is None else sample_weight / sample_weight.max()
    shares = np.bincount(codes[learned], weights[learned], minlength=codes.max() + 1) / weights[learned].sum()
    constant = -np.average(np.log(np.maximum(shares[codes[held]], 1 / len(codes))), weights=weights[held])
    return replace(best, too_few_rows=bool(shortest or best.held_out[-1] > constant - _TOLERANCE))
