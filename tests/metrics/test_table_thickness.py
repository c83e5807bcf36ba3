"""Thickness over the rows that a TableThreat admits, against loops over raw rows."""

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import make_pipeline

from robustxai import SoftplusClassifier
from robustxai.attacks import RandomAttack
from robustxai.columns import TableThreat
from robustxai.datasets import make_preprocessor
from robustxai.explainers import ColumnContributions
from robustxai.metrics import ranking_thickness, relaxed_thickness
from robustxai.model_selection import RobustnessScorer, ThicknessScorer
from robustxai.perturbation import ThreatModel

LEVELS = ["u", "v", "w"]


@pytest.fixture(scope="module")
def table():
    r = np.random.default_rng(0)
    X = pd.DataFrame({"n": r.integers(0, 9, 80), "x": r.normal(size=80), "c": r.choice(LEVELS, 80), "d": ["k"] * 80})
    y = (X["n"] + 3 * X["x"] * (X["c"] == "u") > 4).astype(int)
    pipe = make_pipeline(
        make_preprocessor(X), SoftplusClassifier(explainer=ColumnContributions(n_points=2), max_epochs=8)
    ).fit(X, y)
    return X, y, pipe


def scores(pipe, row, label):
    found = pipe[-1].explain(pipe[:-1].transform(pd.DataFrame([row])), [label])
    return np.abs(np.asarray(found)[0])


def naive(metric, pipe, X, k, n_draws, n_points, seed, threat, limits):
    """Loops over rows, draws, shares and pairs; raw rows are written by hand."""
    budgets, max_switches = threat
    seed = np.random.RandomState(seed).randint(2**31 - 1)
    u = np.random.default_rng(seed).random((len(X) * n_draws, 3)).reshape(len(X), n_draws, 3)
    (n_low, n_high), (x_low, x_high) = limits["n"], limits["x"]
    labels = pipe.predict(X)
    means = []
    for i in range(len(X)):
        row = X.iloc[i].to_dict()
        own = scores(pipe, row, labels[i])
        top = set(np.argsort(-own, kind="stable")[:k])
        found = []
        for m in range(n_draws):
            for j in range(n_points):
                share = (j + 0.5) / n_points
                step = int(share * budgets["n"])
                whole = range(max(n_low, row["n"] - step), min(n_high, row["n"] + step) + 1)
                low, high = max(x_low, row["x"] - share * budgets["x"]), min(x_high, row["x"] + share * budgets["x"])
                options = [row["c"], *[v for v in limits["c"] if v != row["c"]]] if max_switches else [row["c"]]
                changed = {
                    "n": whole[int(u[i, m, 0] * len(whole))],
                    "x": low + u[i, m, 1] * (high - low),
                    "c": options[int(u[i, m, 2] * len(options))],
                    "d": "k",
                }
                s = scores(pipe, changed, labels[i])
                pairs = [(a, b) for a in top for b in set(range(len(s))) - top]
                found += [s[a] >= s[b] if metric is ranking_thickness else s[a] - s[b] for a, b in pairs]
        means.append(np.mean(found))
    return means


@pytest.mark.parametrize("max_switches", [0, 1])
@pytest.mark.parametrize("metric", [ranking_thickness, relaxed_thickness])
def test_thickness_of_a_table_equals_loops_over_raw_rows(metric, max_switches, table):
    X, _, pipe = table
    limits = {name: (X[name].min(), X[name].max()) for name in ("n", "x")} | {"c": X["c"].unique()}
    budgets = {"n": 3, "x": 0.8}
    threat = TableThreat.from_frame(X, budgets=budgets, max_switches=max_switches)
    found = metric(pipe, X[:5], 1, threat=threat, n_draws=4, n_points=3, random_state=7)
    expected = naive(metric, pipe, X[:5], 1, 4, 3, 7, (budgets, max_switches), limits)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    first = metric(pipe, X[:2], 1, threat=threat, n_draws=4, n_points=3, random_state=7)
    np.testing.assert_allclose(first, found[:2], atol=1e-9)


def test_scorers_take_the_thickness_of_a_table(table):
    X, y, pipe = table
    threat = TableThreat.from_frame(X, budgets={"n": 3, "x": 0.8}, max_switches=1)
    options = {"n_draws": 5, "n_points": 2, "random_state": 0}
    values = ranking_thickness(pipe, X[:20], 1, threat=threat, **options)
    assert 0 < values.mean() < 1
    weights = np.arange(20.0)
    scorer = ThicknessScorer(1, threat, **options)
    assert scorer(pipe, X[:20], y[:20]) == pytest.approx(values.mean())
    assert scorer(pipe, X[:20], y[:20], sample_weight=weights) == pytest.approx(np.average(values, weights=weights))
    attack = RandomAttack(k=1, threat=threat, max_iter=2)
    both = RobustnessScorer(attack, n_draws=5, n_points=2)(pipe, X[:20], y[:20])
    assert both["thickness"] == pytest.approx(values.mean())


def test_what_contradicts_a_table_is_said(table):
    X, _, pipe = table
    threat = TableThreat.from_frame(X, budgets={"n": 1})
    with pytest.raises(ValueError, match="contradicts threat, a TableThreat"):
        ranking_thickness(pipe, X[:2], 1, threat=threat, epsilon=0.1)
    with pytest.raises(ValueError, match="contradicts threat, a TableThreat"):
        ThicknessScorer(1, threat, norm=2)
    with pytest.raises(ValueError, match="'gaussian' has no TableThreat"):
        ranking_thickness(pipe, X[:2], 1, threat=threat, distribution="gaussian")
    with pytest.raises(TypeError, match="must be a DataFrame"):
        ranking_thickness(pipe, X[:2].to_numpy(), 1, threat=threat)
    with pytest.raises(TypeError, match="TableThreat"):
        ranking_thickness(pipe, X[:2], 1, threat="a lot")
    assert ranking_thickness(pipe[-1], pipe[:-1].transform(X[:2]), 1, threat=ThreatModel(0.1)).shape == (2,)
