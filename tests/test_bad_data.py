"""Data, models and labels that are none: errors in our words, or in scikit-learn's, and never from the depths."""

import inspect
import traceback
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch

import robustxai
from robustxai import SoftplusClassifier, attacks, certificates, datasets, inspection, metrics, model_selection, retrain
from robustxai.perturbation import ThreatModel

OURS = str(Path(robustxai.__file__).parent)
#: scikit-learn's own checks of X and y are those that its users know.
KNOWN = (OURS, str(Path(sklearn.__file__).parent))

#: What is neither data, nor a model, nor labels, nor a number.
NO_DATA = {
    "object": object(),
    "text": "abc",
    "bytes": b"abc",
    "dict": {"a": 1},
    "set": {1, 2},
    "function": print,
    "slice": slice(2),
    "ellipsis": ...,
    "ragged": [[1, 2], [3]],
    "text array": np.array([["a"] * 5] * 3),
    "objects": np.array([[object()] * 5] * 3),
    "list of None": [None] * 3,
    "text column": pd.DataFrame({"a": ["x", "y"]}),
    "complex": np.zeros((3, 5), dtype=complex),
    "class": torch.Tensor,
}

rng = np.random.default_rng(0)
X = rng.normal(size=(40, 5)).astype(np.float32)
y = (X[:, 0] > 0).astype(int)
small = {"max_epochs": 1}
quick = attacks.RandomAttack(max_iter=1, k=2)


@pytest.fixture(scope="module")
def clf():
    return SoftplusClassifier(max_epochs=2).fit(X, y)


def metric_calls():
    """A call of every metric for each of its data arguments."""
    images = rng.normal(size=(3, 12, 12))
    for name in metrics.__all__:
        function = getattr(metrics, name)
        if inspect.isclass(function):
            continue
        parameters = inspect.signature(function).parameters

        def call(value, argument, clf, name=name, function=function, parameters=parameters):
            attribution = images if name in ("ssim", "center_of_mass_distance") else X
            known = {
                **{"estimator": clf, "X": X, "X_adv": X, "y": y, "attribution": attribution, "precision": 0.5},
                **{"attribution_adv": attribution, "attributions": [X], "reference": X, "between_rows": 0.2},
                **{"first_flip": np.arange(40.0), "values": np.arange(40.0)},
            }
            needed = {n: known[n] for n, p in parameters.items() if p.default is inspect.Parameter.empty}
            fast = {n: 2 for n in ("k", "n_draws", "n_points") if n in parameters}
            return function(**{**needed, **fast, argument: value})

        for argument in parameters:
            if argument not in ("k", "ranking") and parameters[argument].kind is not inspect.Parameter.KEYWORD_ONLY:
                yield f"{name}({argument})", lambda v, clf, call=call, argument=argument: call(v, argument, clf)


