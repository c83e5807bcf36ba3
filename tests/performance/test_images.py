"""Training on images beside bare PyTorch loops of the same batches, and the memory of a large network.

``pytest tests/performance/test_images.py --benchmark-enable -s`` trains on all 60,000 digits of MNIST for one epoch; a
normal run only checks that every contender works.
"""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from robustxai import R2ETClassifier, VanillaClassifier
from robustxai.datasets import load_mnist
from robustxai.explainers import Gradient, log_odds
from robustxai.nets import ConvNet
from robustxai.penalties import ExplainedBatch, RankingGap, RelativeHessian

BATCH_SIZE, LR, K = 256, 0.002, 50
GAP, HESSIAN, KAPPA = 0.01, 0.03, 0.3
ROUNDS = {"vanilla": 3, "r2et": 1}
NETWORK = {"channels": (16, 32), "hidden": (64,), "pool": "average"}


@pytest.fixture
def digits(benchmark):
    """All training digits where something is measured."""
    if benchmark.enabled:
        home = os.environ.get("ROBUSTXAI_DATA") or Path(__file__).parents[3] / "shared" / "data"
        return load_mnist(data_home=home, return_X_y=True)
    rng = np.random.default_rng(0)
    return rng.uniform(size=(300, 1, 28, 28)).astype(np.float32), rng.integers(10, size=300)


def bare_loop(X, y, activation, penalized):
    """One epoch without a library around it."""
    torch.manual_seed(0)
    module = ConvNet((1, 28, 28), 10, activation=activation, beta=10.0, **NETWORK)
    optimizer = torch.optim.Adam(module.parameters(), lr=LR, fused=True)
    X, y = torch.as_tensor(X), torch.as_tensor(y)
    for rows in torch.randperm(len(X)).split(BATCH_SIZE):
        x, target = X[rows], y[rows]
        if penalized:
            x.requires_grad_()
        logits = module(x)
        loss = nn.functional.cross_entropy(logits, target)
        if penalized:
            loss = loss + penalty(module, x, logits)
        optimizer.zero_grad()
        torch.autograd.backward(loss, inputs=list(module.parameters()))
        optimizer.step()
    return module


def penalty(module, x, logits):
    """R2ET's two terms as somebody would write them down who needs them once."""
    predicted = logits.detach().argmax(dim=1)

    def shape_of(x, logits):
        margin = log_odds(logits, predicted).sum()
        attribution = torch.autograd.grad(margin, x, create_graph=True)[0].flatten(1)
        return attribution / attribution.abs().mean(dim=1, keepdim=True)

    here = shape_of(x, logits)
    top = here.abs().topk(2 * K, dim=1).values
    gap = (top[:, K:].sum(dim=1) - top[:, :K].sum(dim=1)) / K
    step = torch.randn_like(x)
    step = step / step.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    moved = (x.detach() + KAPPA * step).requires_grad_()
    turned = (shape_of(moved, module(moved)) - here).norm(dim=1) / KAPPA
    return GAP * gap.mean() + HESSIAN * turned.mean()


def classifier(name):
    common = {"max_epochs": 1, "batch_size": BATCH_SIZE, "lr": LR}
    common |= {f"module__{key}": value for key, value in NETWORK.items()}
    if name == "vanilla":
        return VanillaClassifier(**common)
    weights = {"lambda_gap": GAP, "lambda_hessian": HESSIAN, "kappa": KAPPA}
    return R2ETClassifier(k=K, n_pairs=None, module__beta=10.0, **weights, **common)


@pytest.mark.parametrize("name", ["vanilla", "r2et"])
class TestSixtyThousandDigits:
    def test_bare_loop(self, name, benchmark, digits):
        benchmark.group = name
        activation = "relu" if name == "vanilla" else "softplus"
        args = (*digits, activation, name == "r2et")
        with torch.random.fork_rng():
            module = benchmark.pedantic(bare_loop, args=args, rounds=ROUNDS[name] if benchmark.enabled else 1)
        assert module(torch.as_tensor(digits[0][:8])).isfinite().all()

    def test_fit(self, name, benchmark, digits):
        benchmark.group = name
        clf = classifier(name)
        benchmark.pedantic(clf.fit, args=digits, rounds=ROUNDS[name] if benchmark.enabled else 1)
        assert clf.explain(digits[0][:4]).shape == (4, 1, 28, 28)


def test_the_bare_loop_minimises_what_the_library_minimizes():
    rng = np.random.default_rng(0)
    x = torch.as_tensor(rng.uniform(size=(6, 1, 28, 28)), dtype=torch.float64).requires_grad_()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = ConvNet((1, 28, 28), 10, beta=10.0, **NETWORK).double()
        torch.manual_seed(1)
        bare = penalty(module, x, module(x))
        torch.manual_seed(1)
        batch = ExplainedBatch(module, x, Gradient())
        gap = RankingGap(K, pairs="minimal")(batch).mean()
        ours = GAP * gap + HESSIAN * RelativeHessian(KAPPA)(batch).mean()
    torch.testing.assert_close(bare, ours)
