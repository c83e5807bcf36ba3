import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from robustxai.explainers import Gradient, IntegratedGradients
from robustxai.nets import MLP
from robustxai.penalties import AttributionChange, ExplainedBatch
from robustxai.perturbation import ThreatModel

from .conftest import probability_gradient, weight_gradient

LABELS = torch.tensor([0, 1, 1, 0, 1, 0, 0])
OBJECTIVES = pytest.mark.parametrize("maximize", ["change", "cross_entropy", "sum"])


def explained(module, x, explainer=None, labels=LABELS):
    return ExplainedBatch(module, x, explainer or IntegratedGradients(), y=labels)


def seeded(function, *args):
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return function(*args)


def integrated(module, row, label, n_points):
    """Integrated gradients of the probability from 0, one point of the path after the other, with their graph."""
    parts = [probability_gradient(module, (k - 0.5) / n_points * row.detach(), label) for k in range(1, n_points + 1)]
    return row.detach() * torch.stack(parts).mean(dim=0)


def naive(module, x, points, labels, n_points, similarity):
    values = []
    for row, there, label in zip(x, points, labels):
        one, other = (integrated(module, r, label, n_points) for r in (row, there))
        if similarity == "pearson":
            values.append(1 - torch.corrcoef(torch.stack([one, other]))[0, 1])
        else:
            values.append(1 - one @ other / (one.norm() * other.norm()))
    return torch.stack(values)


