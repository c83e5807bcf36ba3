"""A long fit that survives an interruption."""

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
    """A number of epochs, of which all else is refused alike."""

    def fault(self, value: Any) -> type[Exception] | None:
        """As `Constraint.fault`."""
        return None if super().fault(value) is None else ValueError


class ResumableCheckpoint(Callback):
    """Keep the state of a fit in a file after every epoch, and begin from it when the same fit is started again.

    ``R2ETClassifier(callbacks=[("checkpoint", ResumableCheckpoint("folder"))]).fit(X, y)``, interrupted and called
    again, in a new process perhaps, gives what the uninterrupted call gives, to the last bit on the same machine: the
    weights, the optimizer's moments, the history and the random streams are kept. skorch's own ``Checkpoint`` keeps the
    best epoch and knows nothing of random streams; it can be used beside this one.

    Parameters
    ----------
    dirname : path-like
        Folder of the file; made if need be. One fit finds its file by its parameters, its first weights and its data,
        so that several fits may share a folder and no fit takes up the state of another: the file holds a digest of
        them, and a checksum of everything.
    every : int, default=1
        Epochs between two savings.

    Raises
    ------
    AlteredFileError
        The file of the fit was altered or cut, or is that of another fit. Nothing of it is used.
    TypeError
        A parameter of the fit whose content cannot be read (an open file, say): no file could be known to be of it.

    Notes
    -----
    Other callbacks begin anew: an ``EarlyStopping`` counts its patience from where the fit went on.
    """

    @checked(dirname=PathName(), every=_Epochs(1, integer=True, words="a positive number of epochs"))
    def __init__(self, dirname: str | os.PathLike[str], every: int = 1) -> None:
        self.dirname = dirname
        self.every = every

    def on_train_begin(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Take up the state, if there is one."""
        check_arguments(self)  # they may have been set since
        digest = _digest(net, X, y)
        self.fit_ = f"fit {digest}"
        self.path_ = Path(self.dirname) / f"fit-{digest[:16]}.pt"
        try:
            content = read_sealed(self.path_, self.fit_, "It is no state of this fit. Delete it to begin anew.")
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
                f"{self.path_} is no state of this fit ({type(error).__name__}: {error}). Delete it to begin anew."
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
        """Write the state; a reader sees the whole file or the one before."""
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
    """The penalties that remember something from step to step."""
    penalties = [term.penalty for term in getattr(net, "terms", ())]
    return [penalty for penalty in penalties if hasattr(penalty, "state_dict")]


def _digest(net: NeuralNet, X: Any, y: Any) -> str:
    """What tells fits apart: parameters, first weights, data."""
    parameters = {
        name: _readable(value)
        for name, value in net.get_params(deep=False).items()
        # what begins with an underscore is skorch's own, a set among it, whose order changes from process to process
        if name not in ("callbacks", "verbose") and not name.startswith(("callbacks__", "_"))
    }
    return fingerprint(sorted(parameters.items()), X, y, net.module_.state_dict())


def _readable(value: Any) -> Any:
    """A module whose class was made at run time, as that of a parametrized one, by what it prints and holds."""
    if not isinstance(value, nn.Module):
        return value
    try:
        return fingerprint(value)
    except TypeError:
        return [type(value).__qualname__, repr(value), value.state_dict()]


def _global_streams(net: NeuralNet) -> dict[str, Tensor]:
    """States of the global generators, from which a net without streams of its own draws."""
    streams = {"cpu": torch.get_rng_state()}
    if torch.device(net.device).type == "cuda":
        streams[str(net.device)] = torch.cuda.get_rng_state(net.device)
    return streams


def _set_global_streams(streams: dict[str, Tensor]) -> None:
    for device, state in streams.items():
        torch.set_rng_state(state) if device == "cpu" else torch.cuda.set_rng_state(state, device)
