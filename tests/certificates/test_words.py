import numpy as np
import pandas as pd
import pytest

from robustxai import SoftplusClassifier
from robustxai.certificates import certify_smoothed_top_k, certify_top_k


@pytest.fixture(scope="module")
def fitted():
    r = np.random.default_rng(0)
    X = pd.DataFrame(r.normal(size=(100, 5)), columns=list("abcde"), index=np.arange(100) + 7)
    y = (X["a"] * X["b"] + X["c"] > 0).astype(int)
    return SoftplusClassifier(max_epochs=10).fit(X, y), X


def test_a_proof_as_a_frame_and_in_words(fitted):
    clf, X = fitted
    found = certify_top_k(clf, X[:20], k=2, epsilon=0.1, method="affine")
    frame = found.to_frame()
    assert frame.index.equals(X.index[:20])
    np.testing.assert_array_equal(frame["precision_at_k"], found.precision_at_k)
    np.testing.assert_allclose(frame["proven_pairs"], found.n_proven_pairs / 6)
    assert f"proven P@2 {found.precision_at_k.mean():.3f} in the mean" in found.summary()
    assert f"{frame['proven_pairs'].mean():.1%} keep their order" in found.summary()
    assert repr(found) == (
        "TopKCertificate(20 rows, epsilon=0.1, norm=2, method='affine', "
        f"mean proven P@2 {found.precision_at_k.mean():.3f})"
    )
    assert certify_top_k(clf, X[:2].to_numpy(), k=2, method="affine").to_frame().index.tolist() == [0, 1]


def test_a_smoothed_one(fitted):
    clf, X = fitted
    found = certify_smoothed_top_k(clf, X[:3], k=2, n_draws=100)
    frame = found.to_frame()
    assert frame.index.equals(X.index[:3])
    assert frame["top_k"].tolist() == [tuple(np.array(X.columns)[row]) for row in found.top_k]
    np.testing.assert_array_equal(frame["radius"], found.radius)
    assert f"Median radius {np.median(found.radius):.3g}" in found.summary()
    assert "\n" not in repr(found)
    assert len(repr(found)) < 120
    plain = certify_smoothed_top_k(lambda points: points, X[:3].to_numpy(), k=2, n_draws=100)
    assert plain.to_frame()["top_k"].tolist() == [tuple(row) for row in plain.top_k.tolist()]
