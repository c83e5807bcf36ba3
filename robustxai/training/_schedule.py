"""Schedules of the learning rate: one cycle, and a constant rate that is lowered once."""

from __future__ import annotations

import math
from typing import Any

from skorch import NeuralNet
from skorch.callbacks import Callback
from torch.utils.data import Dataset

from robustxai._arguments import SHARE, Number, checked
from robustxai.engine import batch_size_of

__all__ = ["OneCycle", "StepDecay"]


class _Schedule(Callback):
    """Base of the schedules: before each step, set the rate of every group to its own times `factor`."""

    def on_train_begin(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Store the number of earlier epochs."""
        self.before_ = len(net.history)

    def on_epoch_begin(self, net: NeuralNet, dataset_train: Dataset[Any] | None = None, **kwargs: Any) -> None:
        """Compute the number of all steps and of completed steps, which is not 0 in a resumed fit."""
        n_rows = len(dataset_train)  # type: ignore[arg-type]
        per_epoch = -(-n_rows // batch_size_of(net))
        self.n_steps_ = net.max_epochs * per_epoch
        self.step_ = (len(net.history) - 1 - self.before_) * per_epoch

    def on_batch_begin(self, net: NeuralNet, batch: Any = None, training: bool = False, **kwargs: Any) -> None:
        """Set the rate of the next step."""
        if not training:
            return
        factor = self.factor(self.step_ / max(self.n_steps_ - 1, 1))
        for group in net.optimizer_.param_groups:
            group["lr"] = group.setdefault("initial_lr", group["lr"]) * factor
        self.step_ += 1

    def factor(self, progress: float) -> float:
        """Return the share of the full rate at `progress` in [0, 1] of training."""
        raise NotImplementedError


class OneCycle(_Schedule):
    """Raise the learning rate to ``net.lr`` over the first `warm_up_share` of training, then lower it to nearly zero.

    This is the default schedule of every classifier, because the last steps are then small and the final weights have
    little noise. ``callbacks__lr_schedule=None`` turns it off. Early stopping cuts the cycle short.

    Parameters
    ----------
    warm_up_share : float, default=0.3
        Share of all steps in which the rate rises, starting at ``lr / 25``.

    References
    ----------
    Smith and Topin, *Super-convergence*, 2018.
    """

    #: A stack supports the callback, and computes the rate of each step by `factor`.
    stackable = True
    sets_rate_in_each_step = True
    #: The callback does not read the record of the batch in the history, which costs small networks time.
    ignores_batch_record = True

    @checked(warm_up_share=Number(0, 1, below=True))
    def __init__(self, warm_up_share: float = 0.3) -> None:
        self.warm_up_share = warm_up_share

    def factor(self, progress: float) -> float:
        """Return the share of the peak rate at `progress` in [0, 1] of training, along two half cosines."""
        if progress < self.warm_up_share:
            start, end, along = 1 / 25, 1.0, progress / self.warm_up_share
        else:
            start, end, along = 1.0, 1e-4, min((progress - self.warm_up_share) / (1 - self.warm_up_share), 1.0)
        return end + (start - end) * (1 + math.cos(math.pi * along)) / 2


class StepDecay(_Schedule):
    """Keep the learning rate at ``net.lr``, and lower it once, late in the training.

    Parameters
    ----------
    decay_share : float, default=0.75
        Share of all steps after which the rate is lowered.
    decay : float, default=0.1
        Factor of the rate from then on.
    """

    ignores_batch_record = True

    @checked(decay_share=SHARE, decay=Number(0, 1))
    def __init__(self, decay_share: float = 0.75, decay: float = 0.1) -> None:
        self.decay_share = decay_share
        self.decay = decay

    def factor(self, progress: float) -> float:
        """Return the share of the full rate at `progress` in [0, 1] of training."""
        return 1.0 if progress < self.decay_share else self.decay
