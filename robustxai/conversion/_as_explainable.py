"""as_explainable: a fitted model of another library as a classifier that explains itself."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from scipy.sparse import sparray, spmatrix
from sklearn.pipeline import Pipeline
from skorch import NeuralNet
from torch import nn

from robustxai._arguments import Either, Instance, Nothing, Rows, checked, optional
from robustxai._frames import as_pandas, in_numbers
from robustxai._models import check_model, inside, transformed
from robustxai._switches import own_switches
from robustxai.classifiers import DEVICE, copy_with_modules, unwrapped
from robustxai.conversion._converted import ConvertedClassifier
from robustxai.conversion._exact import exact_network
from robustxai.explainers import EXPLAINER
from robustxai.protocols import Estimator, Explainer, ExplainerName, FittedClassifier

__all__ = ["as_explainable"]

_WHAT = "as_explainable"
#: Constraint on X: what scikit-learn's models take.
ROWS = Either((Rows(), Instance((sparray, spmatrix)), Nothing()), words=f"{Rows().says()}, a sparse matrix or None")


@checked(X=ROWS, classes=optional(Rows(1)), explainer=optional(EXPLAINER), device=DEVICE)
def as_explainable(
    estimator: Estimator | FittedClassifier | NeuralNet | nn.Module,
    X: Any = None,
    *,
    classes: Any = None,
    explainer: ExplainerName | Explainer | None = None,
    device: str | torch.device = "auto",
) -> Any:
    r"""Return a fitted model of scikit-learn, skorch or torch as a classifier that explains itself.

    The model is rebuilt as a torch network with the same probabilities, to 1e-6, or refused. Attacks, certificates,
    metrics and reasons then treat it as a classifier of the library. They also take the models of scikit-learn as they
    are, convert them in this way, and explain them by the gradient of the probability where no other explanation is
    asked for; ``as_explainable`` is for another explainer, for rows to check and to start from, and for networks.

    * Linear classifiers with probabilities (``LogisticRegression``, ``SGDClassifier(loss="log_loss")``,
      ``LinearDiscriminantAnalysis``) become a network without hidden layers. The log-odds z of the second of two
      classes become the logits (-z / 2, z / 2). One class against the rest has the logits :math:`\log \sigma(z_c)`.
    * ``MLPClassifier`` becomes the :class:`~robustxai.nets.MLP` of its layers.
    * A skorch net becomes its module, with logits where the module returns log-odds or probabilities.
    * A torch module is copied. It returns logits.

    The steps of a Pipeline before the last stay as they are. A search or a FrozenEstimator is replaced by the model
    inside.

    Parameters
    ----------
    estimator : fitted classifier, Pipeline, search, skorch net or nn.Module
        The model, which is not changed. One that explains itself is returned as it is, or with `explainer`.
    X : array-like or table of shape (n, *features), optional
        Rows as the model takes them, best those of its training. Probabilities are compared there. Their typical row is
        the baseline of contributions, their mean what faithfulness metrics put in place of removed features. Networks
        need rows; models of scikit-learn are compared at random rows in any case.
    classes : array-like of shape (n_classes,), optional
        Labels of the outputs of a module; 0, 1, ... by default. Other models have their own.
    explainer : str or Explainer, optional
        Attribution that `explain` returns; "gradient" by default.
    device : str, default="auto"
        "auto" (the GPU if there is one, else the CPU) or the name of a torch device.

    Returns
    -------
    ConvertedClassifier or Pipeline
        A Pipeline for a Pipeline, whose steps before the last are those of `estimator`.

    Raises
    ------
    TypeError
        A model that no network equals (trees, neighbors, kernels, models without probabilities), by its name.
    ValueError
        Probabilities that differ, a module whose outputs are no logits, classes that do not fit.
    NotFittedError
        A model that is not fitted.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from robustxai import as_explainable
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> pipe = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)
    >>> clf = as_explainable(pipe, X, explainer="log_odds_gradient")[-1]
    >>> bool(abs(clf.explain(pipe[:-1].transform(X), 1) - pipe[-1].coef_).max() < 1e-6)
    True
    """
    if isinstance(estimator, nn.Module):
        return _of_module(estimator, X, classes, explainer or "gradient", device)
    if classes is not None:
        raise ValueError(
            f"classes are the labels of the outputs of a torch module; {type(estimator).__name__} has its own."
        )
    check_model(estimator, needs=(), what=_WHAT)
    if isinstance(estimator, Pipeline):
        name, last = estimator.steps[-1]
        rows = None if X is None else transformed(X, [estimator[:-1]] if len(estimator) > 1 else [])
        converted = as_explainable(last, rows, explainer=explainer, device=device)
        return Pipeline([*estimator.steps[:-1], (name, converted)])
    if (model := inside(estimator, _WHAT)) is not None:
        return as_explainable(model, X, explainer=explainer, device=device)
    if hasattr(estimator, "explain"):
        if explainer is None:
            return estimator
        view: Any = copy.copy(estimator)
        return view.set_params(explainer=explainer)
    return _of_model(estimator, X, explainer or "gradient", device)


def _of_model(
    model: Any, X: Any, explainer: ExplainerName | Explainer, device: str | torch.device
) -> ConvertedClassifier:
    with own_switches():
        rows = None if X is None else as_pandas(X)
        return ConvertedClassifier(model, explainer=explainer, device=device)._hold(
            model, exact_network(model, rows), np.asarray(model.classes_), rows
        )


def _of_module(
    module: nn.Module, X: Any, classes: Any, explainer: ExplainerName | Explainer, device: str | torch.device
) -> ConvertedClassifier:
    name = type(module).__name__
    if X is None:
        raise TypeError(f"The module {name} needs rows, which show the shapes of its inputs and outputs: pass X.")
    with own_switches():
        network = copy_with_modules(unwrapped(module)).eval()
        weight = next(network.parameters(), torch.empty(0))
        rows = as_pandas(X)
        with in_numbers(rows):
            x = torch.tensor(np.asarray(rows), dtype=weight.dtype, device=weight.device)
        with torch.no_grad():
            outputs = network(x)
        if outputs.ndim != 2 or len(outputs) != len(x) or outputs.shape[1] < 2 or not outputs.isfinite().all():
            raise ValueError(
                f"The module {name} returned {_of_outputs(outputs)} for {len(x)} rows. It must return finite logits of "
                "shape (n, n_classes), two for a binary problem."
            )
        if (outputs >= 0).all() and torch.allclose(outputs.sum(dim=1), outputs.new_ones(len(x)), rtol=0, atol=1e-5):
            raise ValueError(
                f"The outputs of the module {name} are probabilities, and a network returns logits, of which the "
                "softmax is taken. Leave out its last softmax."
            )
        n_classes = outputs.shape[1]
        labels = np.arange(n_classes) if classes is None else np.asarray(classes)
        if len(labels) != n_classes or len(np.unique(labels)) != n_classes:
            raise ValueError(f"classes must be {n_classes} different labels, one per output; got {labels.tolist()}.")
        return ConvertedClassifier(module, explainer=explainer, device=device)._hold(module, network, labels, rows)


def _of_outputs(outputs: torch.Tensor) -> str:
    if not outputs.isfinite().all():
        return "NaN or infinity"
    return f"outputs of shape {tuple(outputs.shape)}"
