import pytest
import torch

from robustxai.engine import MLPPasses
from robustxai.engine._known_gradient import known_gradient
from robustxai.explainers import Gradient
from robustxai.nets import MLP
from robustxai.penalties import ExplainedBatch, RankingGap, RelativeHessian


@pytest.mark.parametrize("axes", [(), (5,), (2, 3, 4)])
def test_the_gradient_is_the_one_that_is_given(axes):
    a = torch.randn(7, *axes, dtype=torch.float64, requires_grad=True)
    b = torch.randn(7, *axes, dtype=torch.float64, requires_grad=True)
    weights = torch.arange(7, dtype=torch.float64)
    rows = tuple(range(1, a.ndim))

    def formula(a, b):
        product = a.square() * b
        return product.sum(dim=rows) if rows else product

    expected = torch.autograd.grad((weights * formula(a, b)).sum(), (a, b))
    with torch.no_grad():
        value, slopes = formula(a, b), (2 * a * b, a.square())
    known = known_gradient(value, (a, slopes[0]), (b, slopes[1]))
    torch.testing.assert_close(known, formula(a, b))
    torch.testing.assert_close(torch.autograd.grad((weights * known).sum(), (a, b)), expected)


class _Plain(ExplainedBatch):
    """A batch that hands out what it is given."""

    def __init__(self, here, there):
        super().__init__(None, here, Gradient(), y=torch.zeros(len(here)))
        self.__dict__["direction"], self.there = here, there

    def direction_of(self, penalty):
        return self.there


@pytest.mark.parametrize("axes", [(6,), (2, 3, 4)])
def test_the_slope_of_the_relative_hessian_is_that_of_its_formula(axes):
    generator = torch.Generator().manual_seed(0)
    here, there = (torch.randn(5, *axes, dtype=torch.float64, generator=generator) for _ in range(2))
    here[1] = there[1]  # a linear model: the norm is 0 there, and has no slope
    here[2, 0] = 0.0
    here.requires_grad_(), there.requires_grad_()
    rows = tuple(range(1, here.ndim))

    def formula(here, there):
        shapes = [end / end.abs().mean(dim=rows, keepdim=True) for end in (here, there)]
        square = (shapes[1] - shapes[0]).square().sum(dim=rows)
        return torch.where(square > 0, square, 1.0).sqrt() * (square > 0) / 0.3

    value = RelativeHessian(kappa=0.3)(_Plain(here, there))
    torch.testing.assert_close(value, formula(here, there))
    found = torch.autograd.grad(value.exp().sum(), (here, there))
    torch.testing.assert_close(found, torch.autograd.grad(formula(here, there).exp().sum(), (here, there)))


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("skip", [False, True])
def test_points_ahead_change_nothing(n_classes, skip):
    """One pass with the point, or a second one for it: the same values and gradients."""
    torch.manual_seed(0)
    module = MLP(6, n_classes, (8, 5), "softplus", beta=2.0, skip=skip).double()
    x = torch.randn(9, 6, dtype=torch.float64)
    y = torch.zeros(9, dtype=torch.long)
    hessian, gap = RelativeHessian(), RankingGap(2)
    seen = []
    for ahead in ((), (hessian,)):
        module.zero_grad()
        passes = MLPPasses.of(module)
        torch.manual_seed(1)
        batch = ExplainedBatch(passes, x, Gradient(), y=y, lookahead=ahead)
        logits = batch.logits
        values = torch.stack([gap(batch), hessian(batch)])
        (values.sum() + logits.logsumexp(dim=-1).sum()).backward()
        passes.finish_backward()
        seen.append((logits.detach(), values.detach(), *[p.grad.clone() for p in module.parameters()]))
    for a, b in zip(*seen, strict=True):
        torch.testing.assert_close(a, b)
