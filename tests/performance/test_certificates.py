"""What a certificate costs per row, in batches of 256.

``pytest tests/performance/test_certificates.py --benchmark-enable``. Required on 2 cores: 2 ms a row for "best".
"""

import numpy as np
import pytest
import torch

from robustxai import SoftplusClassifier
from robustxai.certificates import certify_top_k


@pytest.fixture(scope="module")
def certified():
    """A softplus MLP 30-64-32 that has seen some data, and as many rows of it."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 30)).astype(np.float32)
    y = X[:, :4].sum(axis=1) + np.abs(X[:, 5]) > 0.5
    return SoftplusClassifier(max_epochs=5, optimizer__weight_decay=1e-3).fit(X, y), X[:256]


@pytest.mark.benchmark(group="certify")
@pytest.mark.parametrize("ranking", ["magnitude", "signed"])
@pytest.mark.parametrize("method", ["best", "zonotope", "affine", "curvature", "interval"])
def test_milliseconds_per_row(benchmark, certified, method, ranking):
    clf, X = certified
    layers = [m for m in clf.module_.modules() if isinstance(m, torch.nn.Linear)]
    assert [m.in_features for m in layers] == [30, 64, 32]
    X = X if benchmark.enabled else X[:4]
    options = {"k": 8, "epsilon": 0.25, "method": method, "ranking": ranking}

    certificate = benchmark.pedantic(
        certify_top_k, args=(clf, X), kwargs=options, rounds=5 if benchmark.enabled else 1, warmup_rounds=1
    )

    assert certificate.precision_at_k.shape == (len(X),)
    assert 0 < certificate.n_proven_pairs.mean() <= certificate.n_pairs == 8 * 22
    if benchmark.enabled:
        benchmark.extra_info["milliseconds_per_row"] = round(1e3 * benchmark.stats.stats.min / len(X), 3)
        benchmark.extra_info["certified_precision_at_k"] = round(float(certificate.precision_at_k.mean()), 3)
