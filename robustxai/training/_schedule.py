"""One-cycle learning rate."""

from __future__ import annotations

import math
from typing import Any

from skorch import NeuralNet
from skorch.callbacks import Callback
from torch.utils.data import Dataset

from robustxai._arguments import Number, checked
from robustxai.engine import batch_size_of

__all__ = ["OneCycle"]


class OneCycle(Callback):
    """Learning rate up to ``net.lr`` over the first `warm_up_share` of training and down to nearly zero after it.

    The default schedule of every classifier, because the weights that remain are then not those of a noisy last step;
    ``callbacks__lr_schedule=None`` turns it off. With early stopping the cycle is simply cut short.

    Parameters
    ----------
    warm_up_share : float, default=0.3
        Share of all steps in which the rate rises, from ``lr / 25``.

    References
    ----------
    Smith and Topin, *Super-convergence*, 2018.
    """

    #: A stack carries the callback out, and takes the rate of each step from `factor`.
    stackable = True
    sets_rate_in_each_step = True

    @checked(warm_up_share=Number(0, 1, below=True))
    def __init__(self, warm_up_share: float = 0.3) -> None:
        self.warm_up_share = warm_up_share

    def on_train_begin(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Remember how many epochs there were before."""
        self.before_ = len(net.history)

    def on_epoch_begin(self, net: NeuralNet, dataset_train: Dataset | None = None, **kwargs: Any) -> None:
        """Learn how many steps there will be, and have been: a fit may go on where it was interrupted."""
        n_rows = len(dataset_train)  # type: ignore[arg-type]
        per_epoch = -(-n_rows // batch_size_of(net))
        self.n_steps_ = net.max_epochs * per_epoch
        self.step_ = (len(net.history) - 1 - self.before_) * per_epoch

    def on_batch_begin(self, net: NeuralNet, batch: Any = None, training: bool = False, **kwargs: Any) -> None:
        """Set the rate of the coming step."""
        if not training:
            return
        factor = self.factor(self.step_ / max(self.n_steps_ - 1, 1))
        for group in net.optimizer_.param_groups:
            group["lr"] = group.setdefault("initial_lr", group["lr"]) * factor
        self.step_ += 1

    def factor(self, progress: float) -> float:
        """Share of the peak rate after `progress` in [0, 1] of training (two half cosines)."""
        if progress < self.warm_up_share:
            start, end, along = 1 / 25, 1.0, progress / self.warm_up_share
        else:
            start, end, along = 1.0, 1e-4, min((progress - self.warm_up_share) / (1 - self.warm_up_share), 1.0)
        return end + (start - end) * (1 + math.cos(math.pi * along)) / 2
