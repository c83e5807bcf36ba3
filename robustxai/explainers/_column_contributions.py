"""Contributions of whole columns: what each column of a table adds to the score, beside a baseline row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, get_args

import numpy as np
from torch import Tensor
from typing_extensions import Self

from robustxai._arguments import COUNT, Choice, Either, Nothing, Numbers, Rows, check_arguments, optional
from robustxai._short_repr import short_repr
from robustxai.explainers._baseline import fixed
from robustxai.explainers._gradient import OUTPUT
from robustxai.explainers._gradient_times_input import GradientTimesInput
from robustxai.explainers._groups import GROUPS, check_features, check_table, checked_groups
from robustxai.explainers._integrated_gradients import IntegratedGradients
from robustxai.explainers._scaled import UpToScale
from robustxai.explainers._weighted_features import WeightedFeatures
from robustxai.protocols import ContributionMethod, ContributionSide, Explainer, Output

__all__ = ["ColumnContributions"]


@dataclass(frozen=True, eq=False)
class ColumnContributions(WeightedFeatures):
    r"""Contributions of the columns of a table to the score of one class c, beside a baseline row b.

    .. math:: C_j(x) = \sum_{i \in G_j} (x_i - b_i)\, \bar g_i(x), \qquad
        \bar g = \frac{1}{m} \sum_{l=1}^{m} \nabla f_c\bigl(b + \tfrac{l - 1/2}{m} (x - b)\bigr)
        \quad\text{or}\quad \bar g = \nabla f_c(x)

    with :math:`G_j` the features that column j became. The attribution has one entry per column, so that whatever ranks
    it (penalties, attacks, metrics, certificates) ranks columns. With integrated gradients the contributions sum to
    :math:`f_c(x) - f_c(b)`, up to the error of the midpoint rule.

    The features of a one-hot group sum to 1 in x and in b. A constant that is added to their weights, and subtracted
    from the bias, therefore changes no contribution, whereas it changes every ranking of their gradients.

    Parameters
    ----------
    method : {"integrated_gradients", "gradient_times_input"}, default="integrated_gradients"
        The mean gradient between b and x, or the gradient at x. The second takes one gradient and is not complete.
    output : {"probability", "log_odds", "logit", "cross_entropy"}, default="log_odds"
        The score f, as in :class:`Gradient`. Log-odds, because the contributions of a probability fade where it is
        near 0 or 1.
    n_points : int, default=16
        m, for integrated gradients. The sum of the contributions of a softplus network of two layers is then within
        1e-3 of the difference of its scores.
    baseline : array of shape (n_features,), optional
        b. By default the medians and modes of the training data, which a classifier fills in.
    groups : sequence of sequences of int, optional
        Features of every column, such as ``column_map(pipeline).groups``. By default a classifier finds one-hot groups
        in its training data: runs of marks of which every row has exactly one.
    names : sequence of str, optional
        Names of the columns, for tables of contributions.
    side : {"for", "against"}, default="for"
        "against" gives :math:`-C_j`, what each column takes from the score: the reasons against a class are its largest
        entries.

    References
    ----------
    Sundararajan, Taly and Yan, *Axiomatic attribution for deep networks*, 2017; Shrikumar et al., *Not just a black
    box*, 2016.

    Examples
    --------
    >>> import torch
    >>> net = torch.nn.Linear(3, 2, bias=False)
    >>> _ = net.weight.data.copy_(torch.tensor([[0.0, 0.0, 0.0], [2.0, -1.0, 1.0]]))
    >>> explainer = ColumnContributions(baseline=[0.5, 1.0, 0.0], groups=[[0], [1, 2]])
    >>> explainer(net, torch.tensor([[1.0, 0.0, 1.0]]), torch.tensor([1]))
    tensor([[1., 2.]])
    """

    method: ContributionMethod = "integrated_gradients"
    output: Output = "log_odds"
    n_points: int = 16
    baseline: Any = None
    groups: Sequence[Sequence[int]] | Sequence[np.ndarray] | None = None
    names: Sequence[str] | None = None
    side: ContributionSide = "for"

    _filled: ClassVar[tuple[str, ...]] = ("baseline", "groups")
    __repr__ = short_repr

    _constraints = {
        "method": Choice(get_args(ContributionMethod)),
        "output": OUTPUT,
        "n_points": COUNT,
        "baseline": optional(Numbers()),
        "groups": GROUPS,
        "names": Either((Rows(), Nothing()), words="a sequence of names or None"),
        "side": Choice(get_args(ContributionSide)),
    }

    def __post_init__(self) -> None:
        check_arguments(self)
        if self.baseline is not None:
            object.__setattr__(self, "baseline", fixed(self.baseline))
        if self.groups is not None:
            object.__setattr__(self, "groups", checked_groups(self.groups))
        if self.names is not None:
            object.__setattr__(self, "names", tuple(str(name) for name in self.names))
            if self.groups is not None and len(self.names) != len(self.groups):
                raise ValueError(f"names has {len(self.names)} entries for {len(self.groups)} groups.")

    def filled(self, summary: Any) -> Self:
        """Return the explainer with a baseline and groups where it has none of its own.

        Parameters
        ----------
        summary : object
            With ``baseline``, the typical row of the training data, ``groups``, the features of every column, and
            ``names`` of the columns.
        """
        changed: dict[str, Any] = {}
        if self.baseline is None:
            changed["baseline"] = summary.baseline
        if self.groups is None:
            changed["groups"] = summary.groups
            if self.names is None:
                changed["names"] = summary.names
        return replace(self, **changed) if changed else self

    def attribution_shape(self, feature_shape: Sequence[int]) -> tuple[int, ...]:
        """Return the shape of one attribution: the number of columns."""
        check_table(self, feature_shape)
        if self.groups is None:
            return tuple(feature_shape)
        check_features(self.groups, feature_shape)
        return (len(self.groups),)

    @property
    def of_features(self) -> GradientTimesInput | IntegratedGradients:
        """The explainer of the features, whose attributions are summed."""
        self._check_filled()
        if self.method == "gradient_times_input":
            return GradientTimesInput(self.output, self.baseline)
        return IntegratedGradients(self.n_points, self.baseline, self.output)

    def weights(self, like: Tensor) -> Tensor:
        """Return the matrix that adds up the features of every column, with the sign of the side."""
        groups = self.groups or ()
        matrix = like.new_zeros(sum(len(group) for group in groups), len(groups))
        for column, group in enumerate(groups):
            matrix[list(group), column] = 1.0 if self.side == "for" else -1.0
        return matrix

    @property
    def up_to_scale(self) -> Explainer:
        """An explainer with the same attribution up to a positive factor per sample, as for :class:`Gradient`."""
        if self.output == "probability" and self.method == "gradient_times_input":
            return replace(self, output="log_odds")
        return UpToScale(self) if self.output in ("probability", "cross_entropy") else self
