"""R2ET: robust ranking explanation via thickness."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, get_args

from robustxai._arguments import NOT_NEGATIVE, POSITIVE, Choice, optional
from robustxai.classifiers._base import BaseExplainableClassifier
from robustxai.penalties import CrossLipschitz, EstimatedHessian, ExactHessian, RankingGap, RelativeHessian
from robustxai.perturbation import THREAT_ARGUMENTS, ThreatModel, as_threat
from robustxai.protocols import GapForm, GapPairs, HessianForm, Norm, Penalty, Ranking
from robustxai.ranking import clip_k
from robustxai.training import Term

__all__ = ["R2ETClassifier"]

_HESSIANS: dict[str, Callable[..., Penalty]] = {
    "relative": RelativeHessian,
    "estimated": EstimatedHessian,
    "exact": ExactHessian,
    "spectral": partial(ExactHessian, "spectral"),
}


class R2ETClassifier(BaseExplainableClassifier):
    r"""Cross-entropy, minus the gap between top-k and other features, plus a Hessian norm.

    .. math::
        \min_w \; \mathbb{E}\,[\mathrm{CE}(z(x), y)]
        \;-\; \lambda_\text{gap}\, \mathbb{E}\Bigl[\tfrac{1}{|P|} \sum_{(i,j) \in P} h(x, i, j)\Bigr]
        \;+\; \lambda_\text{hessian}\, \mathbb{E}\,\|H(x)\|

    Large gaps and a small Hessian together make the ranking stable (the paper's Prop. 3.4).

    Parameters
    ----------
    k : int, default=8
        Size of the top set that is to be stable; clipped with a warning if there are no more features than that.
    lambda_gap : float, default=0.001
        Weight of the mean gap.
    lambda_hessian : float, default=0.015
        Weight of the mean Hessian norm; 0 is the paper's R2ET\\H.
    pairs : {"all", "minimal", "anchor"}, default="minimal"
        Pairs (i in top-k, j outside) of the penalty; "minimal" is R2ET-mm, "all" the sum of Eq. 6. The largest features
        dominate the sum over all pairs, while the pairs at the boundary change their order first. See
        :class:`robustxai.penalties.RankingGap`.
    n_pairs : int or None, default=4
        k' of the minimal and anchored forms, at most k; None for k, as in the paper.
    gap : {"normalized", "linear", "exponential", "hinge", "distance"}, default="normalized"
        "linear" is Eq. 6 as printed, which a network can minimize by increasing its gradient. "exponential" and "hinge"
        replace minus the gap h by exp(-h) and max(0, margin - h), on normalized scores; see the penalty's page.
        "distance" is the first-order distance at which the gap is zero, :math:`h / \\|\\nabla h\\|_2`, the least over
        the minimal pairs and without gradient for pairs that are farther than the epsilon of `threat`
        (:class:`robustxai.penalties.CrossLipschitz`, the loss of Hein and Andriushchenko, which the paper uses for
        retraining). Use it with ``warm_up_epochs`` or `init`, a weight of about 0.1 and ``lambda_hessian=0``.
    margin : float, default=1.0
        Margin of "hinge", in units of the attribution's mean magnitude.
    threat : ThreatModel, optional
        For "distance": the perturbations under which the ranking is to be stable; ``ThreatModel()`` (l2, epsilon 0.5)
        by default. See :class:`robustxai.penalties.CrossLipschitz`.
    epsilon, norm : optional
        Shorthand for ``threat=ThreatModel(epsilon, norm)``.
    ranking : {"magnitude", "signed"}, default="magnitude"
        Scores that are ranked.
    hessian : {"relative", "estimated", "exact", "spectral"}, default="relative"
        "estimated" is the paper's finite difference along the sign of the gradient
        (:class:`robustxai.penalties.EstimatedHessian`), which a network can reduce by flattening the classifier;
        "relative" divides it by the attribution's length (:class:`robustxai.penalties.RelativeHessian`). "exact" is the
        Frobenius norm of the Hessian (:class:`robustxai.penalties.ExactHessian`), at one product per feature.
        "spectral" is its largest singular value, the norm :math:`\\|H\\|_2` of Eq. 6, at about ten sequential products.
    kappa : float, optional
        Step of the finite difference; 0.3 for "relative" and 0.01 for "estimated" by default. "exact" and "spectral"
        use none.
    **params
        Common parameters of :class:`BaseExplainableClassifier`. The default network is softplus with beta 3: sharp
        enough for nonlinear boundaries, and smooth enough for the penalties to be effective.

    References
    ----------
    Chen et al., *Robust ranking explanations*, ICML workshop 2023, Eq. 6; *Training for stable explanation for free*,
    NeurIPS 2024.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.preprocessing import StandardScaler
    >>> from robustxai import R2ETClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> X = StandardScaler().fit_transform(X)
    >>> clf = R2ETClassifier(k=8, max_epochs=10).fit(X, y)
    >>> clf.explain(X).shape
    (569, 30)
    """

    _constraints = {
        **RankingGap._constraints,
        "gap": Choice(get_args(GapForm)),
        "lambda_gap": NOT_NEGATIVE,
        "lambda_hessian": NOT_NEGATIVE,
        **THREAT_ARGUMENTS,
        "hessian": Choice(_HESSIANS),
        "kappa": optional(POSITIVE),
    }

    def __init__(
        self,
        k: int = 8,
        *,
        lambda_gap: float = 0.001,
        lambda_hessian: float = 0.015,
        pairs: GapPairs = "minimal",
        n_pairs: int | None = 4,
        gap: GapForm = "normalized",
        margin: float = 1.0,
        threat: ThreatModel | None = None,
        epsilon: float | None = None,
        norm: Norm | None = None,
        ranking: Ranking = "magnitude",
        hessian: HessianForm = "relative",
        kappa: float | None = None,
        **params: Any,
    ) -> None:
        super().__init__(**params)
        self.k = k
        self.lambda_gap = lambda_gap
        self.lambda_hessian = lambda_hessian
        self.pairs = pairs
        self.n_pairs = n_pairs
        self.gap = gap
        self.margin = margin
        self.threat = threat
        self.epsilon = epsilon
        self.norm = norm
        self.ranking = ranking
        self.hessian = hessian
        self.kappa = kappa

    def module_params(self) -> dict[str, Any]:
        return {"activation": "softplus", "beta": 3.0}

    def training_threat(self) -> ThreatModel | None:
        threat = as_threat(self.threat, epsilon=self.epsilon, norm=self.norm)
        return threat if self.gap == "distance" else None

    def check_params(self) -> None:
        super().check_params()
        if self.hessian in ("exact", "spectral") and self.kappa is not None:
            raise ValueError(
                f"kappa={self.kappa!r} is the step of a finite difference; hessian={self.hessian!r} does not use it. "
                "Leave kappa out, or use hessian='relative' or 'estimated'."
            )
        if self.gap == "distance" and self.pairs != "minimal":
            raise ValueError(
                f"gap='distance' is defined for the pairs at the boundary: use pairs='minimal', not {self.pairs!r}."
            )

    def terms(self, n_units: int) -> list[Term]:
        k = clip_k(self.k, n_units)
        gap: Penalty = (
            CrossLipschitz(k, self.n_pairs, "min", self.ranking, threat=self.resolved_threat())
            if self.gap == "distance"
            else RankingGap(k, self.pairs, self.n_pairs, self.gap, self.ranking, self.margin)
        )
        hessian = _HESSIANS[self.hessian]
        return [
            Term("gap", self.lambda_gap, gap),
            Term("hessian", self.lambda_hessian, hessian() if self.kappa is None else hessian(self.kappa)),
        ]
