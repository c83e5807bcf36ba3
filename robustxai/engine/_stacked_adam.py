"""Adam for a stack, with a learning rate and a weight decay for each model."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from typing_extensions import Self

from robustxai._compat import add_products, lerp, multiply

__all__ = ["StackedAdam"]


class StackedAdam:
    r"""Adam over parameters whose first axis counts the models of a stack.

    .. math::
        g \leftarrow g + \lambda w, \quad m \leftarrow \beta_1 m + (1 - \beta_1) g, \quad
        v \leftarrow \beta_2 v + (1 - \beta_2) g^2, \quad
        w \leftarrow w - \frac{\eta}{1 - \beta_1^t} \frac{m}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}

    with :math:`\eta`, :math:`\lambda` and t for each model. torch's own Adam takes one rate for a whole tensor.

    Parameters
    ----------
    module : nn.Module
        Module that holds the parameters.
    optimizers : sequence of torch.optim.Adam
        Optimizers of the models; their weight decay, betas and eps are read.
    moments : sequence of list of (Tensor, Tensor)
        Current moments of the models, followed by their number of steps; empty lists at the start.

    References
    ----------
    Kingma and Ba, *Adam: a method for stochastic optimization*, 2015.
    """

    def __init__(
        self, module: nn.Module, optimizers: Sequence[Optimizer], moments: Sequence[list[tuple[Tensor, Tensor]]]
    ):
        self.parameters = list(module.parameters())
        group = optimizers[0].param_groups[0]
        self.betas, self.eps = group["betas"], group["eps"]
        like = self.parameters[0]
        self.decay = torch.tensor([o.param_groups[0]["weight_decay"] for o in optimizers]).to(like)
        if moments[0]:
            stacked = [
                [torch.stack([m[i][j] for m in moments]).to(like) for j in (0, 1)] for i in range(len(moments[0]))
            ]
            *state, (steps, _) = stacked
            self.m, self.v = [m for m, _ in state], [v for _, v in state]
            self.steps = steps.double().cpu()
        else:
            self.m = [torch.zeros_like(p) for p in self.parameters]
            self.v = [torch.zeros_like(p) for p in self.parameters]
            self.steps = torch.zeros(len(optimizers), dtype=torch.float64)

    @staticmethod
    def key(optimizer: Optimizer) -> Hashable:
        """Return the settings that the optimizers of a stack share; raise NotImplementedError unless a plain Adam."""
        if type(optimizer) is not torch.optim.Adam or len(optimizer.param_groups) > 1:
            raise NotImplementedError(f"a stack is trained by Adam with one group, not by {type(optimizer).__name__}")
        group = optimizer.param_groups[0]
        if group["amsgrad"] or group["maximize"] or group.get("decoupled_weight_decay", False):
            raise NotImplementedError("a stack is trained by Adam without amsgrad, maximize and decoupled weight decay")
        return (*group["betas"], group["eps"])

    @torch.no_grad()
    def step(self, rate: Tensor, active: Tensor | None = None) -> None:
        """Take one step with rates of shape (models,); models that are not `active` keep their weights."""
        state: list[Sequence[Tensor]] = [self.parameters, self.m, self.v]
        before = None if active is None else [[t.clone() for t in tensors] for tensors in state]
        self.steps += 1 if active is None else active
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in self.parameters]
        if bool(self.decay.any()):
            gradients = [g.addcmul(p, _per_model(self.decay, p)) for g, p in zip(gradients, self.parameters)]
        first, second = self.betas
        lerp(self.m, gradients, 1 - first)
        multiply(self.v, second)
        add_products(self.v, gradients, gradients, 1 - second)
        t = self.steps.clamp_min(1)
        length = (rate / (1 - first**t)).to(self.parameters[0])
        root = (1 - second**t).sqrt().to(self.parameters[0])
        for p, m, v in zip(self.parameters, self.m, self.v):
            denominator = v.sqrt().div_(_per_model(root, p)).add_(self.eps)
            p.sub_(m.div(denominator).mul_(_per_model(length, p)))
            p.grad = None
        if before is not None and active is not None:
            for tensors, old in zip(state, before):
                for new, former in zip(tensors, old):
                    new.copy_(torch.where(_per_model(active.to(new.device), new), new, former))

    def moments(self) -> list[list[tuple[Tensor, Tensor]]]:
        """Return the moments of each model, from which its training can continue."""
        steps = self.steps.to(self.m[0].dtype)
        return [
            [*((m[s].clone().cpu(), v[s].clone().cpu()) for m, v in zip(self.m, self.v)), (steps[s], steps[s])]
            for s in range(len(self.steps))
        ]

    def select(self, module: nn.Module, index: Tensor) -> Self:
        """Return the optimizer of some of the models, whose parameters `module` holds."""
        chosen = type(self).__new__(type(self))
        chosen.parameters = list(module.parameters())
        chosen.betas, chosen.eps = self.betas, self.eps
        there = index.to(self.decay.device)
        chosen.decay, chosen.steps = self.decay[there], self.steps[index]
        chosen.m, chosen.v = [m[there] for m in self.m], [v[there] for v in self.v]
        return chosen


def _per_model(values: Tensor, like: Tensor) -> Tensor:
    return values.reshape(-1, *(1,) * (like.ndim - 1))
