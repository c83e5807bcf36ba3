"""A flavor of MLflow: models as the library's safe files, served by ``mlflow.pyfunc``.

``save_model``, ``log_model`` and ``load_model`` have the names that MLflow gives to the functions of a flavor. This
module has a public name, because MLflow writes it into what it stores, and imports it to serve a model.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from robustxai._arguments import Each, Either, Function, Instance, PathName, Text, checked
from robustxai._frames import as_pandas, is_table
from robustxai._models import unwrap
from robustxai.columns import column_map
from robustxai.integrations._extra import extra
from robustxai.protocols import Estimator, ReasonDirection
from robustxai.reasons import explain_columns, reasons
from robustxai.saving import load
from robustxai.saving import save as save_at_once

__all__ = ["load_model", "log_model", "save_model"]

#: Name of the file in the folder of a model.
_FILE = "model.safetensors"
#: What a request may ask for, with the defaults.
_PARAMS: dict[str, Any] = {"output": "probabilities", "top": 4, "favorable": ""}
_OUTPUTS = ("probabilities", "labels", "contributions", "reasons")


@checked(path=PathName())
def save_model(estimator: Estimator, path: str | PathLike[str], X: Any, **options: Any) -> None:
    """Write a fitted model to a folder of MLflow.

    The folder holds one file of :func:`robustxai.save`, no pickle. ``mlflow.pyfunc.load_model(path).predict(rows)``
    returns a DataFrame of probabilities, with a column for every class; ``params`` ask for more:

    ========================================== =========================================================================
    ``{"output": "labels"}``                   predicted labels
    ``{"output": "contributions"}``            contributions to the log-odds of the predicted class: of the raw columns
                                               of a table, else what ``explain`` returns
    ``{"output": "reasons", "top": 4}``        a line per reason (:func:`robustxai.reasons.reasons`); ``favorable`` is a
                                               label as text
    ========================================== =========================================================================

    Needs the extra ``mlflow``.

    Parameters
    ----------
    estimator : fitted classifier or Pipeline
        What :func:`robustxai.save` takes.
    path : path-like
        A folder that does not exist.
    X : DataFrame or array
        Some rows as `estimator` takes them, of which the types of the columns are stored and nothing else.
    **options
        Of ``mlflow.pyfunc.save_model``, such as ``metadata``, ``pip_requirements`` and ``mlflow_model``.

    Raises
    ------
    ImportError
        MLflow is not installed.
    TypeError, NotFittedError
        As :func:`robustxai.save`.
    """
    pyfunc = extra("mlflow.pyfunc", "mlflow", "save_model")
    models = extra("mlflow.models", "mlflow", "save_model")
    found = _Served(estimator).predict(X)
    model = options.pop("mlflow_model", None) or models.Model()
    model.add_flavor("robustxai", robustxai_version=version("robustxai"), data=f"data/{_FILE}")
    options.setdefault("signature", models.infer_signature(X, found, params=_PARAMS))
    if "conda_env" not in options:
        named = ("robustxai", "torch", "scikit-learn")
        options.setdefault("pip_requirements", [f"{name}=={version(name).partition('+')[0]}" for name in named])
    with tempfile.TemporaryDirectory() as folder:
        save_at_once(estimator, Path(folder) / _FILE)
        pyfunc.save_model(
            str(path), loader_module=__name__, data_path=str(Path(folder) / _FILE), mlflow_model=model, **options
        )


@checked(name=Text())
def log_model(estimator: Estimator, name: str, X: Any, **options: Any) -> Any:
    """Log a fitted model to the active run of MLflow.

    Parameters
    ----------
    estimator : fitted classifier or Pipeline
        As in :func:`save_model`.
    name : str
        Of the model.
    X : DataFrame or array
        As in :func:`save_model`.
    **options
        Of :func:`save_model` and of ``mlflow.models.Model.log``, such as ``registered_model_name``.

    Returns
    -------
    mlflow.models.model.ModelInfo
        With ``model_uri``.

    Raises
    ------
    ImportError, TypeError, NotFittedError
        As :func:`save_model`.
    """
    models = extra("mlflow.models", "mlflow", "log_model")
    return models.Model.log(None, sys.modules[__name__], name=name, estimator=estimator, X=X, **options)


@checked(model_uri=Text(), trusted=Each(Either((Function(), Instance(type))), words="a list of classes and functions"))
def load_model(model_uri: str, *, trusted: Sequence[type | Callable[..., Any]] = ()) -> Any:
    """Return the classifier or Pipeline of a folder or run of MLflow, without executing anything that is stored there.

    ``mlflow.pyfunc.load_model``, by contrast, imports the module that the folder names: use it for models of people
    whom you trust.

    Parameters
    ----------
    model_uri : str
        Path of a folder, or an address such as "models:/credit/3" or "runs:/...".
    trusted : sequence of classes and functions, default=()
        As in :func:`robustxai.load`.

    Returns
    -------
    classifier or Pipeline

    Raises
    ------
    ImportError
        MLflow is not installed.
    AlteredFileError, UntrustedTypeError, OSError
        As :func:`robustxai.load`.
    """
    artifacts = extra("mlflow.artifacts", "mlflow", "load_model")
    folder = artifacts.download_artifacts(artifact_uri=str(model_uri))
    return load(Path(folder) / "data" / _FILE, trusted=trusted)


def _load_pyfunc(path: str) -> _Served:
    """Return what ``mlflow.pyfunc`` serves; it calls this function."""
    return _Served(load(path))


class _Served:
    """A model that answers requests of MLflow with tables."""

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Return a table for rows: probabilities, labels, contributions or reasons."""
        asked = {**_PARAMS, **(params or {})}
        X = as_pandas(model_input) if is_table(model_input) else np.asarray(model_input)
        index = X.index if isinstance(X, pd.DataFrame) else None
        output = asked["output"]
        if output == "probabilities":
            names = [str(label) for label in self.estimator.classes_]
            return pd.DataFrame(self.estimator.predict_proba(X), columns=names, index=index)
        if output == "labels":
            return pd.DataFrame({"label": self.estimator.predict(X)}, index=index)
        if output == "contributions":
            return self._contributions(X)
        if output == "reasons":
            labels = {str(label): label for label in self.estimator.classes_}
            name = str(asked["favorable"])
            if name and name not in labels:
                raise ValueError(f"favorable={name!r} is none of the classes {list(labels)}.")
            direction: ReasonDirection = "adverse" if name else "both"
            found = reasons(self.estimator, X, int(asked["top"]), favorable=labels.get(name), direction=direction)
            return found.frame.assign(value=found.frame["value"].astype(str))
        raise ValueError(f"output={output!r} is not known. Valid names: {', '.join(_OUTPUTS)}.")

    def _contributions(self, X: Any) -> pd.DataFrame:
        model, before = unwrap(self.estimator, needs=("explain",), what="predict")
        if before and isinstance(X, pd.DataFrame):
            try:
                column_map(self.estimator)
            except ValueError:  # a step that mixes columns: features are explained
                pass
            else:
                return explain_columns(self.estimator, X)
        for steps in before:
            X = steps.transform(X)
        found = model.explain(X)
        if isinstance(found, pd.DataFrame):
            return found
        return pd.DataFrame(found, columns=[f"x{j}" for j in range(np.shape(found)[1])])
