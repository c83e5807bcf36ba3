"""Proofs over the admissible rows of a raw table: against every admissible row, and against attacks."""

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.pipeline import make_pipeline

from robustxai import LinearClassifier, SoftplusClassifier
from robustxai.attacks import BoundaryMarginAttack
from robustxai.bounds import ColumnStates, is_sum_of_columns, proven_overlap, read_network
from robustxai.certificates import _boxes as boxes
from robustxai.certificates import certified_radius, certify_top_k
from robustxai.certificates._table import TableProblem
from robustxai.columns import TableThreat, column_map
from robustxai.datasets import make_preprocessor
from robustxai.explainers import CenteredGradient, ColumnContributions, Gradient
from robustxai.metrics import precision_at_k
from robustxai.model_selection import CertifiedPrecisionScorer
from robustxai.nets import MLP, AdditiveNet

EXPLAINERS = [
    (Gradient("log_odds"), "magnitude"),
    (CenteredGradient("log_odds"), "signed"),
    (ColumnContributions(n_points=3), "magnitude"),
    (ColumnContributions("gradient_times_input"), "signed"),
]


@pytest.fixture(scope="module")
def data():
    r = np.random.default_rng(5)
    X = pd.DataFrame({name: r.integers(0, 8, 300) for name in "abc"} | {n: r.choice(list("uvw"), 300) for n in "de"})
    y = ((X["a"] - X["b"] * (X["d"] == "u") + X["c"] / 2 + (X["e"] == "w")) > 1).astype(int)
    return X, y


@pytest.fixture(scope="module")
def pipe(data):
    X, y = data
    return make_pipeline(make_preprocessor(X), SoftplusClassifier(module__hidden=(10, 6), max_epochs=15)).fit(X, y)


def every_row(row, max_switches):
    """All admissible rows: every number by at most one, none or at most one switch."""
    steps = np.array(list(itertools.product((-1, 0, 1), repeat=3)))
    still = pd.concat([row] * len(steps), ignore_index=True)
    still[list("abc")] += steps
    switched = [still.assign(**{n: v}) for n in "de" for v in "uvw"] if max_switches else []
    rows = pd.concat([still, *switched], ignore_index=True)
    return rows[((rows[list("abc")] >= 0) & (rows[list("abc")] <= 7)).all(axis=1)]


@pytest.mark.parametrize("max_switches", [0, 1])
@pytest.mark.parametrize(("explainer", "ranking"), EXPLAINERS, ids=str)
def test_no_admissible_row_is_below_the_proof(explainer, ranking, max_switches, data, pipe):
    X, _ = data
    pipe[-1].set_params(explainer=explainer)
    threat = TableThreat.from_frame(X, budgets=dict.fromkeys("abc", 1), max_switches=max_switches)
    rows = X[:6]
    certificate = certify_top_k(pipe, rows, k=2, threat=threat, ranking=ranking)
    attacked = BoundaryMarginAttack(pipe, k=2, threat=threat, ranking=ranking, max_iter=5).run(rows)
    assert (certificate.precision_at_k <= attacked.precision_at_k).all()
    for place in range(len(rows)):
        row = rows.iloc[[place]]
        changed = every_row(row, max_switches)
        changed = changed[pipe.predict(changed) == pipe.predict(row)[0]]
        before = pipe[-1].explain(pipe[0].transform(row))
        after = pipe[-1].explain(pipe[0].transform(changed), pipe.predict(row)[0])
        before = np.repeat(np.asarray(before), len(changed), axis=0)
        reached = precision_at_k(before, np.asarray(after), 2, ranking=ranking).min()
        assert certificate.precision_at_k[place] <= reached


def test_proofs_of_a_table_are_not_empty_and_say_what_they_cover(data, pipe):
    X, _ = data
    pipe[-1].set_params(explainer=ColumnContributions())
    X = X.astype(dict.fromkeys("abc", float))
    free = {"budgets": dict.fromkeys("abc", 0.05), "integer": dict.fromkeys("abc", False)}
    small = TableThreat.from_frame(X, **free, max_switches=0)
    found = certify_top_k(pipe, X[:40], k=2, threat=small)
    assert found.precision_at_k.mean() > 0.7
    assert "budgets of 3 columns, at most 0 switches" in repr(found)
    assert "budgets of 3 columns" in found.summary()
    assert list(found.to_frame().index) == list(X[:40].index)
    affine = certify_top_k(pipe, X[:40], k=2, threat=small, method="affine")
    assert (affine.n_proven_pairs <= found.n_proven_pairs).all()


