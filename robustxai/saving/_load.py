"""load: a model from a file, without executing anything that the file says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import PathLike
from typing import Any

from robustxai._arguments import Each, Either, Function, Instance, PathName, checked
from robustxai._switches import own_switches
from robustxai.exceptions import AlteredFileError, UntrustedTypeError
from robustxai.saving._container import read
from robustxai.saving._estimators import read_estimator
from robustxai.saving._registry import Names
from robustxai.saving._values import Reader

__all__ = ["load"]

_TRUSTED = Each(Either((Function(), Instance(type))), words="a list of classes and functions")


@checked(path=PathName(), trusted=_TRUSTED)
def load(path: str | PathLike[str], *, trusted: Sequence[type | Callable[..., Any]] = ()) -> Any:
    """Return the fitted model of a file that :func:`save` wrote.

    The file holds numbers, texts and names. A name stands for a class of the library, of torch or of scikit-learn that
    computes and does nothing else, or the file is refused. Nothing is unpickled, imported or called by a name of the
    file. Predictions, explanations and certificates are those of the saved model, bit for bit on the same machine and
    versions.

    Parameters
    ----------
    path : path-like
        The file.
    trusted : sequence of classes and functions, default=()
        Those of your own that the file may name: a network, an activation, an explainer, a transformer. Loading makes
        objects of them, with arguments of the file.

    Returns
    -------
    classifier or Pipeline

    Raises
    ------
    AlteredFileError
        The file was cut or altered, is of a newer version, or is no file of :func:`save`.
    UntrustedTypeError
        It names a class or function that is neither known nor in `trusted`.
    OSError
        There is no such file, or it cannot be read.

    Notes
    -----
    Do not load pickle or joblib files of others: reading one executes whatever it says. The checksums of this file
    guard against accidents, not against a person who computes new ones; that no file executes code does not depend on
    them.
    """
    try:
        description, tensors = read(path)  # type: ignore[arg-type]
        with own_switches():
            return read_estimator(description["model"], Reader(tensors, Names(trusted)))
    except (UntrustedTypeError, OSError, ImportError):
        raise
    except Exception as error:  # whatever an altered description leads to
        reason = str(error).strip() or type(error).__name__
        raise AlteredFileError(
            f"{path} cannot be loaded: {reason[:300]}. Ask for the file again; robustxai.save writes such files."
        ) from error
