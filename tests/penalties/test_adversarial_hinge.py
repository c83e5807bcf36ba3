import math
from functools import partial

import numpy as np
import pytest
import torch

from robustxai.explainers import Gradient, GradientTimesInput
from robustxai.penalties import AdversarialHinge, ExplainedBatch
from robustxai.perturbation import ThreatModel

from .conftest import make_net, weight_gradient


def explained(module, x, explainer=None):
    return ExplainedBatch(module, x, explainer or Gradient())


def seeded(function, *args):
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return function(*args)


def numeric_gradient(score, x, step=1e-5):
    """Central differences of a number, entry by entry, in float64."""
    return np.array([(score(x + step * e) - score(x - step * e)) / (2 * step) for e in np.eye(len(x))])


def forward(parameters, x):
    """Logits of a network of one hidden softplus layer, in numpy."""
    W, b, V, c = parameters
    return np.log1p(np.exp(W @ x + b)) @ V.T + c


def log_odds(parameters, c, x):
    z = forward(parameters, x)
    return z[c] - np.log(sum(np.exp(v) for j, v in enumerate(z) if j != c))


def naive(parameters, x, points, k, n_pairs, margin):
    """The penalty of each row, one pair after the other, with numeric gradients of the log-odds."""
    values = []
    for row, there in zip(x, points):
        c = int(forward(parameters, row).argmax())
        clean, moved = (abs(numeric_gradient(partial(log_odds, parameters, c), point)) for point in (row, there))
        top = set(np.argsort(-clean)[:k].tolist())
        inside = sorted(moved[i] for i in top)
        outside = sorted((moved[i] for i in range(len(row)) if i not in top), reverse=True)
        pairs = list(zip(inside, outside))[:n_pairs]
        values.append(sum(max(0.0, margin - (low - high) / moved.mean()) for low, high in pairs) / len(pairs))
    return np.array(values)


@pytest.mark.parametrize("norm", [2, math.inf])
@pytest.mark.parametrize(("k", "n_pairs"), [(2, 1), (2, 3), (3, None)])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_value_and_gradient_equal_the_naive_ones(norm, k, n_pairs, n_classes, x):
    net = make_net(n_classes, activation="softplus", beta=1.0)
    penalty = AdversarialHinge(k, n_pairs, margin=0.5, epsilon=0.5, norm=norm)
    value, points = seeded(penalty, explained(net, x)), seeded(penalty.worst, explained(net, x))
    parameters = [p.detach().numpy().copy() for p in net.parameters()]
    q = min(n_pairs or k, k, 5 - k)
    rows = x.detach().numpy(), points.numpy()
    expected = naive(parameters, *rows, k, q, 0.5)
    np.testing.assert_allclose(value.detach().numpy(), expected, rtol=1e-6, atol=1e-8)
    assert value.max() > 0
    found = weight_gradient(value, net).numpy()
    start, largest = 0, np.abs(found).max()
    for number, parameter in enumerate(parameters):  # three weights of each layer, by central differences
        for place in np.random.default_rng(0).integers(0, parameter.size, size=3):
            ends = []
            for sign in (1, -1):
                moved = [p.copy() for p in parameters]
                moved[number].flat[place] += sign * 1e-4
                ends.append(naive(moved, *rows, k, q, 0.5).mean())
            slope = (ends[0] - ends[1]) / 2e-4
            np.testing.assert_allclose(found[start + place], slope, rtol=1e-3, atol=2e-4 * largest)
        start += parameter.size


@pytest.mark.parametrize("norm", [2, math.inf])
def test_the_points_are_allowed_keep_the_prediction_and_close_the_gaps(norm):
    net = make_net(3, activation="softplus", beta=1.0)
    x = torch.rand(40, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    threat = ThreatModel(0.3, norm, bounds=(0, 1), frozen=[2])
    penalty, at_x = (AdversarialHinge(2, threat=t, n_rows=None) for t in (threat, ThreatModel(1e-9)))
    points = seeded(penalty.worst, explained(net, x))
    delta = points - x.detach()
    assert not points.requires_grad
    assert (torch.linalg.vector_norm(delta, ord=norm, dim=1) <= 0.3 * (1 + 1e-6)).all()
    assert ((points >= -1e-7) & (points <= 1 + 1e-7)).all()
    assert (delta[:, 2] == 0).all()
    assert torch.equal(net(points).argmax(1), net(x).argmax(1))
    value, clean = (seeded(p, explained(net, x)) for p in (penalty, at_x))
    assert value.mean() > 1.5 * clean.mean()


def test_more_steps_find_no_less():
    net = make_net(2, activation="softplus", beta=2.0)
    x = torch.randn(60, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    means = [
        seeded(AdversarialHinge(2, epsilon=0.5, max_iter=n, n_rows=None), explained(net, x)).mean() for n in (1, 4, 16)
    ]
    assert means[0] < means[1] < means[2]


def test_only_the_first_rows_are_attacked(net, x):
    few = seeded(AdversarialHinge(2, n_rows=3), explained(net, x))
    assert few.shape == (3,)
    assert AdversarialHinge(2, n_rows=None)(explained(net, x)).shape == (7,)


def test_images_are_ranked_by_pixel(image_net, images):
    penalty = AdversarialHinge(3, epsilon=0.2)
    value, points = (seeded(f, explained(image_net, images)) for f in (penalty, penalty.worst))
    assert points.shape == images.shape
    assert value.shape == (4,)
    assert torch.isfinite(weight_gradient(value, image_net)).all()


def test_other_explanations_can_be_ranked(net, x):
    value = seeded(AdversarialHinge(2, epsilon=0.5, margin=1.0), explained(net, x, GradientTimesInput()))
    assert (value > 0).any()
    assert weight_gradient(value, net).abs().max() > 0


@pytest.mark.parametrize("options", [{"k": 0}, {"k": 2, "margin": 0.0}, {"k": 2, "n_rows": 0}, {"k": 2, "max_iter": 0}])
def test_bad_parameters(options):
    with pytest.raises(ValueError, match="must be"):
        AdversarialHinge(**options)
