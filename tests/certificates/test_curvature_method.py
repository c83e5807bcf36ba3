"""Bounds from interval Hessian-vector products, against autograd, closed forms and the other methods."""

import numpy as np
import pytest
import torch
from torch import nn

from robustxai import SoftplusClassifier
from robustxai.bounds import Ball, CurvatureBounds, read_network
from robustxai.bounds._curvature import SparseDirections
from robustxai.certificates import certified_radius, certify_top_k
from robustxai.explainers import GradientTimesInput
from robustxai.nets import MLP

from .nets import Fitted, in_ball, random_net


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.enter, self.block, self.leave = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x):
        h = torch.sigmoid(self.enter(x))
        return self.leave(h + torch.tanh(self.block(h)))


NETS = {
    "softplus": lambda: random_net(3, 2, "softplus", 2),
    "sigmoid": lambda: random_net(3, 3, "sigmoid", 2),
    "tanh": lambda: random_net(3, 1, "tanh", 2),
    "skip": lambda: MLP(4, 2, hidden=(5, 3), beta=2.0, skip=True).double(),
    "residual": lambda: Residual().double(),
}


@pytest.fixture
def case(request):
    torch.manual_seed(0)
    net = NETS[request.param]()
    d = next(net.parameters()).shape[1]
    return net, torch.randn(2, d, dtype=torch.float64), torch.rand(d, dtype=torch.float64) + 0.5


def directions(d):
    """Three for the first row, two for the second."""
    v = torch.randn(5, d, dtype=torch.float64)
    return v, SparseDirections(torch.tensor([0, 0, 0, 1, 1]), torch.arange(d).expand(5, d), v)


def along(net, point, target, v):
    """v . gradient of the logit."""
    (gradient,) = torch.autograd.grad(net(point)[:, target].sum(), point, create_graph=True)
    return (gradient * v).sum(dim=1)


def dual(vector, norm):
    return vector.norm(dim=-1) if norm == "2" else vector.abs().sum(dim=-1)


def rates(net, x, scale, norm, epsilon, asked):
    ball = Ball(torch.full((len(x), 1), epsilon, dtype=torch.float64), norm, x.shape[1])
    curvature = CurvatureBounds(read_network(net, x.shape[1:]), "logit", x, torch.tensor([1, 1]), scale, ball)
    return curvature, curvature._rates(asked, 1.0)[0]


@pytest.mark.parametrize("norm", ["2", "inf"])
@pytest.mark.parametrize("case", NETS, indirect=True)
def test_as_the_ball_shrinks_the_bound_has_the_gap_and_the_slope_of_autograd(case, norm):
    net, x, scale = case
    v, asked = directions(x.shape[1])
    points = x[asked.row].requires_grad_()
    gap = along(net, points, 1, v)
    (product,) = torch.autograd.grad(gap.sum(), points)
    slope = dual(product * scale, norm)
    errors = []
    for epsilon in (1e-2, 1e-3):
        curvature, rate = rates(net, x, scale, norm, epsilon, asked)
        bound = curvature.bounds(asked, torch.full((5,), -np.inf, dtype=torch.float64))
        torch.testing.assert_close(bound, gap.detach() - epsilon * rate)  # a single step decides
        errors.append(gap.detach() - epsilon * slope - bound)
    assert (errors[0] >= -1e-12).all()
    assert (errors[1] < errors[0] / 50 + 1e-12).all()
    _, rate = rates(net, x, scale, norm, 0.0, asked)
    torch.testing.assert_close(rate, slope)


@pytest.mark.parametrize("epsilon", [0.1, 1.0])
@pytest.mark.parametrize("norm", ["2", "inf"])
@pytest.mark.parametrize("case", NETS, indirect=True)
def test_no_hessian_in_the_ball_is_larger(case, norm, epsilon):
    net, x, scale = case
    v, asked = directions(x.shape[1])
    _, rate = rates(net, x, scale, norm, epsilon, asked)
    deltas = in_ball(np.random.default_rng(0), 300, x.shape[1], epsilon, 2 if norm == "2" else "inf")
    points = (x[asked.row] + scale * torch.from_numpy(deltas)[:, None]).flatten(end_dim=1).requires_grad_()
    (product,) = torch.autograd.grad(along(net, points, 1, v.repeat(300, 1)).sum(), points)
    assert (dual(product * scale, norm).reshape(300, 5) <= rate + 1e-12).all()


def test_shorter_steps_give_more_and_never_more_than_there_is():
    """One softplus unit, g = w s(x): the gap along v = 1 falls by w (s(x) - s(x - epsilon))."""
    net = nn.Sequential(nn.Linear(1, 1), nn.Softplus(), nn.Linear(1, 2)).double()
    with torch.no_grad():
        for layer, value in ((net[0], 1.0), (net[2], torch.tensor([[0.0], [2.0]]))):
            layer.weight.copy_(torch.as_tensor(value).expand_as(layer.weight))
            layer.bias.zero_()
    x = torch.tensor([[3.0]], dtype=torch.float64)
    one = SparseDirections(torch.tensor([0]), torch.tensor([[0]]), torch.ones(1, 1, dtype=torch.float64))
    ball = Ball(torch.full((1, 1), 3.0, dtype=torch.float64), "2", 1)
    curvature = CurvatureBounds(read_network(net, (1,)), "logit", x, torch.tensor([1]), torch.ones(1).double(), ball)
    truth = 2 * torch.sigmoid(x - 3.0).item()
    single, fine = (
        curvature.bounds(one, torch.tensor([threshold], dtype=torch.float64)).item()
        for threshold in (-np.inf, truth - 0.02)
    )
    assert single == pytest.approx(2 * torch.sigmoid(x).item() - 3.0 * 2 / 4)  # the bend is largest at 0
    # the bend grows all the way out to the end, so that sixteen steps are its Riemann sum
    bends = [2 * s * (1 - s) for s in torch.sigmoid(x - 3.0 * torch.arange(1, 17) / 16).flatten().tolist()]
    assert single < fine < truth
    assert fine == pytest.approx(2 * torch.sigmoid(x).item() - 3.0 * np.mean(bends))


