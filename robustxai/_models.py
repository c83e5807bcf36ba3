"""Resolution of a user's model to the classifier that is explained, or an error with advice.

Attacks, certificates, metrics, displays and scorers all resolve estimators here.

* A fitted Pipeline: its last step is explained. The steps before it transform X, so that inputs, attacked inputs and
  attributions are in the features that the last step sees (:func:`named_rows`).
* A fitted search (``GridSearchCV``, ``BatchedSearchCV``, ...): its ``best_estimator_``.
* A ``FrozenEstimator``: the estimator inside.

These may be nested in any order. A linear classifier or an ``MLPClassifier`` of scikit-learn is converted to a network
(:mod:`robustxai.conversion`). Everything else has to explain itself. Estimators around others that compute another
probability or another prediction (calibration, thresholds, ensembles) are refused, with the expression that reaches the
classifier inside.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, is_classifier, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted
from torch import nn

from robustxai._compat import BaseSearchCV
from robustxai._frames import as_pandas, is_table
from robustxai.protocols import Estimator, ExplainableClassifier, FittedClassifier

__all__ = [
    "EXPLANATIONS",
    "GRADIENTS",
    "check_model",
    "convert_by",
    "inside",
    "module_of",
    "named_rows",
    "resolve_model",
    "transformed",
    "unwrap",
]

#: Attributes that explanations of single points need.
EXPLANATIONS = ("classes_", "predict_proba", "explain")
#: Attributes that derivatives of an attribution need.
GRADIENTS = ("module_", "device_", "explainer_", "gradient")

_BLACK_BOX = (
    "robustxai.attacks.BlackBox(model, explainer) wraps any fitted classifier with an explanation; "
    "NESAttack, RandomAttack and AutoExplanationAttack attack it."
)
_FIRST = "Pass one, for instance VanillaClassifier().fit(X, y)."


#: What makes a classifier that explains itself of one of another library, and None of what it does not know. The
#: folder that converts stands above those that resolve models, hence the list.
_CONVERTERS: list[Callable[[Any], Any]] = []


def convert_by(function: Callable[[Any], Any]) -> None:
    """Let `function` convert fitted classifiers that do not explain themselves."""
    _CONVERTERS.append(function)


def resolve_model(
    estimator: Estimator, X: Any, *, needs: Iterable[str], what: str, way: str = _BLACK_BOX
) -> tuple[ExplainableClassifier, Any]:
    """Return the explained classifier, and X as it sees it.

    Parameters
    ----------
    estimator : fitted classifier, Pipeline, search or FrozenEstimator
        Model of the user.
    X : array-like or table of shape (n_samples, *features)
        In the columns that `estimator` takes.
    needs : iterable of str
        Attributes that the caller uses; "gradient" excludes models that have a module without a derivative.
    what : str
        Name of the caller, for messages.
    way : str, default: the sentence about BlackBox
        Advice for a fitted classifier that does not explain itself.

    Returns
    -------
    model, rows
        `rows` is X itself without preceding steps, else their output.

    Raises
    ------
    TypeError
        An object that cannot be explained; the message names it and gives advice.
    NotFittedError
        A model that is not fitted.
    """
    model, before = unwrap(estimator, needs=needs, what=what, way=way)
    return model, transformed(X, before)


def transformed(X: Any, before: Iterable[Any]) -> Any:
    """Apply the fitted transformers `before` to X; return a pandas DataFrame or an array, X itself without any."""
    for steps in before:
        X = as_pandas(steps.transform(X))
    return X


def named_rows(X: Any, before: Iterable[Any]) -> Any:
    """Return X as the model after the transformers `before` sees it, with feature names where X has names.

    A pandas DataFrame or an array; X itself, converted to one of these, where nothing transforms it.
    """
    index = X.index if isinstance(X, pd.DataFrame) else None
    named, rows = is_table(X), X
    for steps in before:
        rows = steps.transform(rows)
        if named and not is_table(rows):
            names = _names_out(steps, np.shape(rows)[1:])
            if names is not None:
                rows = pd.DataFrame(np.asarray(rows), index=index, columns=names)
    return as_pandas(rows)


def unwrap(
    estimator: Estimator | None, *, needs: Iterable[str], what: str, way: str = _BLACK_BOX, role: str = ""
) -> tuple[ExplainableClassifier, list[Any]]:
    """Return the explained classifier, and the fitted transformers before it, outermost first.

    Parameters and errors as in :func:`resolve_model`; `role` follows the name of a model that is not fitted.
    """
    model, before, path = estimator, [], "model"
    while True:
        _check_object(model, what)
        if isinstance(model, Pipeline):
            _check_fitted(model, role)
            if len(model) > 1:
                before.append(model[:-1])
            if not hasattr(model[-1], "fit"):
                raise TypeError(
                    f"{what} needs a Pipeline that ends in a classifier, and the last step of this one is "
                    f"{model[-1]!r}. Append the classifier and fit the Pipeline."
                )
            model, path = model[-1], f"{path}[-1]"
            continue
        found = inside(model, what, role)
        if found is None:
            break
        model, path = found, f"{path}.{'estimator' if isinstance(model, FrozenEstimator) else 'best_estimator_'}"
    needed = tuple(needs)
    model = _converted(model, what, role)
    if "explain" in needed or "explainer_" in needed or "gradient" in needed:
        _check_explains(model, what, way, path, role)
    return _checked(model, needed, what, way, role), before


def check_model(estimator: FittedClassifier | None, *, needs: Iterable[str], what: str) -> ExplainableClassifier:
    """Return `estimator`, any fitted classifier or Pipeline, after a check that it has the needed attributes."""
    _check_object(estimator, what)
    if isinstance(estimator, BaseSearchCV):
        inside(estimator, what)
    return _checked(estimator, tuple(needs), what, "")


def module_of(init: Any, what: str) -> tuple[nn.Module, list[Any]]:
    """Return the torch module of a fitted classifier, Pipeline, search, net or module, and the transformers before it.

    Raises TypeError or NotFittedError, as :func:`resolve_model`, of anything that has no weights.
    """
    if isinstance(init, nn.Module):
        return init, []
    module = getattr(init, "module_", None)
    if isinstance(module, nn.Module) and getattr(init, "has_gradient", True):
        return module, []
    try:
        model, before = unwrap(init, needs=("module_", "gradient"), what=what, way="")
    except NotFittedError as error:
        raise NotFittedError(f"{what} must be fitted. {error}") from error
    except TypeError as error:
        raise TypeError(
            f"{what} must be a fitted classifier of robustxai (in a Pipeline or search too), a fitted skorch net or a "
            f"torch module. {error}"
        ) from error
    return model.module_, before


def _checked(model: Any, needs: tuple[str, ...], what: str, way: str, role: str = "") -> Any:
    _check_fitted(model, role)
    if "gradient" in needs and not getattr(model, "has_gradient", True):
        raise TypeError(
            f"{what} differentiates the explanation, and {_name(model)} gives answers without gradients. "
            "NESAttack, RandomAttack and AutoExplanationAttack attack it, and certify_smoothed_top_k certifies it."
        )
    missing = [name for name in needs if name != "gradient" and not hasattr(model, name)]
    if "predict_proba" in missing:
        raise TypeError(
            f"{what} needs probabilities, and {_name(model)} has no predict_proba. Use a classifier that has it, or "
            "CalibratedClassifierCV(model).fit(X, y)."
        )
    if missing:
        raise TypeError(f"{what} needs a fitted classifier, and {_name(model)} has no {missing[0]!r}. {way}".rstrip())
    return model


def _check_object(model: Any, what: str) -> None:
    """Raise for objects that are not estimators."""
    if model is None:
        raise TypeError(f"{what} has no model: pass a fitted classifier, got None.")
    if isinstance(model, type):
        name = model.__name__
        raise TypeError(
            f"{what} needs a fitted classifier, got the class {name}: make one and fit it, {name}().fit(X, y)."
        )
    if isinstance(model, nn.Module):
        raise TypeError(
            f"{what} needs a fitted classifier, got the torch module {_name(model)}, which has no classes and no "
            "explanation. robustxai.as_explainable(module, X, classes=classes) gives it both. "
            "VanillaClassifier(module=module, init=module).fit(X, y), or any other classifier of robustxai, goes on "
            "from its weights."
        )
    is_estimator = isinstance(model, BaseEstimator)  # asked first, because it takes a long time to rule out a table
    if isinstance(model, (np.ndarray, list, tuple, dict, set)) or (not is_estimator and is_table(model)):
        raise TypeError(f"{what} needs a fitted classifier, got a {type(model).__name__}. {_FIRST}")
    if isinstance(model, (str, bytes, numbers.Number)):
        raise TypeError(f"{what} needs a fitted classifier, got {model!r}. {_FIRST}")
    if not is_estimator or isinstance(model, (Pipeline, BaseSearchCV, FrozenEstimator)):
        return
    if is_regressor(model):
        raise TypeError(
            f"{what} needs a classifier, got the regressor {_name(model)}. Predict classes instead, for instance "
            "whether the target lies above its median."
        )
    if not is_classifier(model) and not any(hasattr(type(model), method) for method in ("explain", "predict_proba")):
        raise TypeError(f"{what} needs a fitted classifier, and {_name(model)} is none. {_FIRST}")


def inside(model: Any, what: str, role: str = "") -> Any:
    """Return the estimator inside of a search or FrozenEstimator, None for any other object."""
    if hasattr(model, "best_estimator_"):
        return model.best_estimator_
    if isinstance(model, BaseSearchCV):
        if hasattr(model, "cv_results_"):
            raise TypeError(
                f"{what} needs a model, and this {_name(model)} has none, because it was run with refit=False. "
                "Pass refit=True, or the name of a metric, and fit it again."
            )
        raise NotFittedError(f"The {_name(model)}{role} is not fitted yet: call its fit(X, y) first.")
    return model.estimator if isinstance(model, FrozenEstimator) else None


def _check_fitted(model: Any, role: str) -> None:
    if not hasattr(model, "fit"):
        return  # a user's object without fit; its attributes decide
    if hasattr(model, "__sklearn_is_fitted__"):
        fitted = model.__sklearn_is_fitted__()  # called here, so that errors of a BlackBox about its model are raised
    else:
        try:
            check_is_fitted(model)
            fitted = True
        except NotFittedError:
            fitted = False
    if not fitted:
        raise NotFittedError(f"The {_name(model)}{role} is not fitted yet: call its fit(X, y) first.")


def _check_explains(model: Any, what: str, way: str, path: str, role: str) -> None:
    """Raise for fitted classifiers of other libraries; `path` is the expression that reached the model."""
    if not isinstance(model, BaseEstimator) or hasattr(model, "explain"):
        return
    name = _name(model)
    if any(base.__module__.startswith("skorch") for base in type(model).__mro__):
        raise TypeError(
            f"{what} needs a classifier that explains itself, got the skorch net {name}. "
            "robustxai.as_explainable(net, X) explains it as it is. "
            "VanillaClassifier(module=net.module, init=net).fit(X, y), or any other classifier of robustxai, goes on "
            "from its weights."
        )
    _check_fitted(model, role)
    opening = f"{what} needs a classifier that explains itself, and {name} does not."
    for attribute, inside in _parts(model):
        if _explains(inside):
            raise TypeError(f"{opening} {_why(model)} Take the classifier inside, {path}{attribute}. {way}")
    if not hasattr(model, "predict_proba"):
        way = f"CalibratedClassifierCV({name}(...)) gives it the probabilities that are needed. {way}"
    if hasattr(model, "coef_"):
        way = (
            "LogisticRegression, or any linear classifier with probabilities, is taken as it is, and "
            f"robustxai.LinearClassifier is logistic regression too. {way}"
        )
    raise TypeError(f"{opening} {way}")


def _converted(model: Any, what: str, role: str) -> Any:
    """Return a classifier of scikit-learn as a network where there is one, anything else as it is."""
    if not isinstance(model, BaseEstimator) or hasattr(model, "explain"):
        return model
    _check_fitted(model, role)
    for function in _CONVERTERS:
        try:
            found = function(model)
        except (TypeError, ValueError) as error:
            raise TypeError(f"{what} needs a classifier that explains itself. {error}") from error
        if found is not None:
            return found
    return model


def _is_converted(model: Any) -> bool:
    try:
        return any(function(model) is not None for function in _CONVERTERS)
    except (TypeError, ValueError):  # it is known, and has no network
        return False


def _why(model: Any) -> str:
    if hasattr(model, "calibrated_classifiers_"):
        return "It maps the probabilities of the classifiers inside, each of its own explanation."
    if hasattr(model, "estimators_"):
        return "It puts several classifiers together, each of its own explanation."
    return "It changes the answers of the classifier inside."


def _parts(model: Any) -> Iterator[tuple[str, Any]]:
    """Yield the fitted estimators inside of a meta-estimator, with the expressions that reach them."""
    for calibrated in list(getattr(model, "calibrated_classifiers_", ()))[:1]:
        yield ".calibrated_classifiers_[0].estimator", calibrated.estimator
    several = getattr(model, "estimators_", None)
    if several is not None and len(several):
        yield ".estimators_[0]", several[0]
    if hasattr(model, "estimator_"):
        yield ".estimator_", model.estimator_


def _explains(model: Any) -> bool:
    """Return whether a fitted model, or the one inside of it, explains itself."""
    while True:
        if isinstance(model, Pipeline):
            model = model[-1]
        elif hasattr(model, "best_estimator_"):
            model = model.best_estimator_
        elif isinstance(model, FrozenEstimator):
            model = model.estimator
        else:
            return _is_converted(model) or (hasattr(model, "explain") and hasattr(model, "classes_"))


def _names_out(steps: Any, shape: tuple[int, ...]) -> list[str] | None:
    """Return the names of the features that fitted transformers make, where they provide them."""
    try:
        names = [str(name) for name in steps.get_feature_names_out()]
    except (AttributeError, ValueError, TypeError):  # a user's step may not know them
        return None
    return names if shape == (len(names),) else None


def _name(model: Any) -> str:
    return type(model).__name__
