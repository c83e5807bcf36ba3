"""Contributions of columns: against sums by hand, closed forms, and the freedom of one-hot groups."""

import copy
import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from robustxai import (
    CertifiedR2ETClassifier,
    EstimatedHessianClassifier,
    LinearClassifier,
    R2ETClassifier,
    SoftplusClassifier,
)
from robustxai._table_summary import group_names, one_hot_groups, typical_row
from robustxai.attacks import AutoExplanationAttack, BoundaryMarginAttack, MSEAttack, NESAttack, RandomAttack
from robustxai.certificates import certified_radius, certify_top_k
from robustxai.explainers import (
    CenteredGradient,
    ColumnContributions,
    Gradient,
    GradientTimesInput,
    IntegratedGradients,
)
from robustxai.metrics import comprehensiveness, precision_at_k, sufficiency
from robustxai.perturbation import ThreatModel

GROUPS = [[0], [1], [2, 3, 4], [5, 6, 7, 8]]
METHODS = ["integrated_gradients", "gradient_times_input"]


def table(n=240, seed=0):
    rng = np.random.default_rng(seed)
    numbers = rng.random((n, 2))
    first, second = rng.integers(0, 3, n), rng.integers(0, 4, n)
    X = np.column_stack([numbers, np.eye(3)[first], np.eye(4)[second]])
    y = (numbers[:, 0] + 0.4 * (first == 1) - 0.6 * numbers[:, 1] * (second == 2) > 0.4).astype(int)
    return X, y


@pytest.fixture(scope="module")
def data():
    return table()


@pytest.fixture(scope="module")
def clf(data):
    return SoftplusClassifier(explainer="column_contributions", max_epochs=20).fit(*data)


@pytest.fixture(scope="module")
def one_point(data):
    return SoftplusClassifier(explainer=ColumnContributions("gradient_times_input"), max_epochs=20).fit(*data)


def log_odds(clf, X):
    p = clf.predict_proba(X)
    return np.log(p[:, 1] / p[:, 0])


def shifted(clf, group, constant):
    """Add a constant to the weights of a one-hot group in the first layer, and subtract it from the bias."""
    other = copy.deepcopy(clf)
    with torch.no_grad():
        first = next(m for m in other.module_.modules() if isinstance(m, torch.nn.Linear))
        amount = constant * torch.arange(1.0, len(first.bias) + 1) / len(first.bias)
        first.weight[:, group] += amount[:, None]
        first.bias -= amount
    return other


@pytest.mark.parametrize(("method", "output"), list(itertools.product(METHODS, ["log_odds", "probability", "logit"])))
def test_equals_the_sum_by_hand(method, output, data, clf):
    X, _ = data
    b = clf.table_summary_.baseline
    by_feature = (
        IntegratedGradients(16, b, output) if method == "integrated_gradients" else GradientTimesInput(output, b)
    )
    found = clf.explain(X[:9], explainer=ColumnContributions(method, output))
    features = clf.explain(X[:9], explainer=by_feature)
    np.testing.assert_allclose(found, np.stack([features[:, g].sum(axis=1) for g in GROUPS], axis=1), rtol=1e-12)


def test_the_features_of_a_baseline_are_a_naive_loop(data, one_point):
    X, _ = data
    b = one_point.table_summary_.baseline
    gradient = one_point.explain(X[:5], explainer=Gradient("log_odds"))
    naive = [[sum((x[i] - b[i]) * g[i] for i in group) for group in GROUPS] for x, g in zip(X[:5], gradient)]
    np.testing.assert_allclose(one_point.explain(X[:5]), naive, rtol=1e-9, atol=1e-12)


def test_contributions_add_up_to_the_difference_of_the_scores(data, clf):
    X, _ = data
    found = clf.explain(X[:30], np.ones(30, dtype=int))
    difference = log_odds(clf, X[:30]) - log_odds(clf, clf.explainer_.baseline[None])
    np.testing.assert_allclose(found.sum(axis=1), difference, atol=1e-4)


