"""Certificates under noise, where the truth is known in closed form."""

import numpy as np
import pytest
from scipy.stats import binomtest, norm
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier

from robustxai import SoftplusClassifier
from robustxai.certificates import certify_smoothed_top_k
from robustxai.certificates._smoothed import _lower


def identity(points):
    """An explainer that says what it sees: units change places at a known distance."""
    return points


@pytest.mark.parametrize("form", ["membership", "pairwise"])
def test_of_two_units_the_radius_is_known(form):
    """p = Phi(gap / (sigma sqrt 2)), so that sigma Phi^-1(p) is the distance at which the two are equal."""
    X = np.array([[1.0, 0.0], [0.0, 0.4], [0.05, 0.0]])
    certificate = certify_smoothed_top_k(
        identity, X, k=1, sigma=0.5, n_draws=20_000, form=form, ranking="signed", epsilon=0.2
    )
    truth = np.array([1.0, 0.4, 0.05]) / np.sqrt(2)
    assert (certificate.radius <= truth).all()
    assert (certificate.radius > truth - 0.06).all()
    assert certificate.top_k.tolist() == [[0], [1], [0]]
    assert certificate.precision_at_k.tolist() == [1, 1, 0]


def test_it_holds_as_often_as_it_says():
    """At a loose alpha, few of many seeds may claim more than the truth."""
    X = np.array([[0.5, 0.0]])
    wrong = [
        certify_smoothed_top_k(
            identity, X, k=1, sigma=0.5, n_draws=100, alpha=0.2, ranking="signed", random_state=seed
        ).radius[0]
        > 0.5 / np.sqrt(2)
        for seed in range(300)
    ]
    assert np.mean(wrong) <= 0.2


def test_the_bound_is_clopper_and_pearsons():
    for count in (0, 1, 7, 99, 100):
        expected = binomtest(count, 100).proportion_ci(confidence_level=1 - 2 * 0.01, method="exact").low
        assert _lower(np.array(count), 100, 0.01) == pytest.approx(expected, abs=1e-12)


def test_where_all_draws_agree_the_radius_is_the_largest_there_is():
    X = np.array([[100.0, 0.0, 0.0]])
    certificate = certify_smoothed_top_k(identity, X, k=1, sigma=0.3, n_draws=500, alpha=0.01, form="pairwise")
    assert certificate.radius[0] == pytest.approx(0.3 * norm.ppf((0.01 / 2) ** (1 / 500)))
    assert certificate.scores[0, 0] == 1


def test_a_classifier_is_asked_for_the_class_that_it_predicts_at_the_row():
    X, y = load_iris(return_X_y=True, as_frame=True)
    clf = SoftplusClassifier(max_epochs=20).fit(X, y)
    rows = X.iloc[[0, 60, 120]]
    certificate = certify_smoothed_top_k(clf, rows, k=2, sigma=0.05, n_draws=300, epsilon=0.01)
    noise = np.random.RandomState(0).standard_normal((300, 4)).astype(np.float32)
    for number, (_, row) in enumerate(rows.iterrows()):
        points = row.to_numpy(dtype=np.float32) + np.float32(0.05) * noise
        label = clf.predict(rows.iloc[[number]])[0]
        ranks = np.argsort(-np.abs(clf.explain(rows.__class__(points, columns=X.columns), y=label).to_numpy()), axis=1)
        share = [(ranks[:, :2] == unit).any(axis=1).mean() for unit in range(4)]
        np.testing.assert_allclose(certificate.scores[number], share, atol=1e-12)


def test_any_model_and_any_explanation_will_do():
    X, y = load_iris(return_X_y=True)
    forest = RandomForestClassifier(20, random_state=0).fit(X, y)

    def occlusion(points):
        """How much the certainty falls when a feature is set to its mean."""
        base = forest.predict_proba(points).max(axis=1)
        change = []
        for feature in range(4):
            hidden = points.copy()
            hidden[:, feature] = X[:, feature].mean()
            change.append(base - forest.predict_proba(hidden).max(axis=1))
        return np.stack(change, axis=1)

    certificate = certify_smoothed_top_k(occlusion, X[:2], k=1, n_draws=200, alpha=0.05)
    assert certificate.pair_radius.shape == (2, 1, 3)
    assert ((certificate.precision_at_k == 0) | (certificate.precision_at_k == 1)).all()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"sigma": 0}, "sigma"),
        ({"alpha": 0}, "alpha"),
        ({"alpha": 1.0}, "must be below 1"),
        ({"n_draws": 0}, "n_draws"),
        ({"form": "member"}, "membership"),
        ({"X": np.zeros(3)}, "must have shape"),
        ({"estimator": lambda points: points[:, :1]}, "has shape"),
        ({"estimator": lambda points: points * np.nan}, "NaN"),
    ],
)
def test_bad_input(change, match):
    arguments = {"estimator": identity, "X": np.zeros((2, 3)), "k": 1, "n_draws": 10, **change}
    with pytest.raises(ValueError, match=match):
        certify_smoothed_top_k(**arguments)
