"""R2ET: robust ranking explanation via thickness."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, get_args

import numpy as np
from typing_extensions import Self

from robustxai._arguments import COUNT, FLAG, NOT_NEGATIVE, POSITIVE, Choice, Either, checked, optional
from robustxai.classifiers._measurement import lowest_precision
from robustxai.classifiers._target import TARGET_PRECISION, ToTarget
from robustxai.penalties import (
    AdversarialHinge,
    CrossLipschitz,
    EstimatedHessian,
    ExactHessian,
    RankingGap,
    RelativeHessian,
)
from robustxai.perturbation import THREAT_ARGUMENTS, ThreatModel, as_threat
from robustxai.protocols import (
    Explainer,
    ExplainerName,
    GapForm,
    GapPairs,
    GapReduction,
    HessianForm,
    Norm,
    PaperHessian,
    PaperVariant,
    Penalty,
    Ranking,
)
from robustxai.ranking import RANKING, clip_k
from robustxai.training import ObjectiveNet, PrecisionController, TargetController, Term, goal_of

__all__ = ["R2ETClassifier"]

_HESSIANS: dict[str, Callable[..., Penalty]] = {
    "relative": RelativeHessian,
    "estimated": EstimatedHessian,
    "exact": ExactHessian,
    "spectral": partial(ExactHessian, "spectral"),
}
#: Hessian term of the paper's forms: `hessian` of ``paper`` -> `hessian` of the class.
_PAPER_HESSIANS: dict[bool | str, HessianForm] = {
    True: "estimated",
    False: "estimated",
    "estimated": "estimated",
    "spectral": "spectral",
}


class R2ETClassifier(ToTarget):
    r"""R2ET with gaps and Hessian norm relative to the attribution's length; :meth:`paper` is Eq. 6 as printed.

    The objective is the cross-entropy, minus the gap between top-k and other features, plus a Hessian norm:

    .. math::
        \min_w \; \mathbb{E}\,[\mathrm{CE}(z(x), y)]
        \;-\; \lambda_\text{gap}\, \mathbb{E}\Bigl[\tfrac{1}{|P|} \sum_{(i,j) \in P} h(x, i, j)\Bigr]
        \;+\; \lambda_\text{hessian}\, \mathbb{E}\,\|H(x)\|

    Large gaps and a small Hessian together make the ranking stable (the paper's Prop. 3.4).

    The defaults differ from Eq. 6 in seven ways: the gap is divided by the attribution's mean magnitude; the Hessian
    norm is relative and along a random direction; four pairs at the boundary count instead of all; their mean is taken
    instead of their sum; features are ranked by magnitude; gradients of one-hot groups are centered; and the network is
    softplus instead of ReLU.

    Parameters
    ----------
    k : int, default=8
        Size of the top set that is to be stable; clipped with a warning if there are no more features than that.
    lambda_gap : float, default=0.001
        Weight of the gap, averaged over rows and reduced over pairs by `reduction`.
    lambda_hessian : float, default=0.015
        Weight of the mean Hessian norm; 0 is the paper's R2ET\\H.
    pairs : {"all", "minimal", "anchor"}, default="minimal"
        Pairs (i in top-k, j outside) of the penalty; "minimal" is R2ET-mm, "all" the sum of Eq. 6. The largest features
        dominate the sum over all pairs, while the pairs at the boundary change their order first. See
        :class:`robustxai.penalties.RankingGap`.
    n_pairs : int or None, default=4
        k' of the minimal and anchored forms, at most k; None for k, as in the paper.
    gap : {"normalized", "linear", "exponential", "hinge", "distance", "adversarial"}, default="normalized"
        "linear" is Eq. 6 as printed, which a network can minimize by increasing its gradient. "exponential" and "hinge"
        replace minus the gap h by exp(-h) and max(0, margin - h), on normalized scores; see the penalty's page.
        "distance" is the first-order distance at which the gap is zero, :math:`h / \\|\\nabla h\\|_2`, the least over
        the minimal pairs and without gradient for pairs that are farther than the epsilon of `threat`
        (:class:`robustxai.penalties.CrossLipschitz`, the loss of Hein and Andriushchenko, which the paper uses for
        retraining). Use it with ``warm_up_epochs`` or `init`, a weight of about 0.1 and ``lambda_hessian=0``.
        "adversarial" is the hinge at the point within `threat` where an attack closes the gaps
        (:class:`robustxai.penalties.AdversarialHinge`); it needs a warm-up too, weights of 0.1 to 10, and
        ``lambda_hessian=0``, and is what `target_precision` trains.
    margin : float, optional
        Margin of "hinge" and "adversarial", in units of the attribution's mean magnitude; 1 for the first, 0.1 for the
        second by default.
    reduction : {"mean", "sum"}, default="mean"
        Reduction over the pairs; "sum" is Eq. 6 as printed, whose weight depends on k and the number of features.
        "distance" takes the least pair and has no reduction.
    target_precision : float, optional
        Train until this share of the top k stays, in the mean, under attacks within `threat`, instead of with given
        weights: of the networks that are so stable it is to be the most accurate one. `gap` is then "adversarial", and
        a controller (:class:`robustxai.training.PrecisionController`) finds its weight in the one fit; `lambda_gap` and
        `lambda_hessian` are not used. The warm-up has at least half as many epochs as `max_epochs`; of "auto" both have
        half. A fifth of the
        rows, at most 1,256, is held out: a fifth of them, at most 256, for the controller; the others are attacked at
        the end by :class:`robustxai.attacks.AutoExplanationAttack`, which gives `precision_`. A shortfall is announced
        by a warning with a cure. docs/targets.md has an example.
    threat : ThreatModel, optional
        For "distance", "adversarial" and `target_precision`: the perturbations under which the ranking is to be stable;
        ``ThreatModel()`` (l2, epsilon 0.5) by default. See :class:`robustxai.penalties.CrossLipschitz` and
        :class:`robustxai.penalties.AdversarialHinge`.
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
    explainer : str or Explainer, default="auto"
        What is ranked and what `explain` returns: the gradient, and on a table with one-hot groups the centered
        gradient (:class:`robustxai.explainers.AutoGradient`), because a constant shift of a group's weights fakes any
        ranking of raw gradients.
    **params
        Common parameters of :class:`BaseExplainableClassifier`. The default network is softplus with beta 3: sharp
        enough for nonlinear boundaries, and smooth enough for the penalties to be effective.

    Attributes
    ----------
    precision_ : float, only with `target_precision`
        Mean P@k of the held-out rows whose explanations no choice of the training has seen, under the ensemble of the
        library's attacks with the `k`, `threat` and `ranking` of the training.
    precision_interval_ : (float, float), only with `target_precision`
        95 % confidence interval of `precision_` over rows.
    precision_n_rows_ : int, only with `target_precision`
        Number of these rows.

    Warns
    -----
    ShortfallWarning
        `precision_` is below `target_precision`.

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
        "margin": optional(POSITIVE),
        "target_precision": TARGET_PRECISION,
        "hessian": Choice(_HESSIANS),
        "kappa": optional(POSITIVE),
    }

    _says = "keeps {p:.3f} of the top {k} under attack"
    _cure = "take a smoother network (module__beta=2), a smaller k or epsilon, or aim higher than what you need"

    def __init__(
        self,
        k: int = 8,
        *,
        lambda_gap: float = 0.001,
        lambda_hessian: float = 0.015,
        pairs: GapPairs = "minimal",
        n_pairs: int | None = 4,
        gap: GapForm = "normalized",
        margin: float | None = None,
        reduction: GapReduction = "mean",
        target_precision: float | None = None,
        threat: ThreatModel | None = None,
        epsilon: float | None = None,
        norm: Norm | None = None,
        ranking: Ranking = "magnitude",
        hessian: HessianForm = "relative",
        kappa: float | None = None,
        explainer: ExplainerName | Explainer = "auto",
        **params: Any,
    ) -> None:
        super().__init__(explainer=explainer, **params)
        self.k = k
        self.lambda_gap = lambda_gap
        self.lambda_hessian = lambda_hessian
        self.pairs = pairs
        self.n_pairs = n_pairs
        self.gap = gap
        self.margin = margin
        self.reduction = reduction
        self.target_precision = target_precision
        self.threat = threat
        self.epsilon = epsilon
        self.norm = norm
        self.ranking = ranking
        self.hessian = hessian
        self.kappa = kappa

    @classmethod
    @checked(
        k=COUNT,
        lambda_1=NOT_NEGATIVE,
        lambda_2=NOT_NEGATIVE,
        variant=Choice(get_args(PaperVariant)),
        hessian=Either((FLAG, Choice(("estimated", "spectral")))),
        ranking=RANKING,
    )
    def paper(
        cls,
        k: int,
        lambda_1: float,
        lambda_2: float,
        variant: PaperVariant = "full",
        hessian: PaperHessian = True,
        *,
        ranking: Ranking = "signed",
        **params: Any,
    ) -> Self:
        r"""Make the paper's R2ET: Eq. 6 as printed.

        .. math::
            \min_w \; \mathcal{L}_\text{cls} - \lambda_1\, \mathbb{E}_x\Bigl[\sum_{i=1}^{k} \sum_{j=k+1}^{n}
            h(x, i, j)\Bigr] + \lambda_2\, \mathbb{E}_x\bigl[\|H(x)\|_2\bigr], \qquad
            h(x, i, j) = I(x)_i - I(x)_j

        with I the gradient of the predicted class's probability and its features in descending order. The sum is not
        divided by the number of pairs, and the gaps are not divided by the length of I.

        Parameters
        ----------
        k : int
            Size of the top set; the paper has 8 for tables.
        lambda_1, lambda_2 : float
            The weights, which the paper does not state. The sum has k (n - k) terms, so that a useful `lambda_1`
            depends on the number n of features.
        variant : {"full", "mm"}, default="full"
            "mm" is R2ET-mm: the sum over the k pairs at the boundary, with k' = k. The paper prints the pairs as
            (k - i, k + i), i = 1, ..., k', of which the last has an index 0 and none has the k-th feature; here they
            are (k - i + 1, k + i), with which "the top-2k" are kept, as the text says.
        hessian : bool, "estimated" or "spectral", default=True
            True and "estimated" are the paper's Est-H, a finite difference along the sign of I with a step of 0.01:
            the paper calls Est-H the ablation of R2ET without gaps. "spectral" is :math:`\|H(x)\|_2` itself, at about
            ten times the cost. False is the ablation R2ET\\H; `lambda_2` has then no effect.
        ranking : {"signed", "magnitude"}, default="signed"
            Section 3.1 defines the gap by signed importances. Section 2 speaks of the features with the largest
            magnitudes, and so do the published code and this library's metrics by default.
        **params
            Other parameters of this class. The defaults are the paper's where it states one: ReLU
            (``module__activation="relu"``; the paper names softplus as a baseline of its own) and a learning rate of
            1e-2, its rate for tables. Its largest number of epochs is 300 for tables, its optimizer, batch size and
            layers are unknown; here they are this library's defaults.

        Returns
        -------
        R2ETClassifier
            Unfitted.

        References
        ----------
        Chen et al., *Robust ranking explanations*, ICML workshop 2023, Eq. 6, Sections 3.2, 4.1 and 4.2.

        Examples
        --------
        >>> from robustxai import R2ETClassifier
        >>> R2ETClassifier.paper(8, lambda_1=1e-4, lambda_2=1e-2).reduction
        'sum'
        """
        form: dict[str, Any] = {
            "lambda_gap": lambda_1,
            "lambda_hessian": lambda_2 if hessian is not False else 0.0,
            "pairs": "all" if variant == "full" else "minimal",
            "n_pairs": None,
            "gap": "linear",
            "reduction": "sum",
            "ranking": ranking,
            "hessian": _PAPER_HESSIANS[hessian],
            "explainer": "gradient",
            "lr": 1e-2,
            "module__activation": "relu",
        }
        return cls(k, **{**form, **params})

    def module_params(self) -> dict[str, Any]:
        return {"activation": "softplus", "beta": 3.0}

    def training_threat(self) -> ThreatModel | None:
        threat = as_threat(self.threat, epsilon=self.epsilon, norm=self.norm)
        return threat if self._form() in ("distance", "adversarial") else None

    def _form(self) -> GapForm:
        return self.gap if self.target_precision is None else "adversarial"

    def check_params(self) -> None:
        super().check_params()
        if self.hessian in ("exact", "spectral") and self.kappa is not None:
            raise ValueError(
                f"kappa={self.kappa!r} is the step of a finite difference; hessian={self.hessian!r} does not use it. "
                "Leave kappa out, or use hessian='relative' or 'estimated'."
            )
        if self.target_precision is not None and self.gap not in ("normalized", "adversarial"):
            raise ValueError(
                f"target_precision trains gap='adversarial', not {self.gap!r}. Leave out gap or target_precision."
            )
        if self.gap == "distance" and self.pairs != "minimal":
            raise ValueError(
                f"gap='distance' is defined for the pairs at the boundary: use pairs='minimal', not {self.pairs!r}."
            )

    def check_data(self, X: np.ndarray) -> None:
        if self._form() == "adversarial":
            # refuses rows outside the bounds
            self.training_threat().bind(X, getattr(self, "feature_names_in_", None))  # type: ignore[union-attr]
        super().check_data(X)

    def _phases(self, max_epochs: int) -> tuple[int, int]:
        if self.target_precision is None or self.init is not None:
            return super()._phases(max_epochs)
        half = -(-max_epochs // 2)  # the ranking is to come from the data before it is held
        return max(self.warm_up_epochs, half), half if self.max_epochs == "auto" else max_epochs

    def _controller(self, net: ObjectiveNet, X: np.ndarray) -> TargetController:
        assert self.target_precision is not None
        return PrecisionController(
            X,
            k=net.terms[0].penalty.k,  # type: ignore[attr-defined]
            goal=goal_of(self.target_precision),
            threat=self.resolved_threat(),
            explainer=net.explainer,
            ranking=self.ranking,
        )

    def _kept(self, X: np.ndarray) -> np.ndarray:
        return lowest_precision(self, X, k=self.k_, ranking=self.ranking, threat=self.resolved_threat())

    def terms(self, n_units: int) -> list[Term]:
        k, form = clip_k(self.k, n_units), self._form()
        gap: Penalty
        if form == "adversarial":
            margin = 0.1 if self.margin is None else self.margin
            gap = AdversarialHinge(k, self.n_pairs, self.ranking, margin, threat=self.resolved_threat())
        elif form == "distance":
            gap = CrossLipschitz(k, self.n_pairs, "min", self.ranking, threat=self.resolved_threat())
        else:
            margin = 1.0 if self.margin is None else self.margin
            gap = RankingGap(k, self.pairs, self.n_pairs, form, self.ranking, margin, self.reduction)
        if self.target_precision is not None:
            return [Term("gap", 1.0, gap)]  # the controller sets the weight
        hessian = _HESSIANS[self.hessian]
        return [
            Term("gap", self.lambda_gap, gap),
            Term("hessian", self.lambda_hessian, hessian() if self.kappa is None else hessian(self.kappa)),
        ]