CALLS = {
    **dict(metric_calls()),
    "fit(X)": lambda v, clf: SoftplusClassifier(**small).fit(v, y),
    "fit(y)": lambda v, clf: SoftplusClassifier(**small).fit(X, v),
    "predict(X)": lambda v, clf: clf.predict(v),
    "explain(X)": lambda v, clf: clf.explain(v),
    "explain(y)": lambda v, clf: clf.explain(X, v),
    "encode_target(X)": lambda v, clf: clf.encode_target(v),
    "init": lambda v, clf: SoftplusClassifier(init=v, **small).fit(X, y),
    "retrain(init)": lambda v, clf: retrain(SoftplusClassifier(), v, X, y, k=2, max_epochs=1),
    "retrain(X)": lambda v, clf: retrain(SoftplusClassifier(), clf, v, y, k=2, max_epochs=1),
    "retrain(validation_data)": lambda v, clf: retrain(SoftplusClassifier(), clf, X, y, validation_data=(v, y)),
    "certify_top_k(estimator)": lambda v, clf: certificates.certify_top_k(v, X[:2], k=2),
    "certify_top_k(X)": lambda v, clf: certificates.certify_top_k(clf, v, k=2),
    "certify_top_k(threat)": lambda v, clf: certificates.certify_top_k(clf, X[:2], k=2, threat=v),
    "certified_radius(X)": lambda v, clf: certificates.certified_radius(clf, v, k=2),
    "certify_smoothed_top_k(X)": lambda v, clf: certificates.certify_smoothed_top_k(clf, v, k=2),
    "curvature_bound(estimator)": lambda v, clf: certificates.curvature_bound(v),
    "ERAttack(estimator)": lambda v, clf: attacks.ERAttack(v).fit(X),
    "ERAttack.run(X)": lambda v, clf: attacks.ERAttack(clf, k=2).run(v),
    "FGSM.transform(X)": lambda v, clf: attacks.FGSM(clf).fit(X).transform(v),
    "FGSM.transform(y)": lambda v, clf: attacks.FGSM(clf).fit(X).transform(X, v),
    "AutoExplanationAttack.curve(X)": lambda v, clf: attacks.AutoExplanationAttack(clf, k=2).curve(v, [0.1]),
    "TargetedManipulation(target_units)": lambda v, clf: attacks.TargetedManipulation(clf, k=2, target_units=v).fit(X),
    "BlackBox(estimator)": lambda v, clf: attacks.BlackBox(v, np.asarray).fit(),
    "ThreatModel(bounds)": lambda v, clf: ThreatModel(bounds=v).bind(X),
    "ThreatModel(frozen)": lambda v, clf: ThreatModel(frozen=v).bind(X),
    "ThreatModel(scale)": lambda v, clf: ThreatModel(scale=v).bind(X),
    "SaliencyDisplay(X_adv)": lambda v, clf: inspection.SaliencyDisplay(X, v, X, X, k=2).plot(),
    "SaliencyDisplay.from_estimator(X)": lambda v, clf: inspection.SaliencyDisplay.from_estimator(clf, v, attack=quick),
    "SaliencyDisplay.from_estimator(estimator)": (
        lambda v, clf: inspection.SaliencyDisplay.from_estimator(v, X, attack=quick)
    ),
    "StabilityCurveDisplay.from_estimators(X)": (
        lambda v, clf: inspection.StabilityCurveDisplay.from_estimators({"a": clf}, v, epsilons=[0.1], attack=quick)
    ),
    "StabilityCurveDisplay.from_curves(curves)": (
        lambda v, clf: inspection.StabilityCurveDisplay.from_curves({"a": v}, [0.1], k=2)
    ),
    "BatchedSearchCV(estimator)": lambda v, clf: model_selection.BatchedSearchCV(v, {"lr": [0.1]}).fit(X, y),
    "BatchedSearchCV(param_grid)": lambda v, clf: model_selection.BatchedSearchCV(clf, v, cv=2).fit(X, y),
    "tune(space)": lambda v, clf: model_selection.tune(clf, {"lr": v}, X, y, n_trials=1),
    "make_pairs(y)": lambda v, clf: datasets.make_pairs(X, v),
    "make_preprocessor(X)": lambda v, clf: datasets.make_preprocessor(v),
}
#: What some of these do take: a callable of a user's own, a table of text, labels of any type, features by name.
TAKEN = {
    "certify_smoothed_top_k(estimator)": {"function"},
    "make_preprocessor(X)": {"text column"},
    "certify_top_k(threat)": set(),
    "fit(y)": {"text array"},
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("label", CALLS)
@pytest.mark.parametrize("kind", NO_DATA)
def test_what_is_no_data_is_refused(label, kind, clf):
    if kind in TAKEN.get(label, ()):
        pytest.skip("taken")
    with pytest.raises(Exception) as caught:  # noqa: PT011 - which ones is asked below
        CALLS[label](NO_DATA[kind], clf)
    error = caught.value
    where = f"{label} of {kind}: {type(error).__name__}: {error}"
    assert isinstance(error, (TypeError, ValueError)), where
    frame = traceback.extract_tb(error.__traceback__)[-1].filename
    assert frame.startswith(KNOWN), f"{where} in {frame}"
    slips = ("object has no attribute", "object is not iterable", "unsupported operand", "is not subscriptable")
    assert not any(slip in str(error) for slip in slips), where


def test_text_in_a_table_is_named_by_its_column(clf):
    table = pd.DataFrame(X, columns=list("abcde")).assign(c="x")
    for call in (lambda: SoftplusClassifier(**small).fit(table, y), lambda: clf.predict(table)):
        with pytest.raises(ValueError, match=r"something else than numbers in the column 'c' .*make_preprocessor"):
            call()
