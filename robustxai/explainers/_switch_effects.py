"""Effects of columns: the largest change of the score that a switch of a category makes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import torch
from torch import Tensor, nn
from typing_extensions import Self

from robustxai._arguments import Choice, check_arguments
from robustxai._short_repr import short_repr
from robustxai._switches import differentiable
from robustxai.explainers._gradient import Gradient, log_odds
from robustxai.explainers._groups import GROUPS, check_features, check_table, checked_groups
from robustxai.explainers._scaled import ScaledAttribution

__all__ = ["SwitchEffects", "SwitchMethod"]

#: How a switch is measured.
SwitchMethod: TypeAlias = Literal["gradient", "difference"]


@dataclass(frozen=True)
class SwitchEffects:
    r"""Effect of every column of a table on the log-odds f of one class: of a category, the largest that a switch has.

    .. math:: E_j(x) = \Delta_{l^*}, \quad l^* = \arg\max_{l \in G_j} |\Delta_l|, \qquad
        \Delta_l = \nabla_l f(x) - \nabla_c f(x) \quad\text{or}\quad f(x_{c \to l}) - f(x)

    for a one-hot group :math:`G_j` in which the row has the category c. A column of a single feature has the entry
    :math:`\nabla_j f(x)`, the change of the score over one unit: the whole range of an amount that is scaled to
    [0, 1], or one category against the other. A constant that is added to the weights of a whole group and subtracted
    from the bias changes no entry.

    Parameters
    ----------
    method : {"gradient", "difference"}, default="gradient"
        First-order change, from one gradient, or the change itself, from one prediction for each category. A network
        may bend between two categories, so that they differ.
    groups : sequence of sequences of int, optional
        Features of every column; a group of several must be one-hot. By default a classifier finds one-hot groups in
        its training data.

    Notes
    -----
    The largest of several entries has a kink where two are equal. Certificates have no bounds of it and refuse it.

    Examples
    --------
    >>> import torch
    >>> net = torch.nn.Linear(4, 2, bias=False)
    >>> _ = net.weight.data.copy_(torch.tensor([[0.0, 0.0, 0.0, 0.0], [2.0, 5.0, 9.0, 4.0]]))
    >>> SwitchEffects(groups=[[0], [1, 2, 3]])(net, torch.tensor([[0.3, 1.0, 0.0, 0.0]]), torch.tensor([1]))
    tensor([[2., 4.]])
    """

    method: SwitchMethod = "gradient"
    groups: Sequence[Sequence[int]] | Sequence[np.ndarray] | None = None

    __repr__ = short_repr

    _constraints = {"method": Choice(get_args(SwitchMethod)), "groups": GROUPS}

    def __post_init__(self) -> None:
        check_arguments(self)
        if self.groups is not None:
            object.__setattr__(self, "groups", checked_groups(self.groups))

    def filled(self, summary: Any) -> Self:
        """Return the explainer with groups where it has none of its own.

        Parameters
        ----------
        summary : object
            With ``groups``, the features of every column.
        """
        return replace(self, groups=summary.groups) if self.groups is None else self

    def attribution_shape(self, feature_shape: Sequence[int]) -> tuple[int, ...]:
        """Return the shape of one attribution: the number of columns."""
        check_table(self, feature_shape)
        if self.groups is None:
            return tuple(feature_shape)
        check_features(self.groups, feature_shape)
        return (len(self.groups),)

    @differentiable
    def __call__(
        self, module: nn.Module, x: Tensor, target: Tensor, *, logits: Tensor | None = None, create_graph: bool = False
    ) -> Tensor:
        """Effects of the columns on class `target` at `x` of shape (*batch, n_features), shape (*batch, n_columns)."""
        if self.groups is None:
            raise ValueError(
                "SwitchEffects has no groups yet. Pass them, or give the explainer to a classifier, which finds one-hot"
                " groups in its training data."
            )
        check_table(self, x.shape[target.ndim :])
        check_features(self.groups, x.shape[target.ndim :])
        gradient = Gradient("log_odds")(module, x, target, logits=logits, create_graph=create_graph)
        with torch.set_grad_enabled(create_graph):
            own = None if self.method == "gradient" else log_odds(module(x), target)
            entries = []
            for group in map(list, self.groups):
                if len(group) == 1:
                    entries.append(gradient[..., group[0]])
                    continue
                category = x[..., group].argmax(dim=-1, keepdim=True)
                if own is None:
                    slopes = gradient[..., group]
                    changes = slopes - slopes.gather(-1, category)
                else:
                    changes = _differences(module, x, target, own, group, category)
                largest = changes.detach().abs().argmax(dim=-1, keepdim=True)
                entries.append(changes.gather(-1, largest).squeeze(-1))
            return torch.stack(entries, dim=-1)

    def scaled(
        self, module: nn.Module, x: Tensor, target: Tensor, *, logits: Tensor | None = None, create_graph: bool = False
    ) -> ScaledAttribution:
        """Return the effects themselves, whose scale cannot vanish."""
        return ScaledAttribution(self(module, x, target, logits=logits, create_graph=create_graph))


def _differences(
    module: nn.Module, x: Tensor, target: Tensor, own: Tensor, group: list[int], category: Tensor
) -> Tensor:
    """Return the change of the log-odds by a switch to every category of a group, shape (*batch, n_categories)."""
    found = []
    for place in range(len(group)):
        # what the row's category has moves to another one, so that rows between two categories have a change too
        moved = torch.zeros_like(x[..., group]).scatter(-1, category, -1.0)
        moved[..., place] += 1.0
        height = x[..., group].gather(-1, category)
        switched = x.clone()
        switched[..., group] = x[..., group] + height * moved
        found.append(log_odds(module(switched), target) - own)
    return torch.stack(found, dim=-1)
