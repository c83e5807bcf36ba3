"""How much of the way to an attack is proven, on networks that somebody might train."""

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from robustxai import WeightDecayClassifier
from robustxai.attacks import AutoExplanationAttack
from robustxai.benchmark._cell import Cell, prepare_rows
from robustxai.certificates import certified_radius
from robustxai.perturbation import ThreatModel


def table(name):
    if name != "breast_cancer":
        return prepare_rows(Cell(name, "vanilla", 0, ()))
    X, y = load_breast_cancer(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
    scaler = StandardScaler().fit(X_train)
    return scaler.transform(X_train), scaler.transform(X_test), y_train, y_test


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::robustxai.exceptions.EvaluationWarning")
@pytest.mark.parametrize("name", ["breast_cancer", "adult", "bank", "compas"])
def test_the_proven_radius_is_most_of_the_radius_of_an_attack(name):
    """64-32, softplus of beta 1, weight decay 1e-3; the attack may change the prediction, which the proof allows."""
    X_train, X_test, y_train, _ = table(name)
    clf = WeightDecayClassifier(1e-3, module__activation="softplus", module__beta=1.0).fit(X_train, y_train)
    rows = X_test[:40]
    for ranking in ("signed", "magnitude"):
        proven = certified_radius(clf, rows, 8, ranking=ranking)
        attack = AutoExplanationAttack(clf, k=8, ranking=ranking, preset="fast", threat=ThreatModel(3.0))
        found = attack.minimum_radius(rows, n_levels=24, keep_prediction=False)
        assert (proven <= found + 1e-6).all()
        finite = np.isfinite(found)
        assert finite.sum() >= 3
        assert np.median(proven[finite] / found[finite]) >= 0.6
