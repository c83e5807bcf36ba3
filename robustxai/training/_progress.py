"""Progress bar of a training."""

from __future__ import annotations

from typing import Any

from skorch import NeuralNet
from skorch.callbacks import Callback

from robustxai.engine import batch_size_of

__all__ = ["TrainingProgress"]


class TrainingProgress(Callback):
    """Show a progress bar of one line: epochs and steps done, latest training loss, time spent and time left.

    Classifiers add it for ``verbose=2``. Outside of a terminal only the last state of the line is written.
    """

    _bar: Any = None

    def on_train_begin(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Close the bar of an earlier training; the first epoch opens the new one."""
        self.close()

    def on_epoch_begin(self, net: NeuralNet, dataset_train: Any = None, **kwargs: Any) -> None:
        """Open the bar if necessary, and show the epoch."""
        if self._bar is None:
            self._open(net, len(dataset_train))
        loss = f", loss {net.history[-2]['train_loss']:.4g}" if len(net.history) > 1 else ""
        self._bar.update(self._task, description=f"epoch {len(net.history)} of {net.max_epochs}{loss}")

    def on_batch_end(self, net: NeuralNet, training: bool = False, **kwargs: Any) -> None:
        """Count a training step."""
        if training and self._bar is not None:
            self._bar.advance(self._task)

    def on_train_end(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Close the bar."""
        self.close()

    def close(self) -> None:
        """Stop the bar, after an error too; its line remains."""
        if self._bar is not None:
            self._bar.stop()
        self._bar = None

    def _open(self, net: NeuralNet, n_rows: int) -> None:
        # imported here, because the import of rich is slow and most fits are silent
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
        done = steps * (len(net.history) - 1)  # not 0 in a resumed fit
        self._task = self._bar.add_task("", total=steps * net.max_epochs, completed=done)
        self._bar.start()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_bar", "_task")}
