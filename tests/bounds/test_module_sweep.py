"""Proofs of P@k of networks written in every way that is read, attacked at random points and along gradients.

The whole sweep, 10^5 attacked rows: ``pytest -m slow -s tests/bounds/test_module_sweep.py``.
"""

import itertools
import warnings

import numpy as np
import pytest
import torch

from robustxai import VanillaClassifier
from robustxai.bounds._network import double_copy
from robustxai.certificates import certify_top_k

from .test_ways import READ, N, Written

K = 2
#: It is another function where its input has no gradient, as for `predict`; a fit refuses it.
NO_CLASSIFIER = "requires_grad as when it is explained"
WAYS = [name for name in READ if name != NO_CLASSIFIER]


def fitted(name, seed):
    """A classifier of a network that is written in this way, and rows to attack."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(80, N))
    torch.manual_seed(seed)
    module = Written(READ[name])
    with torch.no_grad():  # as steep as trained networks are
        for layer in (module.first, module.second, module.last):
            layer.weight.mul_(2.0)
    return VanillaClassifier(module=module, max_epochs=2, lr=0.01).fit(X, X[:, 0] * X[:, 1] > 0)


def attribution(module, points, target):
    """Gradient of the probability of the class `target`, and the points as leaves; float64, differentiable again."""
    points = points.clone().requires_grad_()
    proba = module(points).softmax(dim=1).gather(1, target[:, None]).sum()
    (slope,) = torch.autograd.grad(proba, points, create_graph=True)
    return slope, points


def lowest_overlap(clf, X, epsilon, norm, ranking, seed, n_random=10, n_steps=10):
    """The fewest members of the top set that a point of the ball was found to keep, for every row."""
    module = double_copy(clf.module_)
    x, target = torch.tensor(X), torch.as_tensor(clf.predict(X).astype(int))
    generator = torch.Generator().manual_seed(seed)

    def scores(slope):
        return slope.abs() if ranking == "magnitude" else slope

    def length(step):
        size = step.norm(dim=1, keepdim=True) if norm == 2 else step.abs().amax(dim=1, keepdim=True)
        return size.clamp_min(1e-300)

    clean = scores(attribution(module, x, target)[0].detach())
    order = clean.argsort(dim=1, descending=True)
    lowest = torch.full((len(x),), K)

    def look(points):
        slope, leaf = attribution(module, points, target)
        there = scores(slope)
        top = there.detach().topk(K, dim=1).indices
        kept = (top[:, :, None] == order[:, None, :K]).any(dim=1).sum(dim=1)
        torch.minimum(lowest, kept, out=lowest)
        return there, leaf

    for _ in range(n_random):
        step = torch.randn(x.shape, generator=generator, dtype=torch.float64)
        look(x + epsilon * step / length(step) * torch.rand(len(x), 1, generator=generator, dtype=torch.float64) ** 0.2)
    delta = torch.zeros_like(x)
    for _ in range(n_steps):  # close the gap between the last member and the first of the others
        there, leaf = look(x + delta)
        gap = there.gather(1, order[:, K - 1 : K]) - there.gather(1, order[:, K : K + 1])
        if not gap.requires_grad:
            break
        (slope,) = torch.autograd.grad(gap.sum(), leaf, allow_unused=True, materialize_grads=True)
        step = -slope if norm == 2 else -slope.sign()
        delta = delta + 0.4 * epsilon * step / length(step)
        delta = delta * (epsilon / length(delta)).clamp_max(1.0)
    look(x + delta)
    return lowest.numpy()


def violations(name, seed, n_rows, settings):
    """Rows that were attacked, members that were proven, and proofs that a point of the ball breaks."""
    clf = fitted(name, seed)
    X = np.random.default_rng(seed + 1).normal(size=(n_rows, N))
    attacked = proven = broken = 0
    for epsilon, norm, ranking in settings:
        certificate = certify_top_k(clf, X, k=K, epsilon=epsilon, norm=norm, ranking=ranking)
        kept = lowest_overlap(clf, X, epsilon, norm, ranking, seed)
        claimed = np.rint(certificate.precision_at_k * K).astype(int)
        attacked += len(X)
        proven += int(claimed.sum())
        broken += int((kept < claimed).sum())
    return attacked, proven, broken


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.filterwarnings("ignore")
def test_no_proof_is_broken(name):
    attacked, proven, broken = violations(name, 0, 12, [(0.02, 2, "magnitude"), (0.1, "inf", "signed")])
    assert broken == 0
    assert proven > 0
    assert attacked == 24


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_hundred_thousand_rows():
    settings = list(itertools.product((0.01, 0.05, 0.2), (2, "inf"), ("magnitude", "signed")))
    total = np.zeros(3, dtype=int)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, seed in itertools.product(WAYS, (1, 2)):
            total += violations(name, seed, 82, settings)
    attacked, proven, broken = total
    print(f"{attacked:,} rows attacked, {proven:,} members proven, {broken} proofs broken, {len(WAYS)} ways")
    assert broken == 0
    assert attacked >= 100_000
    assert proven > attacked / 4


def test_the_attack_breaks_a_proof_of_a_smaller_ball():
    """A sweep that could break nothing would prove nothing."""
    clf = fitted("F.linear", 3)
    X = np.random.default_rng(0).normal(size=(60, N))
    claimed = certify_top_k(clf, X, k=K, epsilon=0.02).precision_at_k * K
    assert (lowest_overlap(clf, X, 0.5, 2, "magnitude", 0) < claimed - 0.5).sum() > 5
