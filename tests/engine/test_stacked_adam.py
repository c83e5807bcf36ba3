import pytest
import torch
from torch import nn

from robustxai.engine._stacked_adam import StackedAdam

RATES, DECAYS = [0.1, 0.01, 0.3], [0.0, 0.1, 0.01]


class Stack(nn.Module):
    def __init__(self, parts):
        super().__init__()
        self.values = nn.Parameter(torch.stack([p.detach() for p in parts]))


@pytest.fixture
def parts():
    return [
        nn.Parameter(torch.randn(4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(s)))
        for s in range(3)
    ]


def make(parts):
    alone = [torch.optim.Adam([p], lr=r, weight_decay=d) for p, r, d in zip(parts, RATES, DECAYS)]
    stack = Stack(parts)
    return alone, stack, StackedAdam(stack, alone, [[] for _ in parts])


def descend(alone, stack, adam, parts, steps, active=(True, True, True)):
    for _ in range(steps):
        for optimizer, part, on in zip(alone, parts, active):
            if on:
                optimizer.zero_grad()
                (part.sin() * part).sum().backward()
                optimizer.step()
        (stack.values.sin() * stack.values).sum().backward()
        adam.step(torch.tensor(RATES, dtype=torch.float64), None if all(active) else torch.tensor(active))


def test_every_member_steps_as_torch_would_alone(parts):
    alone, stack, adam = make(parts)
    descend(alone, stack, adam, parts, 20)
    torch.testing.assert_close(stack.values, torch.stack(parts))


def test_a_member_that_is_not_active_stays_and_its_clock_with_it(parts):
    alone, stack, adam = make(parts)
    descend(alone, stack, adam, parts, 3)
    descend(alone, stack, adam, parts, 4, active=(True, False, True))
    descend(alone, stack, adam, parts, 5)
    torch.testing.assert_close(stack.values, torch.stack(parts))


def test_moments_go_on_in_another_stack(parts):
    alone, stack, adam = make(parts)
    descend(alone, stack, adam, parts, 5)
    later = Stack(list(stack.values))
    descend(alone, later, StackedAdam(later, alone, adam.moments()), parts, 5)
    torch.testing.assert_close(later.values, torch.stack(parts))


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda p: torch.optim.SGD(p, lr=0.1),
        lambda p: torch.optim.AdamW(p, lr=0.1),
        lambda p: torch.optim.Adam(p, amsgrad=True),
    ],
)
def test_other_optimizers_are_refused(optimizer):
    with pytest.raises(NotImplementedError, match="Adam"):
        StackedAdam.key(optimizer([nn.Parameter(torch.zeros(1))]))
