import copy

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.pipeline import make_pipeline

from robustxai import SoftplusClassifier
from robustxai.columns import TableThreat
from robustxai.datasets import make_preprocessor


def table(n=300, seed=0):
    """Three whole numbers, one amount with gaps, three categories, one of them of two levels."""
    r = np.random.default_rng(seed)
    X = pd.DataFrame(
        {
            "age": r.integers(18, 81, n),
            "home": r.choice(["own", "rent", "free"], n),
            "debts": r.integers(0, 12, n),
            "income": r.lognormal(10, 0.5, n).round(2),
            "sex": r.choice(["f", "m"], n),
            "months": r.integers(0, 60, n),
            "job": r.choice(["a", "b", "c", "d"], n),
        }
    )
    X.loc[::9, "income"] = np.nan
    score = X["age"] / 20 - X["debts"] / 4 + (X["home"] == "own") - X["months"] / 50 * (X["job"] == "c")
    return X, np.where(score + r.normal(0, 0.3, n) > score.median(), "paid", "defaulted")


@pytest.fixture(scope="package")
def data():
    return table()


@pytest.fixture(scope="package")
def pipe(data):
    X, y = data
    return make_pipeline(make_preprocessor(X), SoftplusClassifier(module__hidden=(12, 8), max_epochs=25)).fit(X, y)


@pytest.fixture(scope="package")
def threat(data):
    X, _ = data
    return TableThreat.from_frame(
        X, budgets={"age": 2, "debts": 1, "income": 500, "months": 2}, immutable=["sex"], categories={"job": "any"}
    )


def random_weights(pipe, seed):
    """Return the pipeline with a network of random weights."""
    other = copy.deepcopy(pipe)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in other[-1].module_.parameters():
            spread = p.shape[-1] ** 0.5 if p.ndim > 1 else 2.0
            p.copy_(2 * torch.randn(p.shape, generator=generator) / spread)
    return other


def admissible(threat, row, n, rng):
    """Return random admissible rows: half of them with a switch, numbers anywhere inside of their budgets."""
    proposals = pd.concat([row] * n, ignore_index=True)
    for name in ("age", "debts", "months", "income"):
        spread = {"age": 2, "debts": 1, "months": 2, "income": 500}[name]
        draw = rng.choice([-1.0, 1.0], n) * rng.choice([1.0, 0.5, 0.0], n) * spread
        proposals[name] = proposals[name].astype(float) + draw
    for place in range(n // 2):
        name = rng.choice(["home", "job"])
        proposals.loc[place, name] = rng.choice({"home": ["own", "rent", "free"], "job": list("abcd")}[name])
    return threat.round(row, proposals)