def test_a_relu_that_may_switch_proves_nothing_and_one_that_may_not_proves_all():
    """Three units with kinks at distances 0.5, 2 and 9; the last is not there in the direction that is asked."""
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2)).double()
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
        net[0].bias.copy_(torch.tensor([0.5, -2.0, 0.5]))
        net[2].weight.copy_(torch.tensor([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]))
        net[2].bias.zero_()
    x = torch.zeros(1, 2, dtype=torch.float64)
    asked = SparseDirections(torch.tensor([0, 0]), torch.tensor([[0], [1]]), torch.tensor([[1.0], [2.0]]).double())
    for radius, expected in ((0.4, [1.0, 2.0]), (0.6, [-np.inf, -np.inf])):
        ball = Ball(torch.full((1, 1), radius, dtype=torch.float64), "2", 2)
        curvature = CurvatureBounds(
            read_network(net, (2,)), "logit", x, torch.tensor([1]), torch.ones(2).double(), ball
        )
        assert curvature.bounds(asked, torch.zeros(2).double()).tolist() == expected
    # unit 0 is frozen in the ball: what may switch does not move along the second feature
    scale = torch.tensor([1.0, 0.0], dtype=torch.float64)
    ball = Ball(torch.full((1, 1), 3.0, dtype=torch.float64), "2", 2)
    curvature = CurvatureBounds(read_network(net, (2,)), "logit", x, torch.tensor([1]), scale, ball)
    assert curvature.bounds(asked, torch.zeros(2).double()).tolist() == [-np.inf, 2.0]


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(200, 8)).astype(np.float32)
    y = (X[:, 0] + np.sin(X[:, 1]) + 0.3 * X[:, 2] * X[:, 3] > 0).astype(int) + (X[:, 4] > 0.5)
    return {
        classes: SoftplusClassifier(max_epochs=15, optimizer__weight_decay=1e-3).fit(X, y.clip(max=classes - 1))
        for classes in (2, 3)
    }, X


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("ranking", ["magnitude", "signed"])
@pytest.mark.parametrize("norm", [2, "inf"])
def test_it_proves_much_and_best_counts_it(fitted, n_classes, ranking, norm):
    models, X = fitted
    options = {"k": 3, "epsilon": 0.2 if norm == 2 else 0.08, "norm": norm, "ranking": ranking}
    by = {
        method: certify_top_k(models[n_classes], X[:10], method=method, **options)
        for method in ("best", "affine", "zonotope", "interval", "curvature")
    }
    assert by["curvature"].n_proven_pairs.sum() > by["interval"].n_proven_pairs.sum()
    assert by["curvature"].n_proven_pairs.sum() > 0.95 * by["zonotope"].n_proven_pairs.sum()
    for method in ("affine", "zonotope", "curvature"):
        assert (by["best"].n_proven_pairs >= by[method].n_proven_pairs).all()
        assert (by["best"].precision_at_k >= by[method].precision_at_k).all()


def test_its_radius_is_a_proof_and_rows_do_not_know_each_other(fitted):
    models, X = fitted
    radii = certified_radius(models[2], X[:4], k=3, method="curvature", max_iter=10)
    best = certified_radius(models[2], X[:4], k=3, max_iter=10)
    assert (radii > 0).all()
    assert (best >= radii * (1 - 1e-9)).all()
    for row, radius in zip(X[:4], radii):
        assert certify_top_k(models[2], row[None], k=3, epsilon=radius, method="curvature").precision_at_k == 1


def test_curvature_alone_can_prove_what_no_form_does():
    """Of random networks the union is more than the forms', if seldom: curvature is no idle member of it."""
    more = 0
    for seed in range(4):
        clf = Fitted(random_net(seed, 1, "softplus", 2))
        X = np.random.default_rng(seed).normal(size=(20, 6)).astype(np.float32)
        by = {m: certify_top_k(clf, X, k=2, epsilon=0.5, method=m) for m in ("affine", "zonotope", "best")}
        forms = np.maximum(by["affine"].n_proven_pairs, by["zonotope"].n_proven_pairs)
        more += (by["best"].n_proven_pairs - forms).sum()
    assert more > 0


def test_what_curvature_does_not_know_it_says(fitted):
    models, X = fitted
    clf = Fitted(models[2].module_, GradientTimesInput())
    with pytest.raises(NotImplementedError, match="change of a gradient, not of GradientTimesInput"):
        certify_top_k(clf, X[:2], k=3, method="curvature")
    assert certify_top_k(clf, X[:2], k=3, epsilon=0.01).n_proven_pairs.sum() > 0
