"""Classifiers and Pipelines as descriptions and tensors."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted
from skorch.history import History
from torch import nn

from robustxai._arguments import check_arguments
from robustxai._models import inside
from robustxai._table_summary import TableSummary
from robustxai._validation import outside
from robustxai.classifiers import BaseExplainableClassifier, copy_with_modules, resolve_device
from robustxai.conversion import ConvertedClassifier
from robustxai.explainers import EXPLAINER
from robustxai.perturbation import ThreatModel
from robustxai.saving._modules import read_module, write_module
from robustxai.saving._steps import read_step, write_step
from robustxai.saving._values import Reader, Writer

__all__ = ["read_estimator", "write_estimator"]

#: Attributes of a fitted classifier that a file holds, beside its network.
_ATTRIBUTES = (
    *("classes_", "n_features_in_", "feature_names_in_", "feature_means_", "feature_scales_", "feature_range_"),
    *("table_summary_", "k_", "ranking_", "_threat", "teacher_auc_", "teacher_log_loss_"),
    *("precision_", "precision_interval_", "precision_n_rows_"),
)
#: A parameter that is the fitted network itself.
_NETWORK = {"$": "network"}


def write_estimator(model: Any, writer: Writer) -> Any:
    """Return the description of a fitted model, whose arrays go to the writer.

    Raises
    ------
    TypeError
        A model that has no form in a file, by its name.
    NotFittedError
        One that is not fitted.
    """
    if isinstance(model, Pipeline):
        steps = [[name, _write_step(step, writer)] for name, step in model.steps]
        return {"kind": "pipeline", "steps": steps}
    if isinstance(model, FrozenEstimator):
        return {"kind": "frozen", "estimator": write_estimator(model.estimator, writer)}
    if inside(model, "save") is not None:
        raise TypeError(
            f"A file holds one model, and this {type(model).__name__} is a search. Save its best_estimator_."
        )
    if isinstance(model, (BaseExplainableClassifier, ConvertedClassifier)):
        check_is_fitted(model)
        return _write_classifier(model, writer)
    if isinstance(model, BaseEstimator) and (
        type(model).__module__.startswith(("sklearn.", "robustxai.datasets.")) or hasattr(model, "transform")
    ):
        return write_step(model, writer)
    raise TypeError(
        f"{type(model).__name__} has no form in a file. What has: classifiers of robustxai, what as_explainable "
        "returns, estimators of scikit-learn, and Pipelines of them."
    )


def _write_step(step: Any, writer: Writer) -> Any:
    is_word = step is None or isinstance(step, str)  # "passthrough"
    return {"kind": "word", "value": step} if is_word else write_estimator(step, writer)


def read_estimator(node: Any, reader: Reader) -> Any:
    """Return the model of a description; a ValueError, TypeError or KeyError if it is none."""
    kind = node["kind"]
    if kind == "word":
        return node["value"] if node["value"] is None else str(node["value"])
    if kind == "pipeline":
        return Pipeline([(str(name), read_estimator(step, reader)) for name, step in node["steps"]])
    if kind == "frozen":
        return FrozenEstimator(read_estimator(node["estimator"], reader))
    if kind == "step":
        return read_step(node, reader)
    if kind == "classifier":
        return _read_classifier(node, reader)
    raise ValueError(f"there is no kind {str(kind)[:40]!r}")


# ---------------------------------------------------------------- classifiers


def _write_classifier(model: Any, writer: Writer) -> dict[str, Any]:
    is_converted = isinstance(model, ConvertedClassifier)
    params, left_out = {}, []
    for name, value in model.get_params(deep=False).items():
        if value is model.module_ or (name == "module" and isinstance(value, nn.Module)):
            params[name] = _NETWORK
        elif name == "explainer":
            params[name] = writer.value(value)
        elif is_converted and name == "estimator":
            params[name] = _write_original(value, writer)
        else:
            try:
                params[name] = writer.value(value)
            except TypeError:
                left_out.append(name)
    if left_out:
        warnings.warn(
            f"The file does not hold {', '.join(left_out)} of {type(model).__name__}, which only a new fit would use. "
            "The loaded model predicts and explains as this one, and has their defaults.",
            stacklevel=outside(),
        )
    node = {
        "kind": "classifier",
        "class": writer.name(type(model)),
        "params": params,
        "attributes": {name: writer.value(vars(model)[name]) for name in _ATTRIBUTES if name in vars(model)},
        "in_shape": list(_in_shape(model)),
    }
    if is_converted:
        node["module"] = write_module(model.module_, writer)
        return node
    net = model.net_
    arguments = None if isinstance(net.module, nn.Module) else net.get_params_for("module")
    node["module"] = write_module(model.module_, writer, arguments)
    node["history"] = [_numbers(epoch, writer) for epoch in net.history]
    node["schedule"] = [int(net.max_epochs), model.schedule_.weight_decay]
    return node


def _numbers(epoch: dict[str, Any], writer: Writer) -> dict[str, Any]:
    """Return the entries of an epoch of a history that are numbers."""
    numbers = {name: getattr(value, "item", lambda v=value: v)() for name, value in epoch.items() if name != "batches"}
    return {name: writer.value(value) for name, value in numbers.items() if isinstance(value, (bool, int, float))}


def _write_original(model: Any, writer: Writer) -> Any:
    """Return the description of the model that was converted, which is not needed; None of one that is not trusted."""
    try:
        return write_step(model, writer, trusted=True) if isinstance(model, BaseEstimator) else None
    except TypeError:
        return None


def _in_shape(model: Any) -> tuple[int, ...]:
    means = getattr(model, "feature_means_", None)
    return (int(model.n_features_in_),) if means is None else tuple(np.shape(means))


def _read_classifier(node: Any, reader: Reader) -> Any:
    kind = reader.names.find(node["class"])
    if not (isinstance(kind, type) and issubclass(kind, (BaseExplainableClassifier, ConvertedClassifier))):
        raise ValueError(f"{str(node['class'])[:80]} is no classifier")
    attributes = {name: reader.value(node["attributes"][name]) for name in node["attributes"]}
    in_shape = tuple(int(size) for size in node["in_shape"])
    _check_attributes(attributes, in_shape)
    module = read_module(node["module"], reader, in_shape, len(attributes["classes_"]))
    params, original = {}, None
    for name, value in node["params"].items():
        if value == _NETWORK:
            params[str(name)] = copy_with_modules(module)
        elif issubclass(kind, ConvertedClassifier) and name == "estimator":
            original = None if value is None else read_step(value, reader)
            params["estimator"] = original
        else:
            params[str(name)] = reader.value(value)
    EXPLAINER.check("explainer", params["explainer"], kind.__name__)
    device = _device(params["device"])
    params["device"] = "auto" if device is None else params["device"]
    model: Any = kind(**params)
    device = resolve_device(model.device)
    if isinstance(model, ConvertedClassifier):
        check_arguments(model)
        model._network, model.estimator_, model.device_ = module.to(device), original, device
    else:
        _check_params(model)
        history = [{str(name): reader.value(value) for name, value in epoch.items()} for epoch in node["history"]]
        model.net_ = _net(model, module, device, node["schedule"], history)
        model.device_ = device
    vars(model).update(attributes)
    return model


def _check_params(model: BaseExplainableClassifier) -> None:
    """Raise ValueError for parameters with which no fit would begin."""
    try:
        model.check_params()
    except TypeError as error:
        raise ValueError(str(error)) from error


def _device(name: Any) -> Any:
    """Return the device of that name, None if it is not on this machine."""
    try:
        return resolve_device(name)
    except ValueError:
        return None


def _net(
    model: BaseExplainableClassifier,
    module: nn.Module,
    device: torch.device,
    schedule: Any,
    history: list[dict[str, Any]],
) -> Any:
    """Return a skorch net around a trained module; it holds the weights and the history, and no penalties."""
    max_epochs, decay = schedule
    net = model.net_class(
        module,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        optimizer__weight_decay=float(decay),
        lr=float(model.lr),
        batch_size=int(model.batch_size),
        max_epochs=int(max_epochs),
        train_split=None,
        device=str(device),
        verbose=0,
        callbacks="disable",
    ).initialize()
    net.history_ = History([{**epoch, "batches": []} for epoch in history])
    net.module_.eval()
    return net


def _check_attributes(attributes: dict[str, Any], in_shape: tuple[int, ...]) -> None:
    """Raise ValueError for attributes that no fit leaves behind."""
    unknown = attributes.keys() - set(_ATTRIBUTES)
    classes, n_features = attributes["classes_"], attributes["n_features_in_"]
    if unknown or type(n_features) is not int or not in_shape or n_features != in_shape[0] or min(in_shape) < 1:
        raise ValueError("the attributes of the classifier do not fit each other")
    if (
        not isinstance(classes, np.ndarray)
        or classes.ndim != 1
        or len(set(classes.tolist())) != len(classes)
        or len(classes) < 2
    ):
        raise ValueError("the classes are no different labels")
    for name, shape in (
        ("feature_means_", in_shape),
        ("feature_scales_", in_shape),
        ("feature_range_", (2, *in_shape)),
    ):
        value = attributes.get(name, np.zeros(shape))
        if not isinstance(value, np.ndarray) or value.dtype.kind != "f" or value.shape != shape:
            raise ValueError(f"{name} is not of the shape of the inputs")
    names = attributes.get("feature_names_in_")
    if names is not None and (
        not isinstance(names, np.ndarray) or names.shape != (n_features,) or not all(isinstance(n, str) for n in names)
    ):
        raise ValueError("feature_names_in_ are not the names of the features")
    summary = attributes.get("table_summary_")
    if summary is not None:
        _check_summary(summary, in_shape)
    if not isinstance(attributes.get("_threat"), (ThreatModel, type(None))):
        raise ValueError("the threat model of the training is none")


def _check_summary(summary: Any, in_shape: tuple[int, ...]) -> None:
    rows = [getattr(summary, "baseline", None), getattr(summary, "means", None)]
    if not isinstance(summary, TableSummary) or any(
        not isinstance(row, np.ndarray) or row.dtype.kind != "f" or row.shape != in_shape for row in rows
    ):
        raise ValueError("the typical row is none")
    groups = list(summary.groups)
    if not all(isinstance(group, np.ndarray) and group.dtype.kind == "i" and group.ndim == 1 for group in groups):
        raise ValueError("the groups of features are none")
    if sorted(np.concatenate(groups).tolist()) != list(range(in_shape[0])) or len(summary.names) != len(groups):
        raise ValueError("the groups of features are not all features")
