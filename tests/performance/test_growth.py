"""How costs grow: with the number of features, the members of a stack, the rows.

``pytest tests/performance/test_growth.py --benchmark-enable --benchmark-columns=median``; near-linear is what is
wanted, and of a stack less than that. A normal run only checks that everything works.
"""

import numpy as np
import pytest
import torch

from robustxai import R2ETClassifier, SoftplusClassifier, VanillaClassifier
from robustxai.explainers import Gradient
from robustxai.metrics import precision_at_k, ranking_thickness
from robustxai.model_selection._stacked_fits import begin_fits, train_fits
from robustxai.nets import MLP
from robustxai.penalties import ExplainedBatch, RankingGap

FEATURES = [100, 1_000, 10_000]
rng = np.random.default_rng(0)


@pytest.mark.benchmark(group="features: P@k of 1,000 rows")
@pytest.mark.parametrize("n", FEATURES)
def test_precision_at_k(n, benchmark):
    rows = 1_000 if benchmark.enabled else 5
    a, b = rng.normal(size=(2, rows, n)).astype(np.float32)
    value = benchmark(precision_at_k, a, b, 8)
    assert value.shape == (rows,)


@pytest.mark.benchmark(group="features: gap penalty and its gradient, 256 rows")
@pytest.mark.parametrize("n", FEATURES)
@pytest.mark.parametrize("pairs", ["all", "minimal"])
def test_gap_penalty(n, pairs, benchmark):
    rows = 256 if benchmark.enabled else 2
    attribution = torch.randn(rows, n, generator=torch.Generator().manual_seed(0), requires_grad=True)
    batch = ExplainedBatch(torch.nn.Identity(), attribution, Gradient())
    vars(batch).update(attribution=attribution, direction=attribution, logits=torch.zeros(rows, 2))
    gap = RankingGap(8, pairs)

    def step():
        (gradient,) = torch.autograd.grad(gap(batch).sum(), attribution)
        return gradient

    assert benchmark(step).isfinite().all()


@pytest.mark.benchmark(group="features: thickness of 20 rows")
@pytest.mark.parametrize("n", FEATURES)
def test_thickness(n, benchmark):
    rows = 20 if benchmark.enabled else 2
    X = rng.normal(size=(200, n)).astype(np.float32)
    clf = SoftplusClassifier(max_epochs=1, module__hidden=(16,)).fit(X, X[:, 0] > 0)
    values = benchmark.pedantic(ranking_thickness, args=(clf, X[:rows], 8), rounds=3 if benchmark.enabled else 1)
    assert values.shape == (rows,)


@pytest.mark.benchmark(group="members of a stack: 3 epochs of R2ET on 4,629 rows")
@pytest.mark.parametrize("n_members", [1, 2, 4, 8, 16, 32, 64, 128])
def test_stack(n_members, benchmark):
    rows, n_members = (4_629, n_members) if benchmark.enabled else (40, min(n_members, 4))
    X = rng.uniform(size=(rows, 19)).astype(np.float32)
    y = (X[:, 0] > X[:, 1]).astype(int)
    estimators = [R2ETClassifier(random_state=s, max_epochs=3) for s in range(n_members)]

    def fit():
        fits, data = begin_fits([(e, 0) for e in estimators], [(X, y)])
        return train_fits(fits, data, stack_size=n_members)

    fits = benchmark.pedantic(fit, rounds=3 if benchmark.enabled else 1)
    assert all(len(fit.members[0].net.history) == 3 for fit in fits)
    if benchmark.enabled:
        benchmark.extra_info["ms_per_member"] = round(1e3 * benchmark.stats.stats.median / n_members, 1)


@pytest.mark.benchmark(group="rows: one epoch of Vanilla")
@pytest.mark.parametrize("rows", [1_000, 10_000, 100_000, 1_000_000])
def test_epoch(rows, benchmark):
    rows = rows if benchmark.enabled else min(rows, 1_000)
    X = rng.uniform(size=(rows, 28)).astype(np.float32)
    clf = VanillaClassifier(max_epochs=1, batch_size=256)
    benchmark.pedantic(clf.fit, args=(X, X[:, 0] > X[:, 1]), rounds=3 if benchmark.enabled else 1)
    assert clf.history_[-1]["train_batch_count"] == -(-rows // 256)


@pytest.mark.benchmark(group="rows: explaining them")
@pytest.mark.parametrize("rows", [1_000, 10_000, 100_000, 1_000_000])
def test_explain(rows, benchmark):
    rows = rows if benchmark.enabled else min(rows, 1_000)
    X = rng.uniform(size=(rows, 28)).astype(np.float32)
    clf = SoftplusClassifier(max_epochs=1).fit(X[:500], X[:500, 0] > X[:500, 1])
    assert isinstance(clf.module_, MLP)
    attribution = benchmark.pedantic(clf.explain, args=(X,), rounds=3 if benchmark.enabled else 1)
    assert attribution.shape == X.shape