def test_without_a_kept_prediction_a_box_proves_nothing_less(data, pipe):
    """Boxes in which another class is predicted everywhere are left out, and no others."""
    X, _ = data
    pipe[-1].set_params(explainer=Gradient("log_odds"))
    threat = TableThreat.from_frame(X, budgets={}, max_switches=1, immutable=["a", "b", "c"])
    found = certify_top_k(pipe, X[:12], k=2, threat=threat)
    for place in range(12):
        row = X.iloc[[place]]
        changed = pd.concat([row] + [row.assign(**{n: v}) for n in "de" for v in "uvw"])
        kept = changed[pipe.predict(changed) == pipe.predict(row)[0]]
        before = np.repeat(np.asarray(pipe[-1].explain(pipe[0].transform(row))), len(kept), axis=0)
        after = np.asarray(pipe[-1].explain(pipe[0].transform(kept), pipe.predict(row)[0]))
        reached = precision_at_k(before, after, 2).min()
        assert found.precision_at_k[place] <= reached
        if reached == 1:  # points alone: the bounds are exact, but for pairs that are nearly equal
            assert found.precision_at_k[place] == 1


def test_what_a_table_cannot_have_is_said(data, pipe):
    X, _ = data
    threat = TableThreat.from_frame(X)
    with pytest.raises(NotImplementedError, match="curvature"):
        certify_top_k(pipe, X[:2], k=2, threat=threat, method="curvature")
    for shorthand in ({"epsilon": 0.1}, {"norm": 2}):
        with pytest.raises(ValueError, match="contradicts threat, a TableThreat"):
            certify_top_k(pipe, X[:2], k=2, threat=threat, **shorthand)
    with pytest.raises(TypeError, match="must be a DataFrame"):
        certify_top_k(pipe, X[:2].to_numpy(), k=2, threat=threat)
    with pytest.raises(ValueError, match="contradicts threat, a TableThreat"):
        certified_radius(pipe, X[:2], k=2, threat=threat, norm=2)
    with pytest.raises(NotImplementedError, match="curvature"):
        certified_radius(pipe, X[:2], k=2, threat=threat, method="curvature")


def test_the_proven_share_of_the_budgets_is_the_largest_that_is_proven(data):
    X, y = data
    X = X.assign(a=X["a"] + 0.5, b=X["b"] + 0.5)  # numbers that are not whole
    pipe = make_pipeline(make_preprocessor(X), SoftplusClassifier(module__hidden=(8,), max_epochs=15)).fit(X, y)
    pipe[-1].set_params(explainer=ColumnContributions(n_points=2))
    rows = X[:25]
    for max_switches in (0, 1):
        threat = TableThreat.from_frame(X, budgets={"a": 1.5, "b": 1.5}, immutable=["d"], max_switches=max_switches)

        def whole(share, threat=threat):
            return certify_top_k(pipe, rows, k=2, threat=threat.scaled(share), method="affine").precision_at_k == 1

        radius = certified_radius(pipe, rows, k=2, threat=threat, method="affine")
        on_grid = np.arange(129) / 128
        assert np.isin(radius, on_grid).all()
        assert len(np.unique(radius)) > 2
        assert (radius == 0).any() == bool(max_switches)  # what a switch displaces holds within no share
        for share in np.unique(radius):
            found = radius == share
            assert share == 0 or whole(share)[found].all()
            assert share == 1 or not whole(share + 1 / 128)[found].any()
        # two steps of the search: the whole budgets, then one half or nothing
        coarse = certified_radius(pipe, rows, k=2, threat=threat, method="affine", max_iter=2)
        np.testing.assert_array_equal(coarse, np.where(radius == 1, 1, np.where(radius >= 0.5, 0.5, 0)))
        further = certified_radius(pipe, rows, k=2, threat=threat, method="affine", max_epsilon=2.0)
        assert (further >= radius - 1 / 128).all()
        assert max_switches or further.max() > 1


