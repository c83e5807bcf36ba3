"""What a fit costs beside a bare PyTorch loop of the same batches.

``pytest tests/performance --benchmark-enable`` measures; a normal run only checks that every contender works. The
ratios come from ``python -m tests.performance.ratios``, where the contenders take turns.
"""

import numpy as np
import pytest
import torch
from torch import nn

from robustxai import R2ETClassifier, VanillaClassifier
from robustxai.nets import MLP

N_FEATURES, HIDDEN, BATCH_SIZE, LR = 28, (64, 32), 256, 0.005


@pytest.fixture
def table(benchmark):
    """A table like Adult, small when nothing is measured; and the number of epochs."""
    n_rows, n_epochs = (20_000, 3) if benchmark.enabled else (600, 1)
    return *make_table(n_rows), n_epochs


def make_table(n_rows):
    """Inputs and labels that no linear model has."""
    X = np.random.default_rng(0).normal(size=(n_rows, N_FEATURES)).astype(np.float32)
    return X, (X[:, :4].sum(axis=1) + np.abs(X[:, 5]) > 0.5).astype(np.int64)


def bare_loop(X, y, n_epochs):
    """The same network, optimizer and batches without a library around them."""
    torch.manual_seed(0)
    module = MLP(N_FEATURES, 2, HIDDEN, "relu")
    optimizer = torch.optim.Adam(module.parameters(), lr=LR, fused=True)
    X, y = torch.as_tensor(X), torch.as_tensor(y)
    for _ in range(n_epochs):
        for rows in torch.randperm(len(X)).split(BATCH_SIZE):
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(X[rows]), y[rows]).backward()
            optimizer.step()
    return module


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # as the classifiers do for a network of this size
    with torch.random.fork_rng():
        yield
    torch.set_num_threads(before)


@pytest.mark.benchmark(group="fit")
def test_bare_loop(benchmark, table, one_thread):
    X, y, n_epochs = table
    module = benchmark.pedantic(bare_loop, args=(X, y, n_epochs), rounds=7 if benchmark.enabled else 1)
    assert module(torch.as_tensor(X)).isfinite().all()


CONTENDERS = {
    "vanilla": lambda n: VanillaClassifier(max_epochs=n, batch_size=BATCH_SIZE, lr=LR, module__hidden=HIDDEN),
    "r2et without hessian": lambda n: R2ETClassifier(
        lambda_hessian=0, max_epochs=n, batch_size=BATCH_SIZE, lr=LR, module__hidden=HIDDEN
    ),
    "r2et": lambda n: R2ETClassifier(max_epochs=n, batch_size=BATCH_SIZE, lr=LR, module__hidden=HIDDEN),
}


@pytest.mark.benchmark(group="fit")
@pytest.mark.parametrize("name", CONTENDERS)
def test_fit(name, benchmark, table, one_thread):
    X, y, n_epochs = table
    clf = CONTENDERS[name](n_epochs)
    benchmark.pedantic(clf.fit, args=(X, y), rounds=7 if benchmark.enabled else 1)
    assert clf.history_[-1]["train_batch_count"] == -(-len(X) // BATCH_SIZE)
    assert clf.predict_proba(X).shape == (len(X), 2)
