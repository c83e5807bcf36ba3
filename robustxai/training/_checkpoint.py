"""Checkpoints from which an interrupted fit resumes."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import torch
from skorch import NeuralNet
from skorch.callbacks import Callback
from torch import Tensor, nn

from robustxai._arguments import Number, PathName, check_arguments, checked
from robustxai._files import read_sealed, write_sealed
from robustxai._fingerprint import fingerprint
from robustxai.exceptions import AlteredFileError

__all__ = ["ResumableCheckpoint"]


class _Epochs(Number):
    """A number of epochs; every other value is a ValueError."""

    def fault(self, value: Any) -> type[Exception] | None:
        """Return the exception's type, as `Constraint.fault`."""
        return None if super().fault(value) is None else ValueError


class ResumableCheckpoint(Callback):
    """Save the state of a fit in a file after every epoch, and resume from it when the same fit is started again.

    ``R2ETClassifier(callbacks=[("checkpoint", ResumableCheckpoint("folder"))]).fit(X, y)``, interrupted and called
    again, possibly in a new process, gives the result of the uninterrupted call, to the last bit on the same machine.
    The weights, the optimizer's moments, the history and the random streams are saved. skorch's own ``Checkpoint``
    keeps the best epoch without random streams; both callbacks can be used together.

    Parameters
    ----------
    dirname : path-like
        Folder of the file; it is created if it does not exist. The file's name is a digest of the fit's parameters,
        first weights and data, so that several fits may share a folder. The file also holds this digest and a checksum
        of its content, so that no fit resumes from the state of another.
    every : int, default=1
        Epochs between two savings.

    Raises
    ------
    AlteredFileError
        The file of the fit was altered or truncated, or belongs to another fit. Nothing of it is used.
    TypeError
        The content of a parameter cannot be read (an open file, for example), so that no digest can be computed.

    Notes
    -----
    The state of other callbacks is not saved: an ``EarlyStopping`` counts its patience from the resumed epoch.
    """

    @checked(dirname=PathName(), every=_Epochs(1, integer=True, words="a positive number of epochs"))
    def __init__(self, dirname: str | os.PathLike[str], every: int = 1) -> None:
        self.dirname = dirname
        self.every = every

    def on_train_begin(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Load the state, if a file exists."""
        check_arguments(self)  # set_params may have changed them since __init__
        digest = _digest(net, X, y)
        self.fit_ = f"fit {digest}"
        self.path_ = Path(self.dirname) / f"fit-{digest[:16]}.pt"
        try:
            content = read_sealed(self.path_, self.fit_, "It is not a state of this fit. Delete it to start over.")
        except FileNotFoundError:
            return
        try:
            state = torch.load(io.BytesIO(content), map_location=net.device, weights_only=True)
            rows = json.loads(state["history"])
            net.module_.load_state_dict(state["module"])
            net.optimizer_.load_state_dict(state["optimizer"])
            for penalty, own in zip(_with_state(net), state["penalties"], strict=True):
                penalty.load_state_dict(own)
        except Exception as error:
            raise AlteredFileError(
                f"{self.path_} is not a state of this fit ({type(error).__name__}: {error}). Delete it to start over."
            ) from error
        for row in rows:
            net.history.new_epoch()
            for name, value in row.items():
                if name != "batches":
                    net.history.record(name, value)
        streams = {device: stream.cpu() for device, stream in state["streams"].items()}
        if (own := getattr(net, "streams", None)) is not None:
            own.set_states(streams)
        else:
            _set_global_streams(streams)

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Write the state, atomically: a reader sees the new file or the previous one."""
        if len(net.history) % self.every and len(net.history) < net.max_epochs:
            return
        own = getattr(net, "streams", None)
        state = {
            "module": net.module_.state_dict(),
            "optimizer": net.optimizer_.state_dict(),
            "penalties": [penalty.state_dict() for penalty in _with_state(net)],
            "history": json.dumps(net.history.to_list(), default=float),
            "streams": _global_streams(net) if own is None else own.states(),
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_sealed(self.path_, buffer.getvalue(), self.fit_)


def _with_state(net: NeuralNet) -> list[Any]:
    """Return the penalties with a state."""
    penalties = [term.penalty for term in getattr(net, "terms", ())]
    return [penalty for penalty in penalties if hasattr(penalty, "state_dict")]


def _digest(net: NeuralNet, X: Any, y: Any) -> str:
    """Return a digest of the fit: of its parameters, first weights and data."""
    parameters = {
        name: _readable(value)
        for name, value in net.get_params(deep=False).items()
        # names with an underscore are skorch's own; one of them is a set, whose order differs between processes
        if name not in ("callbacks", "verbose") and not name.startswith(("callbacks__", "_"))
    }
    return fingerprint(sorted(parameters.items()), X, y, net.module_.state_dict())


def _readable(value: Any) -> Any:
    """Return the repr and weights of a module that has no fingerprint, such as a parametrized one; else the value.

    The class of a parametrized module is made at run time.
    """
    if not isinstance(value, nn.Module):
        return value
    try:
        return fingerprint(value)
    except TypeError:
        return [type(value).__qualname__, repr(value), value.state_dict()]


def _global_streams(net: NeuralNet) -> dict[str, Tensor]:
    """Return the states of the global generators, from which a net without its own streams draws."""
    streams = {"cpu": torch.get_rng_state()}
    if torch.device(net.device).type == "cuda":
        streams[str(net.device)] = torch.cuda.get_rng_state(net.device)
    return streams


def _set_global_streams(streams: dict[str, Tensor]) -> None:
    for device, state in streams.items():
        torch.set_rng_state(state) if device == "cpu" else torch.cuda.set_rng_state(state, device)
