"""Everything once on a device: ``python -m tests.device_tour device`` (or gpu, or cpu) prints a line for every step.

The emulated device runs in a process of its own: what goes wrong below Python would take the whole suite with it.
"""

import json
import sys
import traceback
import warnings
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris

import robustxai
from robustxai import attacks, certificates, metrics
from robustxai.attacks import _auto
from robustxai.classifiers import _epochs, _net, _persistence
from robustxai.engine import StackMember, train_together
from robustxai.model_selection import PrecisionAtKScorer
from tests.elsewhere import DEVICE, elsewhere

X, y = load_iris(return_X_y=True)
ROWS = X[::15]
#: The derivative of its gradients in one pass crashes below Python with tensors that have no memory of their own.
LEFT_OUT = ("CrossLipschitzClassifier",)
DEFENSES = [
    name
    for name in robustxai.__all__
    if name.endswith("Classifier") and name not in (*LEFT_OUT, "ATEXClassifier", "VanillaClassifier")
]
#: Options that spare repetitions of the same operations.
CHEAP = {
    "CertifiedR2ETClassifier": {"n_rows": 2, "batch_size": 150},
    "ARTClassifier": {"max_iter": 1},
    "FARClassifier": {"n_points": 2, "max_iter": 2},
    "IGNormClassifier": {"n_points": 2, "max_iter": 2},
    "AttributionContrastClassifier": {"n_points": 2, "max_iter": 2},
    "MARTClassifier": {"max_iter": 2},
    "TRADESClassifier": {"max_iter": 2},
    "IGRClassifier": {"n_points": 2, "max_iter": 2},
    "MapDiscrepancyClassifier": {"n_points": 2, "max_iter": 2},
    "NESAttack": {"n_draws": 4},
}
ATTACKS = [
    "ERAttack", "MSEAttack", "BoundaryMarginAttack", "RandomAttack", "NESAttack", "SoftOverlapAttack",
    "MultiObjectiveAttack", "PromotionAttack", "TopKManipulation",
]  # fmt: skip
METRICS = {
    "thickness": lambda clf: metrics.ranking_thickness(clf, ROWS, k=2, n_draws=3),
    "hessian": lambda clf: metrics.hessian_norm(clf, ROWS[:3]),
    "comprehensiveness": lambda clf: metrics.comprehensiveness(clf, ROWS, clf.explain(ROWS)),
    "sufficiency": lambda clf: metrics.sufficiency(clf, ROWS, clf.explain(ROWS)),
}


def params(name, **more):
    """A short training; fused Adam knows the names of devices that there are."""
    chosen = {"max_epochs": 2, "batch_size": 75, "optimizer__fused": False, **CHEAP.get(name, {}), **more}
    if "k" in getattr(robustxai, name)().get_params():
        chosen["k"] = 2
    return chosen


def fit(name, **more):
    return getattr(robustxai, name)(**params(name, **more)).fit(X, y)


def stacked(rates=(0.01, 0.02)):
    """Two classifiers that were trained as a stack, as a search does. (Its tasks are pickled, which "meta" is not.)"""
    classifiers = [robustxai.SoftplusClassifier(**params("SoftplusClassifier"), lr=rate) for rate in rates]
    checked = [clf._check_fit(X, y)[:3] for clf in classifiers]
    nets = [clf._start(rows, codes, len(c))[0] for clf, (rows, codes, c) in zip(classifiers, checked)]
    members = [StackMember(net, rows=0) for net in nets]
    train_together(members, {0: checked[0][:2]})
    return [clf._finish(m.net, rows, c) for clf, m, (rows, _, c) in zip(classifiers, members, checked)]


def attacked_together():
    scorer = PrecisionAtKScorer(attacks.ERAttack(k=2, max_iter=3))
    return scorer.score_together(stacked(), ROWS)


def ensemble(clf):
    """The members of the preset, with a few iterations each."""
    few = [(kind, {**options, "max_iter": 4}) for kind, options in _auto.PRESETS["fast"]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(_auto.PRESETS, "fast", few)
        return attacks.AutoExplanationAttack(clf, k=2, preset="fast").run(ROWS).precision_at_k


def steps():
    """Names and what to do; a fitted classifier is handed on to the steps after it."""
    clf = {}

    def first(**more):
        clf["it"] = fit("VanillaClassifier", module__activation="softplus", **more)
        return clf["it"].predict_proba(ROWS)

    yield "fit", first
    yield "predict_proba", lambda: clf["it"].predict_proba(ROWS)
    yield "explain", lambda: clf["it"].explain(ROWS)
    for explainer in ("integrated_gradients", "smooth_grad", "gradient_times_input", "log_odds_gradient"):
        yield explainer, lambda e=explainer: clf["it"].explain(ROWS, explainer=e)
    for name in ATTACKS:
        yield (
            name,
            lambda a=name: getattr(attacks, a)(clf["it"], k=2, max_iter=4, **CHEAP.get(a, {})).run(ROWS).precision_at_k,
        )
    for name in ("FGSM", "PGD"):
        yield name, lambda a=name: getattr(attacks, a)(clf["it"]).fit(ROWS).transform(ROWS)
    yield "ensemble", lambda: ensemble(clf["it"])
    yield "certificate", lambda: certificates.certify_top_k(clf["it"], ROWS, k=2, epsilon=0.05).precision_at_k
    yield "radius", lambda: certificates.certified_radius(clf["it"], ROWS[:1], k=2, max_iter=3)
    for name, metric in METRICS.items():
        yield name, lambda m=metric: m(clf["it"])
    for name in DEFENSES:
        # R2ET is compared with itself in other batches; of the others the second epoch does what the first did
        n_epochs = 2 if name == "R2ETClassifier" else 1
        yield name, lambda n=name, m=n_epochs: fit(n, max_epochs=m).predict_proba(ROWS)
    yield "fit, small batches", lambda: first(batch_size=19)
    yield "R2ET, small batches", lambda: fit("R2ETClassifier", batch_size=19).predict_proba(ROWS)
    yield "R2ET, in parts", lambda: fit("R2ETClassifier", internal_batch_size=25).predict_proba(ROWS)
    weights = torch.tensor([1.0, 2.0, 3.0])
    yield "class weights", lambda: fit("VanillaClassifier", criterion__weight=weights).predict_proba(ROWS)
    yield "ATEX", lambda: fit("ATEXClassifier", init=fit("SoftplusClassifier")).predict_proba(ROWS)
    yield "stack", lambda: [clf.predict_proba(ROWS) for clf in stacked()]
    yield "attack on a stack", attacked_together


def tour(place):
    """Yield a line for every step on "device", "gpu" or "cpu"."""
    chosen = DEVICE if place == "device" else torch.device("cpu")
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        if place != "gpu":
            for module in (_epochs, _net, _persistence):
                patch.setattr(module, "resolve_device", lambda device: chosen)
        warnings.simplefilter("ignore")
        with nullcontext([]) if place == "gpu" else elsewhere() as waits:
            for name, step in steps():
                waits.clear()
                line = {"name": name}
                try:
                    line["value"] = np.asarray(step(), dtype=float).tolist()
                except Exception:
                    line["error"] = traceback.format_exc()
                yield {**line, "waits": list(waits)}


if __name__ == "__main__":
    for line in tour(sys.argv[1]):
        print(json.dumps(line), flush=True)
