import numpy as np
import pytest
import torch

from robustxai.classifiers import ExplanationATClassifier, VanillaClassifier
from robustxai.explainers import Gradient
from robustxai.nets import MLP
from robustxai.penalties import ExplainedBatch

from .conftest import small
from .test_all import states_equal


def test_epsilon_zero_is_vanilla_to_the_last_bit(data):
    X, y = data
    a = small(ExplanationATClassifier, epsilon=0, module__activation="relu").fit(X, y)
    b = small(VanillaClassifier).fit(X, y)
    assert states_equal(a, b)
    assert np.array_equal(a.explain(X), b.explain(X))


def test_the_perturbation_costs_cross_entropy(data):
    X, y = data
    losses = [
        small(ExplanationATClassifier, epsilon=e, max_epochs=15).fit(X, y).history_[-1]["cross_entropy"]
        for e in (0.0, 0.5, 2.0)
    ]
    assert losses == sorted(losses)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("ranking", ["magnitude", "signed"])
@pytest.mark.parametrize("gap", ["normalized", "linear"])
def test_the_perturbation_climbs_the_equation_of_the_docstring(gap, n_classes, ranking):
    """In float64, pair by pair: the sum over pairs of the scores over their mean, and the paper's sum itself."""
    k, epsilon = 2, 0.3
    with torch.random.fork_rng():
        torch.manual_seed(n_classes)
        module = MLP(5, n_classes, (6,)).double()
        for p in module.parameters():
            torch.nn.init.normal_(p)
        x = torch.randn(7, 5, dtype=torch.float64, requires_grad=True)
    adversary = ExplanationATClassifier(k, epsilon=epsilon, ranking=ranking, gap=gap).adversary()
    moved = adversary(ExplainedBatch(module, x, Gradient())).detach() - x.detach()
    for row, step in zip(x.detach(), moved):
        c = int(module(row[None]).argmax())

        def scores(point, c=c):
            probability = module(point[None])[0].softmax(dim=0)[c]
            (gradient,) = torch.autograd.grad(probability, point, create_graph=True)
            return gradient.abs() if ranking == "magnitude" else gradient

        order = scores(row.clone().requires_grad_()).argsort(descending=True).tolist()
        slopes = []
        for normalize in (True, False):
            point = row.clone().requires_grad_()
            s = scores(point)
            total = -sum(s[i] - s[j] for i in order[:k] for j in order[k:])
            (slope,) = torch.autograd.grad(total / (s.abs().sum() / 5) if normalize else total, point)
            slopes.append(epsilon * slope / slope.norm())
        expected, other = slopes if gap == "normalized" else slopes[::-1]
        torch.testing.assert_close(step, expected, rtol=1e-5, atol=1e-8)
        assert (step - other).norm() > 1e-3 * epsilon


def test_steps_make_a_difference(data):
    a, b = (small(ExplanationATClassifier, max_iter=n).fit(*data) for n in (1, 3))
    assert not states_equal(a, b)


@pytest.mark.parametrize("wrong", [{"k": 0}, {"epsilon": -1}, {"max_iter": 0}, {"ranking": "sign"}, {"gap": "linea"}])
def test_parameters_out_of_range(wrong, data):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        small(ExplanationATClassifier, **wrong).fit(*data)


def test_k_is_clipped_with_a_warning(data):
    with pytest.warns(UserWarning, match="k=9 is not smaller"):
        clipped = small(ExplanationATClassifier, k=9).fit(*data)
    assert states_equal(clipped, small(ExplanationATClassifier, k=3).fit(*data))
