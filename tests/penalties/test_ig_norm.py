import math

import pytest
import torch
from torch.nn.functional import cross_entropy, log_softmax

from robustxai.explainers import Gradient
from robustxai.nets import MLP
from robustxai.penalties import ExplainedBatch, IGNorm
from robustxai.perturbation import ThreatModel

from .conftest import weight_gradient

LABELS = torch.tensor([0, 1, 1, 0, 1, 0, 0])


def explained(module, x, labels=LABELS):
    return ExplainedBatch(module, x, Gradient(), y=labels)


def seeded(function, *args):
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return function(*args)


def naive_attribution(module, row, there, label, n_points):
    """IG of one sample, one point of the path after the other, with its graph."""
    total = torch.zeros_like(row)
    for r in range(1, n_points + 1):
        point = (row + r / n_points * (there - row)).detach().requires_grad_()
        loss = -log_softmax(module(point[None])[0], dim=-1)[label]
        total = total + torch.autograd.grad(loss, point, create_graph=True)[0]
    return (there - row) * total / n_points


def naive(module, x, points, labels, n_points, objective, beta):
    values = []
    for row, there, label in zip(x.detach(), points, labels):
        value = naive_attribution(module, row, there, label, n_points).abs().sum()
        if objective == "sum_norm":
            losses = [cross_entropy(module(p[None]), label[None]) for p in (there, row)]
            value = losses[0] - losses[1] + beta * value
        values.append(value)
    return torch.stack(values)


def worse(module, x, points, **options):
    """What the ascent maximizes, at `points`."""
    penalty = IGNorm(**options)
    return naive(module, x, points, LABELS, penalty.n_attack_points, penalty.objective, penalty.beta).detach()


