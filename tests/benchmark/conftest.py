import numpy as np
import pandas as pd
import pytest

from robustxai.benchmark import Experiment, _experiment
from tests.plots import plt as plt


@pytest.fixture
def table(tmp_path):
    """A user's own CSV: numbers, a category, gaps, a text label."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(160, 5)).round(3), columns=list("abcde"))
    frame["home"] = rng.choice(["own", "rent", "other"], size=160)
    frame.loc[::17, "a"] = np.nan
    frame["paid"] = np.where(frame["b"] + frame["c"] + (frame["home"] == "own") > 0.3, "yes", "no")
    path = tmp_path / "loans.csv"
    frame.to_csv(path, index=False)
    return path


@pytest.fixture
def small(table):
    """Four cells that take a fraction of a second each."""
    defenses = ("logistic_regression", "softplus")
    return Experiment((str(table),), defenses, ("er", "random"), seeds=2, k=3, max_iter=4, n_rows=20)


@pytest.fixture
def computed(monkeypatch):
    """Puts a stand-in in the place of run_cell; the cells that it was called with."""
    calls = []

    def run_cell(cell):
        calls.append(cell)
        return {
            "data": "loans",
            "defense": cell.defense,
            "seed": cell.seed,
            "k": cell.k,
            "roc_auc": 0.5 + 0.01 * len(calls),
            "precision_at_k": float("nan"),
        }

    monkeypatch.setattr(_experiment, "run_cell", run_cell)
    return calls
