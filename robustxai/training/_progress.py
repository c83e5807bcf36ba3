"""A bar with the time that is left."""

from __future__ import annotations

from typing import Any

from skorch import NeuralNet
from skorch.callbacks import Callback

from robustxai.engine import batch_size_of

__all__ = ["TrainingProgress"]


class TrainingProgress(Callback):
    """Epochs and steps done, the latest training loss, the time spent and the time left, in one line.

    What ``verbose=2`` of a classifier adds. Where the output is no terminal, the last line alone is written.
    """

    _bar: Any = None

    def on_train_begin(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Nothing to count yet: the first epoch knows how many steps there are."""
        self.close()

    def on_epoch_begin(self, net: NeuralNet, dataset_train: Any = None, **kwargs: Any) -> None:
        """Draw the bar, or say which epoch it is in."""
        if self._bar is None:
            self._open(net, len(dataset_train))
        loss = f", loss {net.history[-2]['train_loss']:.4g}" if len(net.history) > 1 else ""
        self._bar.update(self._task, description=f"epoch {len(net.history)} of {net.max_epochs}{loss}")

    def on_batch_end(self, net: NeuralNet, training: bool = False, **kwargs: Any) -> None:
        """Count a step of the training."""
        if training and self._bar is not None:
            self._bar.advance(self._task)

    def on_train_end(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Leave the line as it is."""
        self.close()

    def close(self) -> None:
        """Leave the line as it is, after an error too."""
        if self._bar is not None:
            self._bar.stop()
        self._bar = None

    def _open(self, net: NeuralNet, n_rows: int) -> None:
        # here, because rich takes a while to import and most fits are silent
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        steps = -(-n_rows // batch_size_of(net))
        spent, left = TimeElapsedColumn(), TimeRemainingColumn()
        words = (TextColumn("spent"), spent, TextColumn("left"), left)
        self._bar = Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), *words)
        done = steps * (len(net.history) - 1)  # of a fit that goes on where it was stopped
        self._task = self._bar.add_task("", total=steps * net.max_epochs, completed=done)
        self._bar.start()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_bar", "_task")}
