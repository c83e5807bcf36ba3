"""The gradient without what one-hot groups leave free."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from typing_extensions import Self

from robustxai._arguments import Numbers, check_arguments, optional
from robustxai._short_repr import short_repr
from robustxai.explainers._baseline import fixed
from robustxai.explainers._gradient import OUTPUT, Gradient
from robustxai.explainers._groups import GROUPS, checked_groups
from robustxai.explainers._scaled import UpToScale
from robustxai.explainers._weighted_features import WeightedFeatures
from robustxai.protocols import Explainer, Output

__all__ = ["CenteredGradient"]


@dataclass(frozen=True, eq=False)
class CenteredGradient(WeightedFeatures):
    r"""Gradient of one class, minus its mean over the features of a one-hot group.

    .. math:: I(x)_j = \nabla_j f_c(x) - \sum_{l \in G} w_l \nabla_l f_c(x), \qquad j \in G,
        \quad \sum_{l \in G} w_l = 1

    The features of a one-hot group sum to 1. A constant that is added to their weights in the first layer, and
    subtracted from its bias, changes no prediction on such data and makes any ranking of raw gradients: a plain network
    then has a P@k of 1 against every attack. Only differences within a group mean something. Centered by the
    frequencies w of the categories, an entry is the effect of a category beside the average one, and does not depend on
    the constant. The gradient of a feature that is a column by itself stays as it is.

    Parameters
    ----------
    output : {"probability", "log_odds", "logit", "cross_entropy"}, default="probability"
        The quantity f, as in :class:`Gradient`.
    groups : sequence of sequences of int, optional
        Features of every column. By default a classifier finds one-hot groups in its training data.
    frequencies : array of shape (n_features,), optional
        w: how frequent each category is; divided by their sum over a group. Those of the training data by default.
        Features that are a group by themselves have none.

    Examples
    --------
    >>> import torch
    >>> net = torch.nn.Linear(3, 2, bias=False)
    >>> _ = net.weight.data.copy_(torch.tensor([[0.0, 0.0, 0.0], [2.0, 5.0, 9.0]]))
    >>> explainer = CenteredGradient("log_odds", groups=[[0], [1, 2]], frequencies=[1, 0.5, 0.5])
    >>> explainer(net, torch.zeros(1, 3), torch.tensor([1]))
    tensor([[ 2., -2.,  2.]])
    """

    output: Output = "probability"
    groups: Sequence[Sequence[int]] | Sequence[np.ndarray] | None = None
    frequencies: Any = None

    #: A fixed matrix times one input gradient, so that trainings may write the gradient out.
    single_gradient: ClassVar[bool] = True

    _filled: ClassVar[tuple[str, ...]] = ("groups", "frequencies")
    __repr__ = short_repr

    _constraints = {"output": OUTPUT, "groups": GROUPS, "frequencies": optional(Numbers(low=0.0))}

    def __post_init__(self) -> None:
        check_arguments(self)
        if self.groups is not None:
            object.__setattr__(self, "groups", checked_groups(self.groups))
        if self.frequencies is not None:
            object.__setattr__(self, "frequencies", fixed(self.frequencies))

    def filled(self, summary: Any) -> Self:
        """Return the explainer with groups and frequencies where it has none of its own.

        Parameters
        ----------
        summary : object
            With ``groups``, the features of every column, and ``means`` of the features in the training data.
        """
        changed: dict[str, Any] = {}
        if self.groups is None:
            changed["groups"] = summary.groups
        if self.frequencies is None:
            changed["frequencies"] = summary.means.clip(0.0)
        return replace(self, **changed) if changed else self

    @property
    def of_features(self) -> Gradient:
        """The gradient that is centered."""
        self._check_filled()
        return Gradient(self.output)

    def weights(self, like: Tensor) -> Tensor:
        """Return the matrix that centers gradients, shape (n_features, n_features)."""
        groups = self.groups or ()
        matrix = torch.eye(sum(len(group) for group in groups), dtype=like.dtype, device=like.device)
        for group in groups:
            if len(group) == 1:
                continue
            places = list(group)
            share = torch.tensor(np.asarray(self.frequencies)[places], dtype=like.dtype, device=like.device)
            total = share.sum()
            share = share / total if total > 0 else torch.full_like(share, 1 / len(group))
            matrix[np.ix_(places, places)] -= share[:, None]
        return matrix

    @property
    def up_to_scale(self) -> Explainer:
        """An explainer with the same attribution up to a positive factor per sample, as for :class:`Gradient`."""
        if self.output == "probability":
            return replace(self, output="log_odds")
        return UpToScale(self) if self.output == "cross_entropy" else self