@pytest.mark.parametrize("norm", [2, math.inf])
@pytest.mark.parametrize("similarity", ["pearson", "cosine"])
def test_value_and_gradient_equal_the_loops(similarity, norm, net, x):
    penalty = AttributionChange(similarity, epsilon=0.5, norm=norm, n_points=4, max_iter=2)
    value = seeded(penalty, explained(net, x))
    points = seeded(penalty.worst, explained(net, x))
    expected = naive(net, x, points, LABELS, 4, similarity)
    torch.testing.assert_close(value, expected, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(weight_gradient(value, net), weight_gradient(expected, net), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("similarity", ["pearson", "cosine"])
def test_other_explainers_are_taken_as_they_are(similarity, net, x):
    penalty = AttributionChange(similarity, epsilon=0.3, max_iter=1)
    batch = explained(net, x, Gradient())
    value = seeded(penalty, batch)
    one, other = (
        torch.stack([probability_gradient(net, row, c, create_graph=False) for row, c in zip(rows.detach(), LABELS)])
        for rows in (x, seeded(penalty.worst, batch))
    )
    if similarity == "pearson":
        one, other = (a - a.mean(dim=1, keepdim=True) for a in (one, other))
    expected = 1 - torch.cosine_similarity(one, other)
    torch.testing.assert_close(value.detach(), expected, rtol=1e-9, atol=1e-12)


@OBJECTIVES
@pytest.mark.parametrize("norm", [2, math.inf])
def test_the_worst_point_is_in_the_ball_and_worse_than_the_start(maximize, norm, net, x):
    def objective(points):
        change = naive(net, x, points, LABELS, 2, "cosine").detach()
        loss = cross_entropy(net(points), LABELS, reduction="none").detach()
        return {"change": change, "cross_entropy": loss, "sum": loss + 3 * change}[maximize]

    options = {"maximize": maximize, "weight": 3.0, "epsilon": 0.3, "norm": norm}
    points = seeded(AttributionChange(**options, max_iter=20).worst, explained(net, x))
    start = seeded(AttributionChange(**options, step_size=1e-12).worst, explained(net, x))
    assert not points.requires_grad
    assert all(p.grad is None for p in net.parameters())
    for found in (points, start):
        assert (torch.linalg.vector_norm(found - x, ord=norm, dim=1) <= 0.3 * (1 + 1e-6)).all()
    assert objective(points).mean() > objective(start).mean()
    assert ((objective(points) > objective(start)).double().mean()) > 0.8


def test_the_adversarys_points_are_taken_where_that_is_asked(net, x):
    batch = explained(net, x)
    batch.attacked = x.detach() + 0.1
    value = AttributionChange("pearson", n_points=3, attacked=True)(batch)
    torch.testing.assert_close(value, naive(net, x, batch.attacked, LABELS, 3, "pearson"), rtol=1e-9, atol=1e-12)


def test_a_stack_of_models_is_its_members(stack):
    module, members, x = stack
    labels = torch.arange(28).reshape(4, 7) % 3
    penalty = AttributionChange("pearson", maximize="sum", epsilon=0.3, n_points=3, max_iter=1)
    batch = explained(module, x, labels=labels)
    value, points = seeded(penalty, batch), seeded(penalty.worst, batch)
    expected = [naive(m, *rows, 3, "pearson") for m, *rows in zip(members, x, points, labels)]
    torch.testing.assert_close(value, torch.stack(expected), rtol=1e-6, atol=1e-9)


def test_images(image_net, images):
    labels = torch.tensor([0, 1, 2, 0])
    penalty = AttributionChange(epsilon=0.3, n_points=3, max_iter=1)
    batch = explained(image_net, images, labels=labels)
    value, points = seeded(penalty, batch), seeded(penalty.worst, batch)
    explainer = IntegratedGradients(3)
    one, other = (explainer(image_net, rows, labels).flatten(1) for rows in (images, points))
    torch.testing.assert_close(value.detach(), 1 - torch.cosine_similarity(one, other), rtol=1e-9, atol=1e-12)


# ------------------------------------------------------------------ known properties


def test_bounds_are_kept(net):
    x = torch.rand(7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    penalty = AttributionChange(threat=ThreatModel(0.5, "inf", bounds=(0, 1)), max_iter=2)
    points = penalty.worst(explained(net, x))
    assert ((points >= -1e-7) & (points <= 1 + 1e-7)).all()


@pytest.mark.parametrize("similarity", ["pearson", "cosine"])
def test_a_ball_of_one_point_is_zero_with_finite_gradients(similarity, net, x):
    value = AttributionChange(similarity, epsilon=0.0)(explained(net, x))
    torch.testing.assert_close(value, torch.zeros_like(value), rtol=0, atol=1e-12)
    assert weight_gradient(value, net).isfinite().all()


@pytest.mark.parametrize("similarity", ["pearson", "cosine"])
def test_attributions_without_a_direction_count_as_unchanged(similarity):
    """Zero attributions, and for Pearson's correlation those of a single feature."""
    for n_features, scale in ((3, 0.0), *([(1, 1.0)] if similarity == "pearson" else [])):
        net = MLP(n_features, 2, (4,)).double()
        with torch.no_grad():
            for p in net.parameters():
                p.mul_(scale)
        x = torch.ones(2, n_features, dtype=torch.float64, requires_grad=True)
        value = AttributionChange(similarity)(explained(net, x, Gradient(), torch.tensor([0, 1])))
        assert torch.equal(value, torch.zeros_like(value))
        assert weight_gradient(value, net).isfinite().all()


def test_confident_samples_have_finite_gradients_in_float32(x):
    module = MLP(5, 3, (6,))
    with torch.no_grad():
        for p in module.layers[-1].parameters():
            p.mul_(3000.0)
    value = AttributionChange("pearson")(explained(module, x.detach().float().requires_grad_()))
    assert value.isfinite().all()
    assert (value > 0).any()
    assert weight_gradient(value, module).isfinite().all()


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"similarity": "kendall"}, ValueError),
        ({"maximize": "both"}, ValueError),
        ({"weight": -1.0}, ValueError),
        ({"threat": ThreatModel(0.2), "norm": 2, "epsilon": 0.3}, ValueError),
        ({"n_points": 0}, ValueError),
        ({"n_attack_points": 2.5}, TypeError),
        ({"max_iter": 0}, ValueError),
        ({"step_size": 0.0}, ValueError),
    ],
)
def test_wrong_arguments_are_named(wrong, error):
    with pytest.raises(error, match=list(wrong)[-1]):
        AttributionChange(**wrong)