def test_a_linear_models_are_its_coefficients_times_the_differences(data):
    X, y = data
    clf = LinearClassifier(explainer="column_contributions", max_epochs=5).fit(X, y)
    weight = clf.explain(X[:1], np.ones(1, dtype=int), explainer=Gradient("log_odds"))[0]
    expected = weight * (X - clf.explainer_.baseline)
    for method in METHODS:
        found = clf.explain(X, np.ones(len(X), dtype=int), explainer=ColumnContributions(method))
        by_column = np.stack([expected[:, g].sum(axis=1) for g in GROUPS], axis=1)
        np.testing.assert_allclose(found, by_column, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_a_constant_on_a_group_changes_no_contribution(method, data, clf):
    X, _ = data
    other = shifted(clf, GROUPS[3], 25.0)
    np.testing.assert_allclose(log_odds(other, X), log_odds(clf, X), atol=2e-4)
    explainer = ColumnContributions(method)
    found, before = (model.explain(X[:40], explainer=explainer) for model in (other, clf))
    np.testing.assert_allclose(found, before, atol=1e-4)
    # whereas the same constant moves the gradients of the group's features to the top
    gradients = [model.explain(X[:40], explainer=Gradient("log_odds")) for model in (clf, other)]
    assert precision_at_k(*gradients, 4).mean() < 0.9


def test_the_numbers_of_a_group_shift_change_no_attack_and_no_proof(data, one_point):
    """On perturbations of the numeric columns, where the marks stay as they are."""
    X, _ = data
    threat = ThreatModel(0.1, "inf", frozen=range(2, 9))
    models = one_point, shifted(one_point, GROUPS[2], 4.0)
    attacked = [BoundaryMarginAttack(m, k=2, threat=threat, max_iter=15).run(X[:30]).precision_at_k for m in models]
    assert np.mean(attacked[0] == attacked[1]) >= 0.95
    radii = [certified_radius(m, X[:30], k=2, threat=threat, max_iter=12) for m in models]
    # the relaxations of the first layer do not depend on the group; the rest is float32 rounding of the weights
    np.testing.assert_allclose(*radii, rtol=0.05, atol=2e-4)


def test_centered_gradients_are_a_naive_loop_and_free_of_the_constant(data, clf):
    """Raw gradients are not: the constant moves the features of the group to the top."""
    X, _ = data
    explainer = CenteredGradient("log_odds")
    raw, found = clf.explain(X[:40], explainer=Gradient("log_odds")), clf.explain(X[:40], explainer=explainer)
    w = X.mean(axis=0)
    means = [
        [sum(w[i] * g[i] for i in group) if len(group) > 1 else 0.0 for group in GROUPS for _ in group] for g in raw
    ]
    naive = raw - np.array(means)
    np.testing.assert_allclose(found, naive, rtol=1e-6, atol=1e-9)
    other = shifted(clf, GROUPS[3], 25.0)
    np.testing.assert_allclose(other.explain(X[:40], explainer=explainer), found, atol=2e-4)
    models = [copy.deepcopy(m).set_params(explainer=explainer) for m in (clf, other)]
    still = ThreatModel(0.1, "inf", frozen=range(2, 9))
    attacked = [BoundaryMarginAttack(m, k=3, threat=still, max_iter=15).run(X[:30]).precision_at_k for m in models]
    assert np.mean(attacked[0] == attacked[1]) >= 0.95


def test_training_on_centered_gradients_needs_no_groups(data):
    X, y = data
    clf = R2ETClassifier(k=3, explainer="centered_gradient", max_epochs=3).fit(X, y)
    assert [list(group) for group in clf.explainer_.groups] == GROUPS
    assert clf.explain(X[:5]).shape == (5, 9)
    proven = certify_top_k(clf, X[:20], k=3, epsilon=0.05).precision_at_k
    assert (proven <= BoundaryMarginAttack(clf, k=3, epsilon=0.05, max_iter=15).run(X[:20]).precision_at_k).all()


@pytest.mark.parametrize("attack", [BoundaryMarginAttack, MSEAttack, NESAttack, RandomAttack])
def test_attacks_rank_columns(attack, data, one_point):
    X, _ = data
    result = attack(one_point, k=2, epsilon=0.1, max_iter=12).run(X[:30])
    assert result.attribution.shape == (30, 4)
    assert result.X_adv.shape == (30, 9)
    again = precision_at_k(one_point.explain(X[:30]), one_point.explain(result.X_adv, one_point.predict(X[:30])), 2)
    np.testing.assert_array_equal(result.precision_at_k, again)
    proven = certify_top_k(one_point, X[:30], k=2, epsilon=0.1).precision_at_k
    assert (proven <= result.precision_at_k).all()


def test_certified_and_attacked_radii_enclose_the_truth(data, clf):
    X, _ = data
    proven = certified_radius(clf, X[:10], k=2)
    found = AutoExplanationAttack(clf, k=2, preset="fast").minimum_radius(X[:10], max_epsilon=0.5)
    assert (proven <= found + 1e-9).all()
    assert np.median(proven) > 0.3 * np.median(np.minimum(found, 0.5))  # and the proof is no empty one


def test_k_is_clipped_to_the_number_of_columns(data, clf):
    X, _ = data
    with pytest.warns(UserWarning, match=r"k=8 is not smaller than the number of ranked features \(4\); using k=3"):
        result = BoundaryMarginAttack(clf, k=8, max_iter=2).run(X[:5])
    assert result.k == 3


def test_a_column_is_removed_with_all_of_its_features(data, clf):
    X, _ = data
    rows, contributions = X[:6], clf.explain(X[:6])
    predicted = np.take_along_axis(clf.predict_proba(rows), clf.predict(rows)[:, None], 1)[:, 0]
    changes = {"without": np.zeros(6), "only": np.zeros(6)}
    for k in range(1, 5):
        for n, row in enumerate(rows):
            first = np.argsort(-np.abs(contributions[n]), kind="stable")[:k]
            features = [i for column in first for i in GROUPS[column]]
            without, only = row.copy(), clf.feature_means_.copy()
            without[features], only[features] = clf.feature_means_[features], row[features]
            for name, changed in (("without", without), ("only", only)):
                p = clf.predict_proba(changed[None])[0, clf.predict(rows)[n]]
                changes[name][n] += abs(predicted[n] - p) / 4
    np.testing.assert_allclose(comprehensiveness(clf, rows), changes["without"], atol=1e-6)
    np.testing.assert_allclose(sufficiency(clf, rows), changes["only"], atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_training_for_contributions_widens_their_gaps(method, data):
    X, y = data
    explainer = ColumnContributions(method, n_points=4)
    plain, trained = (
        R2ETClassifier(k=2, n_pairs=1, lambda_gap=weight, lambda_hessian=0, explainer=explainer, max_epochs=25).fit(
            X, y
        )
        for weight in (0.0, 0.3)
    )
    gaps = []
    for model in (plain, trained):
        scores = np.sort(np.abs(model.explain(X)), axis=1)[:, ::-1]
        gaps.append(((scores[:, 1] - scores[:, 2]) / scores.mean(axis=1)).mean())
    assert gaps[1] > gaps[0]
    assert trained.k_ == 2


def test_certified_training_takes_contributions(data):
    X, y = data
    explainer = ColumnContributions("gradient_times_input")
    plain = SoftplusClassifier(explainer=explainer, max_epochs=25).fit(X, y)
    trained = CertifiedR2ETClassifier(k=2, epsilon=0.1, explainer=explainer, max_epochs=25).fit(X, y)
    proven = [certify_top_k(m, X[:60], k=2, epsilon=0.1).precision_at_k.mean() for m in (plain, trained)]
    assert proven[1] > proven[0]


def test_a_frame_gives_the_names_of_the_columns(data):
    X, y = data
    names = ["age", "debt", *(f"home_{c}" for c in "abc"), *(f"job_{c}" for c in "abcd")]
    frame = pd.DataFrame(X, columns=names, index=np.arange(len(X)) + 7)
    clf = SoftplusClassifier(explainer="column_contributions", max_epochs=2).fit(frame, y)
    found = clf.explain(frame[:3])
    assert list(found.columns) == ["age", "debt", "home", "job"]
    assert list(found.index) == [7, 8, 9]
    given = ColumnContributions(groups=GROUPS)
    assert list(clf.explain(frame[:3], explainer=given).columns) == ["column0", "column1", "column2", "column3"]


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 4), min_size=1, max_size=5),
    n=st.integers(5, 30),
    seed=st.integers(0, 100),
)
def test_groups_of_one_hot_columns_are_found(sizes, n, seed):
    rng = np.random.default_rng(seed)
    parts, expected, start = [], [], 0
    for size in sizes:
        if size == 1:
            parts.append(rng.random((n, 1)) + 0.1)
        else:
            parts.append(np.eye(size)[np.concatenate([np.arange(size), rng.integers(0, size, n)])[:n]])
        expected.append(list(range(start, start + size)))
        start += size
    X = np.hstack(parts)
    groups = one_hot_groups(X)
    assert [list(g) for g in groups] == expected
    row = typical_row(X, groups)
    for g in groups:
        if len(g) > 1:
            assert row[g].sum() == 1
            assert X[:, g].mean(axis=0)[row[g].argmax()] == X[:, g].mean(axis=0).max()
        else:
            column = X[:, g[0]]
            assert (column < row[g[0]]).mean() <= 0.5
            assert (column > row[g[0]]).mean() <= 0.5


