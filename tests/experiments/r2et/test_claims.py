"""The cells of numerical and statistical stability."""

import runpy
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata

from robustxai.benchmark import DATA, BaseCell, _experiment
from robustxai.experiments.r2et.claims import (
    NumericalCell,
    StatisticalCell,
    _cells,
    claims_markdown,
    run_numerical_cell,
    run_statistical_cell,
)

NUMERICAL = NumericalCell("breast_cancer", "softplus", 0, n_train=100, k=3, max_iter=4, n_rows=10)
STATISTICAL = StatisticalCell("breast_cancer", "softplus", 0, 60, k=3, n_rows=10)


@pytest.fixture
def small(monkeypatch):
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(160, 6)), columns=list("abcdef"))
    monkeypatch.setitem(DATA, "breast_cancer", lambda: (X, pd.Series((X["a"] * X["b"] > 0).astype(int))))
    monkeypatch.setattr(_cells, "_STEPS", 60)


def test_the_cells_of_the_command_can_be_sent_to_other_processes(monkeypatch, tmp_path):
    seen = []

    def on_this_machine(cells, run, n_jobs):
        seen.extend([*map(type, cells), run])
        raise KeyboardInterrupt

    monkeypatch.setattr(_experiment, "on_this_machine", on_this_machine)
    monkeypatch.setattr(sys, "argv", ["claims", str(tmp_path), "--data", "compas", "--seeds", "1"])
    with pytest.raises(KeyboardInterrupt):
        runpy.run_module("robustxai.experiments.r2et.claims", run_name="__main__")
    assert {thing.__module__ for thing in seen} == {"robustxai.experiments.r2et.claims._cells"}


@pytest.mark.parametrize("cell", [NUMERICAL, STATISTICAL], ids=["numerical", "statistical"])
def test_the_name_has_everything_that_the_result_depends_on(cell, small, monkeypatch):
    changes = {"defense": "r2et", "seed": 1, "n_train": 50, "k": 2, "epsilon": 0.1, "n_rows": 9}
    changes |= {"max_iter": 5} if cell is NUMERICAL else {}
    names = {cell.name, *(replace(cell, **{name: value}).name for name, value in changes.items())}
    monkeypatch.setattr(_cells, "_STEPS", 61)
    assert len(names | {cell.name}) == len(changes) + 2
    assert isinstance(cell, BaseCell)


def test_a_row_has_what_the_tables_show(small):
    first, second = run_numerical_cell(NUMERICAL), run_statistical_cell(STATISTICAL)
    assert len(first["first_critical"]) == len(first["thickness"]) == first["n_rows"] == 10
    steps, gaps = np.array(first["first_critical"]), np.array(first["thickness"])
    assert first["mean_steps"] == steps.mean()
    assert first["critical"] == (steps <= 4).mean()
    if np.ptp(steps) and np.ptp(gaps):  # Spearman's coefficient is Pearson's of the ranks
        expected = np.corrcoef(rankdata(steps), rankdata(gaps))[0, 1]
        assert first["spearman_thickness"] == pytest.approx(expected)
    assert second["n_train"] == 60
    assert 0 < second["thickness_test"] <= 1
    lines = claims_markdown(pd.DataFrame([first, second, second | {"n_train": 120}])).splitlines()
    assert sum(line.startswith("| breast_cancer | softplus |") for line in lines) == 2
    for table in (lines[:3], lines[4:]):
        assert len({line.count("|") for line in table}) == 1


def test_the_gap_is_that_of_all_pairs_in_units_of_the_mean_score():
    attribution = np.array([[3.0, -1.0, 2.0, 0.5], [0.1, 0.2, -0.4, 0.3]])
    expected = []
    for row in np.abs(attribution):
        order = np.argsort(-row)
        pairs = [row[i] - row[j] for i in order[:2] for j in order[2:]]
        expected.append(np.mean(pairs) / row.mean())
    np.testing.assert_allclose(_cells._mean_gap(attribution, 2), expected)


def test_a_constant_has_no_rank_correlation():
    assert _cells._spearman(np.array([3, 3, 3]), np.array([1.0, 2.0, 3.0])) is None
    assert _cells._spearman(np.array([1, 2, 3]), np.array([3.0, 2.0, 1.0])) == pytest.approx(-1)