def test_the_scorer_is_the_mean_of_the_proofs(data, pipe):
    X, y = data
    threat = TableThreat.from_frame(X, budgets={"a": 1}, max_switches=1)
    pipe[-1].set_params(explainer=ColumnContributions(n_points=2))
    scorer = CertifiedPrecisionScorer(k=2, threat=threat, method="affine", n_rows=10)
    expected = certify_top_k(pipe, X[:10], k=2, threat=threat, method="affine").precision_at_k
    assert scorer(pipe, X, y) == pytest.approx(expected.mean())
    weights = np.arange(len(X), dtype=float)
    weighted = np.average(expected, weights=weights[:10])
    assert scorer(pipe, X, y, sample_weight=weights) == pytest.approx(weighted)
    with pytest.raises(ValueError, match="contradicts threat, a TableThreat"):
        CertifiedPrecisionScorer(k=2, threat=threat, epsilon=0.1)
    with pytest.raises(NotImplementedError, match="curvature"):
        CertifiedPrecisionScorer(k=2, threat=threat, method="curvature")


@pytest.mark.parametrize("model", ["additive", "linear"])
@pytest.mark.parametrize(
    ("method", "ranking"), [("integrated_gradients", "magnitude"), ("gradient_times_input", "signed")]
)
def test_columns_that_are_apart_are_proven_as_box_by_box(model, method, ranking, data, monkeypatch):
    X, y = data
    X = X.assign(f=np.where(np.arange(len(X)) % 7 == 0, np.nan, X["a"] * 0.5), e=X["e"].where(X["a"] > 0))
    explainer = ColumnContributions(method, n_points=3)
    if model == "linear":
        clf = LinearClassifier(explainer=explainer)
    else:
        clf = SoftplusClassifier(module="additive", explainer=explainer, max_epochs=8, lr=0.02)
    pipe = make_pipeline(make_preprocessor(X), clf).fit(X, y)
    groups = [group.tolist() for group in column_map(pipe).groups]
    pipe[-1].set_params(explainer=ColumnContributions(method, n_points=3, groups=groups))
    threat = TableThreat.from_frame(X, budgets={"a": 1, "b": "10%", "f": 0.3}, max_switches=1)
    for bound in ("affine", "zonotope"):
        found = certify_top_k(pipe, X[:15], k=3, threat=threat, ranking=ranking, method=bound)
        with monkeypatch.context() as patch:
            patch.setattr(boxes, "is_sum_of_columns", lambda network, explainer: False)
            slow = certify_top_k(pipe, X[:15], k=3, threat=threat, ranking=ranking, method=bound)
        np.testing.assert_array_equal(found.n_proven_pairs, slow.n_proven_pairs)
        np.testing.assert_array_equal(found.precision_at_k, slow.precision_at_k)
        assert len(np.unique(found.n_proven_pairs)) > 3
        table = TableProblem(pipe, X[:15], 3, threat, ranking, bound)
        together = proven_overlap(torch.from_numpy(table.prove(np.arange(15)))).numpy() / 3
        assert (found.precision_at_k >= together).all()  # pairs of all boxes at once
        assert method == "gradient_times_input" or model == "linear" or (found.precision_at_k > together).any()


def test_columns_are_apart_only_where_no_unit_joins_them():
    groups = [[0], [1], [2], [3, 4, 5], [6, 7, 8]]
    explainer = ColumnContributions(groups=groups, baseline=np.zeros(9))
    torch.manual_seed(0)
    net = AdditiveNet((9,), 2, groups=groups, n_units=3)
    network = read_network(net, (9,))
    assert is_sum_of_columns(network, explainer)
    assert not is_sum_of_columns(network, replace(explainer, output="probability"))
    assert not is_sum_of_columns(network, replace(explainer, groups=[[0, 1], [2], [3], [4, 5], [6, 7, 8]]))
    assert not is_sum_of_columns(read_network(MLP(9, 2, hidden=(4,)), (9,)), explainer)
    assert not is_sum_of_columns(network, CenteredGradient(groups=groups, frequencies=np.ones(9)))


def test_different_states_are_never_taken_as_one():
    center = np.array([[0.0, 1, 0], [0, 1, 0], [0.5, 0, 1], [0.5, 1, 0]])
    half = np.array([[0.1, 0, 0], [0.1, 0, 0], [0.1, 0, 0], [0.2, 0, 0]])
    states = ColumnStates.of(center, half, [[0], [1, 2]])
    for column, group in enumerate([[0], [1, 2]]):
        at = states.of_box[:, column]
        np.testing.assert_array_equal(states.center[at][:, group], center[:, group])
        np.testing.assert_array_equal(states.half[at][:, group], half[:, group])
    assert len(states) == 3
