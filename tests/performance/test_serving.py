"""What one row costs where a fitted network serves single rows.

``pytest tests/performance/test_serving.py --benchmark-enable``. On one busy core, milliseconds: a prediction 0.6, an
explanation 2.2, a certificate 14 to 19, a certified radius 40 to 65 (affine), 60 to 70 (zonotope), 100 to 165 (best).
"""

import numpy as np
import pytest
import torch

from robustxai import SoftplusClassifier
from robustxai.certificates import certified_radius, certify_top_k


@pytest.fixture(scope="module")
def served():
    """A softplus MLP 20-64-32 that has seen some data, and one row."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 20))
    y = (X[:, 0] + X[:, 1] ** 2 > 0.5).astype(int)
    return SoftplusClassifier(module__hidden=(64, 32), max_epochs=2).fit(X, y), X[:1]


REQUESTS = {
    "predict_proba": lambda clf, row: clf.predict_proba(row),
    "explain": lambda clf, row: clf.explain(row),
    "certify_top_k": lambda clf, row: certify_top_k(clf, row, 4, epsilon=0.05).precision_at_k,
    "certified_radius, affine": lambda clf, row: certified_radius(clf, row, 4, method="affine"),
    "certified_radius, zonotope": lambda clf, row: certified_radius(clf, row, 4, method="zonotope"),
    "certified_radius, best": lambda clf, row: certified_radius(clf, row, 4),
}


@pytest.mark.benchmark(group="serve")
@pytest.mark.parametrize("request_", REQUESTS)
def test_one_row(benchmark, served, request_):
    clf, row = served
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        answer = benchmark.pedantic(
            REQUESTS[request_], args=served, rounds=20 if benchmark.enabled else 1, warmup_rounds=2
        )
    finally:
        torch.set_num_threads(before)
    assert len(answer) == len(row)
    assert np.isfinite(answer).all()
    assert clf.module_.layers[0].out_features == 64
