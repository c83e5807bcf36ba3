import numpy as np
import pytest
import torch

from robustxai import SoftplusClassifier
from robustxai.attacks import BoundaryMarginAttack
from robustxai.certificates import certify_top_k
from robustxai.explainers import SwitchEffects

from .conftest import make_net

GROUPS = [[0], [1, 2, 3]]


@pytest.fixture
def rows():
    r = np.random.default_rng(0)
    return torch.as_tensor(np.hstack([r.random((9, 1)), np.eye(3)[r.integers(3, size=9)]]))


def naive(net, row, target, method):
    """The effects of one row, category by category."""

    def score(x):
        z = net(x)
        others = torch.cat([z[:target], z[target + 1 :]])
        return z[target] - others.logsumexp(dim=0)

    x = row.clone().requires_grad_()
    (g,) = torch.autograd.grad(score(x), x)
    category = int(row[1:].argmax())
    changes = []
    for other in range(3):
        switched = row.clone()
        switched[1:] = torch.eye(3, dtype=row.dtype)[other]
        changes.append(
            float(score(switched) - score(row) if method == "difference" else g[1 + other] - g[1 + category])
        )
    return [float(g[0]), max(changes, key=abs)]


@pytest.mark.parametrize("method", ["gradient", "difference"])
def test_effects_equal_a_loop_over_categories(method, rows):
    net = make_net()
    target = torch.arange(9) % 3
    found = SwitchEffects(method, GROUPS)(net, rows, target)
    expected = [naive(net, row, int(c), method) for row, c in zip(rows, target)]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("method", ["gradient", "difference"])
def test_a_shift_of_a_group_changes_nothing(method, rows):
    net, target = make_net(), torch.arange(9) % 3
    before = SwitchEffects(method, GROUPS)(net, rows, target)
    first = next(module for module in net.modules() if isinstance(module, torch.nn.Linear))
    with torch.no_grad():
        first.weight[:, 1:] += 3.0
        first.bias -= 3.0
    torch.testing.assert_close(SwitchEffects(method, GROUPS)(net, rows, target), before, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("method", ["gradient", "difference"])
def test_gradients_of_effects_equal_differences(method, rows):
    net, target = make_net(), torch.zeros(1, dtype=torch.int64)
    x = (rows[:1] * 0.8 + 0.05).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: SwitchEffects(method, GROUPS)(net, x, target, create_graph=True), (x,), atol=1e-6
    )


def test_a_classifier_trains_and_is_attacked_on_effects():
    r = np.random.default_rng(0)
    X = np.hstack([r.random((120, 2)), np.eye(3)[r.integers(3, size=120)], np.eye(2)[r.integers(2, size=120)]])
    X = X.astype(np.float32)
    y = (X[:, 0] + X[:, 3] > 0.8).astype(int)
    clf = SoftplusClassifier(max_epochs=10, explainer="switch_effects").fit(X, y)
    assert clf.explain(X).shape == (120, 4)
    attacked = BoundaryMarginAttack(clf, k=2, epsilon=0.3, max_iter=10).run(X[:30])
    assert attacked.precision_at_k.mean() < 1
    with pytest.raises((NotImplementedError, TypeError), match="SwitchEffects"):
        certify_top_k(clf, X[:3], k=2, epsilon=0.01)


def test_groups_are_needed(rows):
    with pytest.raises(ValueError, match="has no groups yet"):
        SwitchEffects()(make_net(), rows, torch.zeros(9, dtype=torch.int64))
