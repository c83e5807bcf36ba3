"""save: a fitted model as one file that is safe to load."""

from __future__ import annotations

import platform
from importlib.metadata import version
from os import PathLike

from robustxai._arguments import PathName, checked
from robustxai._switches import own_switches
from robustxai.protocols import Estimator
from robustxai.saving._container import write
from robustxai.saving._estimators import write_estimator
from robustxai.saving._values import Writer

__all__ = ["save"]

_LIBRARIES = ("numpy", "scikit-learn", "torch", "skorch", "safetensors", "skops")


@checked(path=PathName())
def save(estimator: Estimator, path: str | PathLike[str]) -> None:
    """Write a fitted model to one file that :func:`load` reads without executing anything of it.

    The file is a safetensors file: weights and arrays as tensors, and in its metadata a description in JSON with the
    versions of the libraries and a checksum of every part. Steps of a Pipeline that are scikit-learn's are in the form
    of skops. It is written atomically: a file of that name is replaced at once, or not at all.

    Parameters
    ----------
    estimator : fitted classifier or Pipeline
        A classifier of the library, what :func:`~robustxai.as_explainable` returns, or a Pipeline of steps of
        scikit-learn that ends in one of these or in a classifier of scikit-learn.
    path : path-like
        The file. The name may end as you like; ``.safetensors`` lets other tools look into it.

    Raises
    ------
    TypeError
        A model, step, module or explainer that has no form in a file, by its name.
    NotFittedError
        A model that is not fitted.
    OSError
        The file cannot be written.

    Warns
    -----
    UserWarning
        Parameters of the training that have no form in a file (callbacks, `init`, `teacher`) are left out. The loaded
        model predicts and explains without them; a new fit of it would use their defaults.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn.datasets import load_iris
    >>> from robustxai import VanillaClassifier, load, save
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = VanillaClassifier(max_epochs=5).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(clf, f"{folder}/iris.safetensors")
    ...     again = load(f"{folder}/iris.safetensors")
    >>> bool((again.explain(X) == clf.explain(X)).all())
    True
    """
    writer = Writer()
    with own_switches():
        model = write_estimator(estimator, writer)
    versions = {"robustxai": version("robustxai"), "python": platform.python_version()}
    versions |= {name: version(name) for name in _LIBRARIES}
    write(path, {"versions": versions, "model": model}, writer.tensors)  # type: ignore[arg-type]
