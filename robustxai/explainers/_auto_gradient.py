"""The gradient, without what one-hot groups leave free where there are any."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from robustxai._short_repr import short_repr
from robustxai.explainers._centered_gradient import CenteredGradient
from robustxai.explainers._gradient import Gradient

__all__ = ["AutoGradient"]


@dataclass(frozen=True)
class AutoGradient(Gradient):
    """Gradient of one class; a classifier makes it a `CenteredGradient` on a table with one-hot groups.

    A raw gradient has any ranking on such a table, because a constant shift of the weights of a group changes no
    prediction. A training for stable rankings could use that; see :class:`CenteredGradient`. On other tables, images,
    graphs and pairs, and outside of a classifier, it is :class:`Gradient`.

    Parameters
    ----------
    output : {"probability", "log_odds", "logit", "cross_entropy"}, default="probability"
        The quantity that is differentiated, as in :class:`Gradient`.
    """

    single_gradient: ClassVar[bool] = True
    fills_without_table: ClassVar[bool] = True
    __repr__ = short_repr

    def filled(self, summary: Any) -> Gradient | CenteredGradient:
        """Return the explainer of a classifier whose training data have this summary.

        Parameters
        ----------
        summary : object or None
            With ``groups``, the features of every column, and ``means`` of the features; None for what is no table.
        """
        if summary is None or all(len(group) == 1 for group in summary.groups):
            return Gradient(self.output)
        return CenteredGradient(self.output).filled(summary)
