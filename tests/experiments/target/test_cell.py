"""Trainings to a target: a cell in small, the choice on validation rows, and the name of a cell."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from robustxai.attacks import BoundaryMarginAttack
from robustxai.benchmark import ATTACKS, DATA, BaseCell
from robustxai.classifiers import _measurement
from robustxai.experiments.target import MODELS, TargetCell, _cell, run_target_cell
from robustxai.metrics import chance_corrected_precision


def small_table():
    r = np.random.default_rng(0)
    X = pd.DataFrame({"age": r.uniform(size=240), "debt": r.uniform(size=240), "home": r.choice(list("abc"), 240)})
    return X, (X["age"] + np.sin(6 * X["debt"]) + 0.3 * (X["home"] == "a") > 0.9).astype(int)


def cheap(k, threat, max_iter=3, seed=0):
    return BoundaryMarginAttack(k=k, threat=threat, max_iter=3, random_state=0)


def fast(made):
    for estimator in made.values() if isinstance(made, dict) else [made]:
        names = estimator.get_params()
        epochs = {"max_epochs": 2} if "max_epochs" in names else {}
        teacher = {"teacher__max_iter": 3} if names.get("teacher") is not None else {}
        estimator.set_params(**epochs, **teacher, **({"max_iter": 3} if "max_iter" in names else {}))
    return made


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setitem(DATA, "small", small_table)
    monkeypatch.setitem(ATTACKS, "auto", cheap)
    monkeypatch.setattr(
        _measurement,
        "_measure",
        lambda clf, X, k, threat, ranking: cheap(k, threat).set_params(estimator=clf).run(X).precision_at_k,
    )
    for name, make in list(MODELS.items()):
        monkeypatch.setitem(MODELS, name, lambda k, seed, make=make: fast(make(k, seed)))


CELL = TargetCell("small", "r2et_target_teacher_centered", 0, k=2, epsilon=0.3, n_rows=20)


def test_a_cell_that_is_trained_to_a_target(registered):
    row = run_target_cell(replace(CELL, target=1e-3))
    assert row["shortfall"] == 0
    assert row["n_held_out"] > 0
    for prefix in ("", "centered_"):
        p, b = row[f"{prefix}precision_at_k"], row[f"{prefix}between_rows_precision"]
        assert 0 < p <= 1
        assert row[f"{prefix}corrected_precision_at_k"] == pytest.approx(chance_corrected_precision(p, b), nan_ok=True)
    assert 0.5 < row["teacher_auc"] <= 1
    estimator = CELL.estimators()[CELL.defense]
    assert (estimator.target_precision, estimator.threat.epsilon, estimator.explainer) == (0.95, 0.3, "auto")


def test_a_shortfall_is_in_the_row(registered, monkeypatch):
    monkeypatch.setattr(_measurement, "_measure", lambda clf, X, **options: np.full(len(X), 0.5))
    row = run_target_cell(replace(CELL, defense="r2et_target"))
    assert (row["shortfall"], row["held_out_precision"]) == (1, 0.5)


def test_trees_have_an_area_and_nothing_else(registered):
    row = run_target_cell(replace(CELL, defense="teacher"))
    assert 0.5 < row["roc_auc"] <= 1
    assert np.isnan([row["precision_at_k"], row["centered_between_rows_precision"], row["held_out_precision"]]).all()


def test_validation_rows_choose_and_no_test_row_is_read(registered, monkeypatch):
    cell = replace(CELL, defense="plain")
    assert [len(part) for part in cell.rows()] == [180, 60, 180, 60]
    seen = []

    class Fake:
        def __init__(self, area):
            self.area = area

        def fit(self, X, y):
            seen.append((self.area, len(X), len(y)))
            return self

    def area(clf, rows, labels):
        assert (len(rows), len(labels)) == (45, 45)
        return clf.area

    monkeypatch.setattr(_cell, "roc_auc", area)
    assert _cell._chosen(cell, {"a": Fake(0.7), "b": Fake(0.9), "c": Fake(0.8)}) == "b"
    assert seen == [(0.7, 135, 135), (0.9, 135, 135), (0.8, 135, 135)]


def test_the_name_has_every_field(registered):
    changes = {"defense": "plain", "seed": 1, "k": 3, "epsilon": 0.4, "target": 0.9, "n_rows": 6}
    names = {CELL.name, *(replace(CELL, **{name: value}).name for name, value in changes.items())}
    assert len(names) == len(changes) + 1
    assert isinstance(CELL, BaseCell)
    assert set(replace(CELL, defense="plain_teacher").estimators()) == {"vanilla", "softplus", "wide"}
