"""A look at rows that were held out: how long a table can be trained on, and with how much weight decay."""

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

#: One row in so many is held out.
_ONE_IN = 5
#: The held-out loss may end so much above its lowest value, in nats.
_TOLERANCE = 0.01
#: Held-out losses that differ by less are equal: fewer steps and more decay must be worth something.
_TIE = 0.01
#: Seed of the split and of the training that is watched: all fits on the same rows then decide alike.
_SEED = 0


class Schedule(NamedTuple):
    """How long to train, and with how much weight decay; None for what the optimizer has of its own."""

    max_epochs: int
    weight_decay: float | None

    @property
    def changes(self) -> dict[str, Any]:
        """As skorch parameters."""
        decay = {} if self.weight_decay is None else {"optimizer__weight_decay": self.weight_decay}
        return {"max_epochs": self.max_epochs, **decay}


@dataclass(frozen=True)
class HeldOut:
    """What a training on four fifths of the rows was worth on the others.

    Attributes
    ----------
    schedule : Schedule
        Of that training.
    training : tuple of float
        Mean cross-entropy of the rows that it learned from, epoch by epoch.
    held_out : tuple of float
        Mean cross-entropy of the other rows at the end of the same epochs.
    too_few_rows : bool
        Whether it was the shortest that was tried, and a longer one overfitted; or whether it was no better on the
        held-out rows than the shares of the classes, by a hundredth of a nat.
    """

    schedule: Schedule
    training: tuple[float, ...]
    held_out: tuple[float, ...]
    too_few_rows: bool = False

    @property
    def overfits(self) -> bool:
        """Whether it ended with a higher held-out loss than it had on the way."""
        return self.held_out[-1] > min(self.held_out) + _TOLERANCE


def held_out_rows(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the rows to learn from and of those held out: one in five of every class, drawn at random."""
    draws = np.random.RandomState(_SEED).permutation(len(codes))
    order = np.lexsort((draws, codes))
    out = np.zeros(len(codes), dtype=bool)
    out[order[_ONE_IN // 2 :: _ONE_IN]] = True
    return np.flatnonzero(~out), np.flatnonzero(out)


@checked(make_net=Function(), schedules=Each(Instance(Schedule)))
def watch_held_out(
    make_net: Callable[..., ObjectiveNet], X: np.ndarray, codes: np.ndarray, schedules: Sequence[Schedule]
) -> HeldOut | None:
    """Train by one schedule after the other until one overfits; the longest of those with nearly the least loss.

    Parameters
    ----------
    make_net : callable
        Skorch parameters in, an untrained net out.
    X, codes : arrays of shape (n, *features) and (n,)
        Rows and class indices. No random numbers of others are drawn.
    schedules : sequence of Schedule
        From the shortest, with the strongest decay, to the longest: where one overfits, those after it do so more.

    Returns
    -------
    HeldOut or None
        None where a training diverged: the real one will say so.
    """
    learned, held = held_out_rows(codes)
    options: dict[str, Any] = {f"callbacks__{name}": None for name in ("epoch_timer", "print_log")}
    options["train_split"] = lambda dataset, y: (Subset(dataset, learned.tolist()), Subset(dataset, held.tolist()))
    tried: list[HeldOut] = []
    for schedule in schedules:
        net = make_net(streams=RandomStreams(_SEED), **options, **schedule.changes).initialize()
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
    shares = np.bincount(codes[learned], minlength=codes.max() + 1) / len(learned)
    constant = -np.log(np.maximum(shares[codes[held]], 1 / len(codes))).mean()
    return replace(best, too_few_rows=bool(shortest or best.held_out[-1] > constant - _TOLERANCE))
