"""docs/papers.md: what it says to be false is false, what it says to hold holds, and its pointers lead somewhere."""

import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from robustxai.experiments.r2et import PUBLISHED
from robustxai.nets import MLP
from robustxai.perturbation import tangent_noise

from .pages import ROOT

PAGE = (ROOT / "docs/papers.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("pointer", sorted(set(re.findall(r"`(tests/[^`]+)`", PAGE))))
def test_every_pointer_leads_to_a_test(pointer):
    path, _, name = pointer.partition("::")
    source = (ROOT / path).read_text(encoding="utf-8")
    assert f"def {name or 'test_'}" in source


# ---------------------------------------------------------------- Proposition 3.5


class Quadratic:
    """A score with the explanation a + H x, whose entries are in descending order at 0."""

    def __init__(self, seed, n=4):
        rng = np.random.default_rng(seed)
        self.a = np.sort(rng.normal(size=n))[::-1]
        H = rng.normal(size=(n, n))
        self.H = H + H.T

    def gap(self, x, i, j):
        explanation = self.a + self.H @ x
        return explanation[i] - explanation[j]

    def inner(self, deltas):
        """Minus the sum of gaps at x = 0, with a perturbation for each pair."""
        return -sum(self.gap(delta, i, j) for (i, j), delta in deltas.items())


PAIRS = [(0, 2), (0, 3), (1, 2), (1, 3)]  # k = 2 of four features


@given(st.integers(0, 10**6), st.floats(0.1, 1e3))
def test_opposite_perturbations_raise_the_inner_maximum_at_epsilon_zero(seed, t):
    score = Quadratic(seed)
    zero = dict.fromkeys(PAIRS, np.zeros(4))
    v = -(score.H[3] - score.H[2])
    opposite = {**zero, (0, 2): t * v, (0, 3): -t * v}
    assert np.linalg.norm(sum(opposite.values())) == 0  # allowed whatever epsilon is
    # it grows with t without a bound, while Eq. 6 is a finite number for every weight
    assert score.inner(opposite) - score.inner(zero) == pytest.approx(t * (v @ v), rel=1e-6)
    assert v @ v > 0


def test_opposite_perturbations_do_so_on_a_softplus_network_too():
    torch.manual_seed(0)
    net = MLP(3, 2, (8,), activation="softplus").double()
    for p in net.parameters():
        torch.nn.init.normal_(p)

    def explanation(x):
        x = x.clone().requires_grad_()
        return torch.autograd.grad(net(x[None])[0].softmax(dim=0)[0], x)[0]

    x = torch.zeros(3, dtype=torch.float64)
    first, second, third = explanation(x).argsort(descending=True).tolist()

    def inner(delta):  # of the pairs (first, second) and (first, third), at perturbations that cancel
        moved, back = explanation(x + delta), explanation(x - delta)
        return float(-(moved[first] - moved[second]) - (back[first] - back[third]))

    H = torch.autograd.functional.hessian(lambda z: net(z[None])[0].softmax(dim=0)[0], x)
    v = H[second] - H[third]
    assert inner(0.01 * v / v.norm()) > inner(0.0 * v) + 0.5 * 0.01 * v.norm()


@given(st.integers(0, 10**6), st.floats(0.01, 2.0))
def test_what_holds_in_place_of_proposition_3_5(seed, epsilon):
    """With a bound on each perturbation, and with a bound on the sum of their lengths; exact for a quadratic score."""
    score = Quadratic(seed)
    slopes = {(i, j): score.H[i] - score.H[j] for i, j in PAIRS}
    lengths = {pair: np.linalg.norm(slope) for pair, slope in slopes.items()}
    plain = score.inner(dict.fromkeys(PAIRS, np.zeros(4)))
    worst = {pair: -epsilon * slope / lengths[pair] for pair, slope in slopes.items()}
    assert score.inner(worst) - plain == pytest.approx(epsilon * sum(lengths.values()))
    longest = max(lengths, key=lengths.get)
    one = {pair: worst[pair] if pair == longest else np.zeros(4) for pair in PAIRS}
    assert score.inner(one) - plain == pytest.approx(epsilon * lengths[longest])
    # no other choice of perturbations is above
    rng = np.random.default_rng(seed)
    for _ in range(5):
        free = {pair: rng.normal(size=4) for pair in PAIRS}
        each = {pair: epsilon * delta / np.linalg.norm(delta) for pair, delta in free.items()}
        total = sum(np.linalg.norm(delta) for delta in free.values())
        shared = {pair: epsilon * delta / total for pair, delta in free.items()}
        assert score.inner(each) <= score.inner(worst) + 1e-9
        assert score.inner(shared) <= score.inner(one) + 1e-9


# ---------------------------------------------------------------- Proposition 3.4


@pytest.mark.parametrize("c", [0.1, 1.0, 3.0])
def test_the_printed_lower_bound_of_the_thickness_is_broken(c):
    """h(x) = 1 - c x_1^2 at x = 0, where its slope is zero: averages over lines to the sphere, in closed form."""
    epsilon = 0.5
    directions = np.random.default_rng(0).normal(size=(2000, 3))
    ends = epsilon * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    thickness = 1 - c * (ends[:, 0] ** 2).mean() / 3  # the integral of t^2 is 1/3
    printed = 1 - epsilon / 2 * 0.0
    valid = 1 - epsilon / 2 * (2 * c * epsilon)  # the largest slope in the ball
    assert valid <= thickness < printed


# ---------------------------------------------------------------- the texts


def test_the_paper_s_figures_contradict_each_other():
    thickness = {data: (PUBLISHED[2]["R2ET\\H"][data][0], PUBLISHED[2]["R2ET"][data][0]) for data in ("adult", "bank")}
    assert all(without > full for without, full in thickness.values())
    assert PUBLISHED[2]["R2ET\\H"]["compas"] < PUBLISHED[2]["R2ET"]["compas"]
    assert (PUBLISHED[1]["R2ET\\H"]["compas"][0], PUBLISHED[4]["R2ET\\H"]["compas"][0]) == (91.0, 91.9)
    assert PUBLISHED[1]["R2ET\\H"]["adult"][0] == PUBLISHED[4]["R2ET\\H"]["adult"][0]


def test_gradients_of_loss_and_probability_rank_alike():
    torch.manual_seed(0)
    net, x = MLP(6, 3, (8,)).double(), torch.randn(20, 6, dtype=torch.float64, requires_grad=True)
    label = net(x).argmax(dim=1)
    loss = torch.nn.functional.cross_entropy(net(x), label, reduction="sum")
    probability = net(x).softmax(dim=1).gather(1, label[:, None])
    of_loss, of_probability = (torch.autograd.grad(value, x)[0] for value in (loss, probability.sum()))
    torch.testing.assert_close(of_loss * probability, -of_probability)
    assert torch.equal(of_loss.abs().argsort(dim=1), of_probability.abs().argsort(dim=1))


def test_positive_noise_prefers_a_diagonal():
    direction = torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(4000, 4)
    generator = torch.Generator().manual_seed(0)
    printed = torch.rand(4000, 4, generator=generator)
    for noise, preferred in ((printed, True), (2 * printed - 1, False)):
        mean = tangent_noise(direction, noise=noise).mean(dim=0)
        assert (mean.norm() > 0.8) == preferred
        assert preferred or mean.norm() < 0.1
