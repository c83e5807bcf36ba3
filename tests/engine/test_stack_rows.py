import pytest
import torch

from robustxai.engine import StackedMLP, StackRows, of_rows
from robustxai.nets import MLP

from .test_stacked_mlp import make_members


@pytest.fixture
def members():
    return make_members(skip=True)


@pytest.mark.parametrize("owner", [[0, 0, 1, 1, 2, 2], [0, 1, 1, 1, 1, 2], [0, 0, 2], [1], [2, 2, 2]])
def test_each_row_goes_through_its_own_network(owner, members):
    x = torch.randn(len(owner), 5, dtype=torch.float64, requires_grad=True)
    rows = StackRows(StackedMLP(members), torch.tensor(owner))
    expected = torch.cat([members[s](x[i : i + 1]) for i, s in enumerate(owner)])
    torch.testing.assert_close(rows(x), expected)
    (gradient,) = torch.autograd.grad(rows(x).square().sum(), x, create_graph=True)
    (alone,) = torch.autograd.grad(expected.square().sum(), x, create_graph=True)
    torch.testing.assert_close(gradient, alone)
    second = [torch.autograd.grad(g.square().sum(), x)[0] for g in (gradient, alone)]
    torch.testing.assert_close(*second)


@pytest.mark.parametrize("chosen", [[0], [0, 3], [1, 2, 4], [3, 4]])
def test_some_of_the_rows(chosen, members):
    x = torch.randn(5, 5, dtype=torch.float64)
    rows = StackRows(StackedMLP(members), torch.tensor([0, 0, 1, 2, 2]))
    mask = torch.zeros(5, dtype=torch.bool)
    mask[chosen] = True
    for index in (torch.tensor(chosen), mask):
        torch.testing.assert_close(of_rows(rows, index)(x[index]), rows(x)[index])
    assert all(p.requires_grad for p in of_rows(rows, mask).parameters())


def test_any_other_network_computes_all_rows_alike():
    net = MLP(5, 2)
    assert of_rows(net, torch.tensor([0])) is net