@pytest.mark.parametrize("norm", [2, math.inf])
@pytest.mark.parametrize("objective", ["norm", "sum_norm"])
def test_value_and_gradient_equal_the_loops(objective, norm, net, x):
    penalty = IGNorm(objective, beta=0.7, epsilon=0.5, norm=norm, n_points=6, max_iter=3)
    value = seeded(penalty, explained(net, x))
    points = seeded(penalty.worst, explained(net, x))
    expected = naive(net, x, points, LABELS, 6, objective, 0.7)
    torch.testing.assert_close(value, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(weight_gradient(value, net), weight_gradient(expected, net), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("objective", ["norm", "sum_norm"])
def test_images_equal_the_loops(objective, image_net, images):
    labels = torch.tensor([0, 1, 2, 0])
    penalty = IGNorm(objective, epsilon=0.3, norm=2, n_points=4, max_iter=2)
    value = seeded(penalty, explained(image_net, images, labels))
    points = seeded(penalty.worst, explained(image_net, images, labels))
    assert (torch.linalg.vector_norm((points - images).flatten(1), dim=1) <= 0.3 * (1 + 1e-6)).all()
    expected = naive(image_net, images, points, labels, 4, objective, 0.1)
    torch.testing.assert_close(value, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(
        weight_gradient(value, image_net), weight_gradient(expected, image_net), rtol=1e-9, atol=1e-11
    )


def test_the_slope_in_the_points_is_that_of_the_loops(net, x):
    """What the ascent follows, by central differences."""
    penalty, batch = IGNorm(n_points=4), explained(net, x)
    points = (x + 0.5).detach().requires_grad_()
    norm = penalty.attribution(batch, points).abs().sum(dim=1)
    (slope,) = torch.autograd.grad(norm.sum(), points)
    for i in range(5):
        step = 1e-5 * torch.eye(5, dtype=torch.float64)[i]
        up, down = (worse(net, x, points.detach() + s * step, n_attack_points=4) for s in (1, -1))
        torch.testing.assert_close(slope[:, i], (up - down) / 2e-5, rtol=1e-5, atol=1e-7)


def test_without_labels_it_is_the_predicted_class(net, x):
    penalty = IGNorm(max_iter=2)
    value = seeded(penalty, ExplainedBatch(net, x, Gradient()))
    torch.testing.assert_close(value, seeded(penalty, explained(net, x, net(x).argmax(dim=1))))


# ------------------------------------------------------------------ known properties


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_entries_sum_to_the_rise_of_the_loss(n_classes, x):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = MLP(5, n_classes, (6,)).double()
    points = x.detach() + torch.linspace(-1, 1, 5, dtype=torch.float64)
    rise = (cross_entropy(net(p), LABELS, reduction="none") for p in (points, x))
    rise = next(rise) - next(rise)
    errors = []
    for n in (100, 1000):
        total = IGNorm(n_points=n).attribution(explained(net, x), points).sum(dim=1)
        errors.append((total - rise).abs().max().item())
    assert errors[1] < 1e-3
    assert errors[1] == pytest.approx(errors[0] / 10, rel=0.05)  # a sum of right ends: the error falls as 1 / m


def test_linear_logits_share_the_rise_by_what_each_feature_moved_them(x):
    """IG_i = (CE(x') - CE(x)) w_i d_i / (w . d), with w the slope of the difference of the two logits."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        net = MLP(5, 2, ()).double()
    slope = (net.layers[0].weight[1] - net.layers[0].weight[0]).detach()
    way = torch.tensor([0.3, -0.8, 0.5, 1.0, -0.2], dtype=torch.float64)
    points = x.detach() + way
    rise = cross_entropy(net(points), LABELS, reduction="none") - cross_entropy(net(x), LABELS, reduction="none")
    expected = rise[:, None] * (slope * way) / (slope @ way)
    value = IGNorm(n_points=20000).attribution(explained(net, x), points)
    torch.testing.assert_close(value, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("norm", [2, math.inf, "inf"])
@pytest.mark.parametrize("objective", ["norm", "sum_norm"])
def test_the_worst_point_is_in_the_ball_and_worse_than_the_start(objective, norm, net, x):
    options = {"objective": objective, "epsilon": 0.5, "norm": norm}
    points = seeded(IGNorm(**options).worst, explained(net, x))
    assert not points.requires_grad
    assert all(p.grad is None for p in net.parameters())
    lengths = torch.linalg.vector_norm(points - x, ord=float(norm), dim=1)
    assert (lengths <= 0.5 * (1 + 1e-6)).all()
    # a step too short to count stays at the random start
    start = seeded(IGNorm(**options, step_size=1e-12).worst, explained(net, x))
    assert (torch.linalg.vector_norm(start - x, ord=float(norm), dim=1) <= 0.5 * (1 + 1e-6)).all()
    assert (start - x).abs().amax(dim=1).min() > 1e-3
    assert (worse(net, x, points, **options) > worse(net, x, start, **options)).all()


def test_some_start_leads_to_the_worst_corner(net, x):
    """Against all 32 corners of the cube; |d_i| is least at 0, so that a start seldom leaves its orthant."""
    corners = 0.01 * torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=torch.float64)] * 5)
    best = torch.stack([worse(net, x, x.detach() + c) for c in corners]).amax(dim=0)
    penalty, batch = IGNorm(epsilon=0.01), explained(net, x)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        values = torch.stack([worse(net, x, penalty.worst(batch)) for _ in range(60)])
    assert (values <= best * (1 + 1e-6)).all()
    assert (values.amax(dim=0) > 0.99 * best).all()


def test_a_small_ball_is_the_dual_norm_of_the_slope(net, x):
    """To first order the worst norm is epsilon ||grad CE||_1 in l_inf and epsilon ||grad CE||_2 in l_2."""
    (slope,) = torch.autograd.grad(cross_entropy(net(x), LABELS, reduction="sum"), x)
    for norm, dual in ((math.inf, 1), (2, 2)):
        value = seeded(IGNorm(epsilon=1e-5, norm=norm, max_iter=200), explained(net, x))
        torch.testing.assert_close(value, 1e-5 * torch.linalg.vector_norm(slope, ord=dual, dim=1), rtol=0.02, atol=0.0)


def test_bounds_are_kept(net):
    x = torch.rand(7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    points = seeded(IGNorm(threat=ThreatModel(0.5, "inf", bounds=(0, 1))).worst, explained(net, x))
    assert ((points >= -1e-7) & (points <= 1 + 1e-7)).all()
    free = seeded(IGNorm(epsilon=0.5).worst, explained(net, x))
    assert (free < 0).any()
    assert (free > 1).any()


def test_a_stack_of_models_is_its_members(stack):
    module, members, x = stack
    labels = torch.arange(28).reshape(4, 7) % 3
    penalty = IGNorm("sum_norm", n_points=3)
    points = x.detach() + 0.2 * x.detach().sin()
    value = penalty.attribution(explained(module, x, labels), points)
    expected = [penalty.attribution(explained(m, *r), p) for m, *r, p in zip(members, x, labels, points)]
    torch.testing.assert_close(value, torch.stack(expected), rtol=1e-9, atol=1e-12)
    penalty = IGNorm("sum_norm", n_points=3, epsilon=0.3, norm=2)
    batch = explained(module, x, labels)
    points, value = seeded(penalty.worst, batch), seeded(penalty, batch)
    assert points.shape == x.shape
    lengths = torch.linalg.vector_norm(points - x, dim=-1)
    assert (lengths <= 0.3 * (1 + 1e-6)).all()
    expected = [naive(m, r, p, y, 3, "sum_norm", 0.1) for m, r, p, y in zip(members, x, points, labels)]
    torch.testing.assert_close(value, torch.stack(expected), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("objective", ["norm", "sum_norm"])
def test_no_room_is_zero_with_finite_gradients(objective, net, x):
    value = IGNorm(objective, epsilon=0.0)(explained(net, x))
    torch.testing.assert_close(value, torch.zeros_like(value), rtol=0, atol=1e-12)
    assert weight_gradient(value, net).isfinite().all()


@pytest.mark.parametrize("objective", ["norm", "sum_norm"])
def test_confident_samples_have_finite_gradients_in_float32(objective, x):
    module = MLP(5, 3, (6,))
    with torch.no_grad():
        for p in module.layers[-1].parameters():
            p.mul_(3000.0)
    value = IGNorm(objective)(explained(module, x.detach().float().requires_grad_()))
    assert value.isfinite().all()
    assert weight_gradient(value, module).isfinite().all()


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"objective": "sum"}, ValueError),
        ({"beta": -1.0}, ValueError),
        ({"epsilon": -0.1}, ValueError),
        ({"norm": 1}, ValueError),
        ({"threat": ThreatModel(0.2), "norm": "inf"}, ValueError),
        ({"n_points": 0}, ValueError),
        ({"n_attack_points": 2.5}, TypeError),
        ({"max_iter": 0}, ValueError),
        ({"step_size": 0.0}, ValueError),
    ],
)
def test_wrong_arguments_are_named(wrong, error):
    with pytest.raises(error, match=next(iter(wrong))):
        IGNorm(**wrong)