def test_names_of_columns_are_the_common_beginning():
    groups = [np.array([0]), np.array([1, 2]), np.array([3, 4])]
    assert group_names(["age", "job_a", "job_b", "x", "y"], groups) == ["age", "job", "x"]
    assert group_names(["job", "job_a", "job_b", "x", "y"], groups) == ["job", "job_a", "x"]  # no name comes twice


def test_a_logistic_regression_of_scikit_learn_gives_the_same_numbers(data):
    X, y = data
    model = LogisticRegression().fit(X, y)
    net = torch.nn.Linear(9, 2).double()
    with torch.no_grad():
        net.weight.copy_(torch.tensor(np.vstack([np.zeros(9), model.coef_[0]])))
        net.bias.copy_(torch.tensor([0.0, model.intercept_[0]]))
    b = np.median(X, axis=0)
    explainer = ColumnContributions(baseline=b, groups=GROUPS)
    found = explainer(net, torch.from_numpy(X), torch.ones(len(X), dtype=torch.long)).numpy()
    expected = np.stack([(model.coef_[0] * (X - b))[:, g].sum(axis=1) for g in GROUPS], axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_what_is_missing_or_wrong_is_said(data):
    X, y = data
    net = torch.nn.Linear(9, 2)
    x, target = torch.zeros(2, 9), torch.zeros(2, dtype=torch.long)
    with pytest.raises(ValueError, match="has no baseline and groups yet"):
        ColumnContributions()(net, x, target)
    with pytest.raises(ValueError, match="every feature exactly once"):
        ColumnContributions(groups=[[0, 1], [1, 2]])
    with pytest.raises(ValueError, match="names has 1 entries for 2 groups"):
        ColumnContributions(groups=[[0], [1]], names=["a"])
    with pytest.raises(ValueError, match="groups holds 2 features, and an input has 9"):
        ColumnContributions(baseline=np.zeros(9), groups=[[0], [1]])(net, x, target)
    with pytest.raises(ValueError, match=r"one entry per column\. Use RelativeHessian"):
        EstimatedHessianClassifier(explainer="column_contributions", max_epochs=1).fit(X, y)
    images = np.random.default_rng(0).random((8, 1, 8, 8))
    with pytest.raises(ValueError, match="explains rows of a table"):
        SoftplusClassifier(explainer="column_contributions", max_epochs=1).fit(images, [0, 1] * 4)


def test_equal_by_content(data):
    X, _ = data
    a, b = (ColumnContributions(baseline=X[0].copy(), groups=GROUPS) for _ in range(2))
    assert a == b
    assert hash(a) == hash(b)
    assert a != ColumnContributions(baseline=X[1], groups=GROUPS)
    assert a != IntegratedGradients(16, X[0], "log_odds")
