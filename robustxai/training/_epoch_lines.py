"""Lines about the epochs of a training."""

from __future__ import annotations

from typing import Any

from skorch import NeuralNet
from skorch.callbacks import PrintLog

__all__ = ["EpochLines"]


class EpochLines(PrintLog):
    """Print a line for every epoch, as skorch's PrintLog, and make none where nothing prints it."""

    stackable = True  # it reads the history

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Print the line of the epoch that ended."""
        if net.verbose or self.sink is not print:
            super().on_epoch_end(net, **kwargs)
