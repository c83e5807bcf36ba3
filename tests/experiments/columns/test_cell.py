"""Contributions of columns: a cell in small, its name, its table and its command."""

import runpy
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from robustxai.benchmark import DATA, BaseCell
from robustxai.experiments.columns import MODELS, ColumnsCell, _cell, columns_markdown, run_columns_cell


def small_table():
    r = np.random.default_rng(0)
    n = 240
    X = pd.DataFrame(
        {"age": r.integers(18, 80, n), "debt": r.gamma(2.0, 500.0, n).round(), "home": r.choice(list("abc"), n)}
    )
    return X, (X["age"] * 30 - X["debt"] + 500 * (X["home"] == "a") > 300).astype(int)


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setitem(DATA, "small", small_table)
    for name, make in list(MODELS.items()):
        fast = {} if name == "logistic_regression" else {"max_epochs": 30}
        monkeypatch.setitem(MODELS, name, lambda k, e, make=make, fast=fast: make(k, e).set_params(**fast))


CELL = ColumnsCell("small", "r2et", 0, k=1, n_rows=8)


@pytest.mark.parametrize("defense", MODELS)
def test_a_cell_in_small(defense, registered):
    row = run_columns_cell(replace(CELL, defense=defense))
    assert row["n_columns"] == 3
    assert row["n_rows"] == 8
    assert 0 <= row["certified_precision_at_k"] <= row["precision_at_k"] <= 1
    assert 0.5 < row["roc_auc"] <= 1
    assert row == {**run_columns_cell(replace(CELL, defense=defense)), "fit_seconds": row["fit_seconds"]}


def test_rows_beyond_the_observed_range_are_left_out(registered):
    X, _ = small_table()
    threat = CELL.threat(X)
    rows = pd.concat([X[:2].assign(age=200), X[:2].assign(home="z"), X[:5]], ignore_index=True)
    assert np.flatnonzero(_cell._inside(threat, rows, 3)).tolist() == [4, 5, 6]


def test_the_name_has_every_field(registered):
    changes = {"defense": "softplus", "seed": 1, "k": 2, "share": 0.1, "max_switches": 0, "n_rows": 6}
    changes["method"] = "integrated_gradients"
    names = {CELL.name, *(replace(CELL, **{name: value}).name for name, value in changes.items())}
    assert len(names) == len(changes) + 1
    assert isinstance(CELL, BaseCell)


def test_the_command_runs_every_model_on_every_table(monkeypatch, tmp_path, capsys):
    seen = []
    columns = ["roc_auc", "precision_at_k", "certified_precision_at_k", "between_rows_precision"]
    row = dict.fromkeys([*columns, "comprehensiveness", "sufficiency"], 0.25)

    def run(cells, out, run, n_jobs):
        seen.extend((cell.data, cell.defense, cell.seed, cell.max_switches) for cell in cells)
        return pd.DataFrame([{"data": "adult", "defense": "logistic_regression", "k": 4, **row}] * 2)

    monkeypatch.setattr("robustxai.benchmark.run_cells", run)
    monkeypatch.setattr(
        sys, "argv", ["x", str(tmp_path), "--data", "adult,bank", "--seeds", "2", "--max-switches", "0"]
    )
    runpy.run_module("robustxai.experiments.columns", run_name="__main__")
    assert set(seen) == {(data, name, seed, 0) for data in ("adult", "bank") for name in MODELS for seed in range(2)}
    assert (tmp_path / "columns.csv").exists()
    printed = capsys.readouterr().out
    assert "P@4 certified" in printed
    assert "| adult | logistic regression | 2 | 0.2500 |" in printed
    assert columns_markdown(pd.read_csv(tmp_path / "columns.csv")) in printed
