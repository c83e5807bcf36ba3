"""IGR: the integrated-gradient regularizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from robustxai._arguments import COUNT, NOT_NEGATIVE, Choice
from robustxai.classifiers._worst_case import WorstCaseClassifier
from robustxai.penalties import ASCENT_ARGUMENTS, AttributionChange, ExplainedBatch
from robustxai.perturbation import ThreatModel
from robustxai.protocols import Explainer, ExplainerName, IGRObjective
from robustxai.training import Term

__all__ = ["IGRClassifier"]


class IGRClassifier(WorstCaseClassifier):
    r"""Cross-entropy plus the cosine distance of the integrated gradients at x and at an adversarial example (IGR).

    .. math::
        \min_w \; \mathbb{E}\bigl[\mathrm{CE}(z(u), y) + \lambda\, (1 - \cos(A(x), A(x')))\bigr], \qquad
        x' \approx \arg\max_{\|x' - x\|_p \le \epsilon} \mathrm{CE}(z(x'), y), \quad u \in \{x, x'\}

    with A the `explainer` for the label y: the expected rank correlation of Kendall rises with the cosine. The paper
    adds its regularizer to adversarial training ("at_igr"), to TRADES and to MART, whose example it uses; the
    definition is as we read it in later work. See :class:`robustxai.penalties.AttributionChange`.

    Parameters
    ----------
    objective : {"igr", "at_igr"}, default="igr"
        Cross-entropy at x, or at x' as in adversarial training.
    lambda_attribution : float, default=1.0
        :math:`\lambda`. 0 is plain training for "igr", and adversarial training for "at_igr".
    n_points : int, default=5
        Points of integrated gradients in the penalty; an `explainer` of another kind is used as it is; as many
        as in :class:`FARClassifier`.
    max_iter : int, default=7
        Number of ascent steps from a random start.
    step_size : float, optional
        Length of a step; by default ``min(2.5 / max_iter, 1) * epsilon``.
    explainer : str or Explainer, default="integrated_gradients"
        A, and what `explain` returns. The baseline is 0, like the black image of the paper: the absent category of a
        one-hot column, the minimum of a column scaled to [0, 1] and the mean of a standardized one. Another baseline is
        ``IntegratedGradients(baseline=...)``.
    threat : ThreatModel, optional
        Perturbations that x' may use; ``ThreatModel(0.05, "inf")`` for "igr" and ``ThreatModel(0.01, "inf")`` for
        "at_igr" by default, without a box, for X may be standardized. An epsilon of 0 is plain training. On validation
        rows of COMPAS and Adult (at most 4,500 training rows, 12 epochs) the AUC was 0.701 and 0.869 with "igr", 0.696
        and 0.868 with "at_igr", and 0.712 and 0.870 for a softplus network; "at_igr" at 0.02 had 0.672 on COMPAS.
    epsilon, norm : optional
        Shorthand for ``threat=ThreatModel(epsilon, norm)``, with these defaults for what is not given.
    **params
        Common parameters of :class:`BaseExplainableClassifier`. The default network is softplus with beta 5, as in
        :class:`FARClassifier`: the regularizer is trained by second derivatives.

    Raises
    ------
    ValueError, TypeError
        By `fit`, for a parameter out of its range and for a row of X outside the bounds of `threat`.

    References
    ----------
    Wang and Kong, *Exploiting the relationship between Kendall's rank correlation and cosine similarity for attribution
    protection*, 2022 (arXiv 2205.07279).

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.preprocessing import scale
    >>> from robustxai import IGRClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> X = scale(X)
    >>> clf = IGRClassifier(epsilon=0.02, max_epochs=4).fit(X, y)
    >>> clf.score(X, y) > 0.9
    True
    """

    _constraints = {
        "objective": Choice(("igr", "at_igr")),
        "lambda_attribution": NOT_NEGATIVE,
        "n_points": COUNT,
        **ASCENT_ARGUMENTS,
    }

    def __init__(
        self,
        objective: IGRObjective = "igr",
        *,
        lambda_attribution: float = 1.0,
        n_points: int = 5,
        max_iter: int = 7,
        step_size: float | None = None,
        explainer: ExplainerName | Explainer = "integrated_gradients",
        **params: Any,
    ) -> None:
        super().__init__(explainer=explainer, **params)
        self.objective = objective
        self.lambda_attribution = lambda_attribution
        self.n_points = n_points
        self.max_iter = max_iter
        self.step_size = step_size

    def default_threat(self) -> ThreatModel:
        return ThreatModel(0.05 if self.objective == "igr" else 0.01, "inf")

    def terms(self, n_units: int) -> list[Term]:
        if not self.resolved_threat().epsilon:
            return []
        return [Term("attribution_change", self.lambda_attribution, self._change(self.objective == "at_igr"))]

    def adversary(self) -> Callable[[ExplainedBatch], Tensor] | None:
        if self.objective == "igr" or not self.resolved_threat().epsilon:
            return None
        return self._change().worst

    def _change(self, attacked: bool = False) -> AttributionChange:
        return AttributionChange(
            "cosine",
            maximize="cross_entropy",
            n_points=self.n_points,
            max_iter=self.max_iter,
            step_size=self.step_size,
            attacked=attacked,
            threat=self.resolved_threat(),
        )
