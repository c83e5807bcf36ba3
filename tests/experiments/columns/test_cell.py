"""Contributions of columns: a cell in small, trees, and the name of a cell."""

from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest
import shap

from robustxai.attacks import AutoExplanationAttack
from robustxai.benchmark import DATA, BaseCell
from robustxai.columns import TableThreat
from robustxai.experiments.columns import MODELS, ColumnsCell, _cell, run_columns_cell
from robustxai.metrics import precision_at_k


def small_table():
    r = np.random.default_rng(0)
    n = 240
    X = pd.DataFrame(
        {"age": r.integers(18, 80, n), "debt": r.gamma(2.0, 500.0, n).round(), "home": r.choice(list("abc"), n)}
    )
    return X, (X["age"] * 30 - X["debt"] + 500 * (X["home"] == "a") > 300).astype(int)


#: Parameters of the models that have no epochs.
FAST = {"logistic_regression": {}, "gradient_boosting": {"max_iter": 5, "min_samples_leaf": 10}}


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setitem(DATA, "small", small_table)
    for name, make in list(MODELS.items()):
        fast = FAST.get(name, {"max_epochs": 30})
        monkeypatch.setitem(MODELS, name, lambda k, e, make=make, fast=fast: make(k, e).set_params(**fast))


CELL = ColumnsCell("small", "r2et", 0, k=1, n_rows=8)


@pytest.mark.parametrize("defense", MODELS)
def test_a_cell_in_small(defense, registered):
    row = run_columns_cell(replace(CELL, defense=defense))
    assert row["n_columns"] == 3
    assert row["n_rows"] == 8
    assert 0 <= row["precision_at_k"] <= 1
    if defense == "gradient_boosting":  # nothing is proven of trees
        assert np.isnan(row["certified_precision_at_k"])
    else:
        assert 0 <= row["certified_precision_at_k"] <= row["precision_at_k"]
    assert 0.5 < row["roc_auc"] <= 1
    again = {**run_columns_cell(replace(CELL, defense=defense)), "fit_seconds": row["fit_seconds"]}
    pd.testing.assert_series_equal(pd.Series(row), pd.Series(again))


def test_trees_are_attacked_through_shap_over_all_rows_of_a_small_lattice(registered):
    X, y = small_table()
    X["home"] = X["home"].where(X["age"] % 5 > 0)  # gaps stay gaps
    cell = replace(CELL, defense="gradient_boosting")
    threat = TableThreat.from_frame(X, budgets={"age": 2, "debt": 3}, max_switches=1)
    pipe = _cell._explained(_cell._fitted(cell, X, y))
    rows = X.iloc[:4]
    assert rows["home"].isna().any()
    found = AutoExplanationAttack(pipe, k=1, threat=threat, preset="fast").run(rows)
    assert found.exhaustive.all()
    encoder, explainer = pipe[0], shap.TreeExplainer(pipe[-1].estimator)
    for place in range(len(rows)):
        row = rows.iloc[[place]]
        others = [
            row.assign(age=age, debt=debt, home=home).astype(X.dtypes)
            for age, debt, home in product(
                range(max(18, row["age"].item() - 2), min(79, row["age"].item() + 2) + 1),
                row["debt"].item() + np.arange(-3, 4),
                [None] if row["home"].isna().item() else list("abc"),
            )
        ]
        others = pd.concat([other for other in others if threat.contains(row, other)])
        kept = others[pipe.predict(others) == pipe.predict(row)]
        said, own = (explainer.shap_values(encoder.transform(some)) for some in (kept, row))
        lowest = precision_at_k(np.repeat(own, len(said), axis=0), said, 1).min()
        assert found.precision_at_k[place] == lowest


def test_a_removed_column_takes_its_median_or_mode():
    X = pd.DataFrame({"age": [1, 2, 3, 9], "debt": [1.0, np.nan, 3.0, 5.0], "home": ["b", "b", None, "a"]})
    row = _cell._typical(X.assign(kind=pd.Categorical(["x", "y", "y", "y"])))
    assert row.iloc[0].tolist() == [2, 3.0, "b", "y"]
    assert row.dtypes.drop("kind").equals(X.dtypes)
    assert row["kind"].dtype == "category"


def test_rows_beyond_the_observed_range_are_left_out(registered):
    X, _ = small_table()
    threat = CELL.threat(X)
    rows = pd.concat([X[:2].assign(age=200), X[:2].assign(home="z"), X[:5]], ignore_index=True)
    assert np.flatnonzero(_cell._inside(threat, rows, 3)).tolist() == [4, 5, 6]


def test_the_name_has_every_field(registered):
    changes = {"defense": "softplus", "seed": 1, "k": 2, "share": 0.1, "max_switches": 0, "n_rows": 6}
    changes |= {"method": "gradient_times_input", "n_points": 3}
    names = {CELL.name, *(replace(CELL, **{name: value}).name for name, value in changes.items())}
    assert len(names) == len(changes) + 1
    assert isinstance(CELL, BaseCell)
