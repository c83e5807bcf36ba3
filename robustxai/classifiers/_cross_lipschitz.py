"""Cross-Lipschitz ratio (CL)."""

from __future__ import annotations

from typing import Any

from robustxai._arguments import NOT_NEGATIVE
from robustxai.classifiers._base import BaseExplainableClassifier
from robustxai.penalties import CrossLipschitz
from robustxai.perturbation import ThreatModel, as_threat
from robustxai.protocols import Norm, Ranking, Reduction
from robustxai.ranking import clip_k
from robustxai.training import Term

__all__ = ["CrossLipschitzClassifier"]


class CrossLipschitzClassifier(BaseExplainableClassifier):
    r"""Cross-entropy minus the first-order distance at which the first pair of units exchanges its ranks.

    .. math:: \min_w \; \mathbb{E}\,[\mathrm{CE}(z(x), y)] - \lambda\, \mathbb{E}\Bigl[\min_{(i,j)}
        \min\Bigl(\frac{h(x, i, j)}{\|\nabla_x h(x, i, j)\|_2},\; R\Bigr)\Bigr]

    The defaults differ from the R2ET paper's CL by the cap R, which is Hein and Andriushchenko's; a large `epsilon`
    leaves it out.

    Parameters
    ----------
    k : int, default=8
        Size of the top set that is to be stable; clipped with a warning if there are no more features than that.
    lambda_ratio : float, default=0.1
        Weight of the mean ratio, a length of at most epsilon. The default term is at most a twentieth of a nat of
        cross-entropy.
    n_pairs : int or None, default=4
        Pairs at the boundary, as in :class:`R2ETClassifier`; None for k.
    reduction : {"min", "mean"}, default="min"
        Reduction over the pairs; see :class:`robustxai.penalties.CrossLipschitz`.
    ranking : {"magnitude", "signed"}, default="magnitude"
        Scores that are ranked.
    threat : ThreatModel, optional
        Unit and cap R of the distance, as in :class:`robustxai.penalties.CrossLipschitz`: pairs that are farther than
        its epsilon have no gradient. ``ThreatModel()`` (l2, epsilon 0.5) by default.
    epsilon, norm : optional
        Shorthand for ``threat=ThreatModel(epsilon, norm)``.
    **params
        Common parameters of :class:`BaseExplainableClassifier`. The default network is softplus with beta 5: the second
        derivative of a ReLU network is zero almost everywhere. The R2ET paper uses this loss only for retraining
        (`init`); the cap R, which its version does not have, makes training from scratch possible.

    References
    ----------
    Hein and Andriushchenko, *Formal guarantees on the robustness of a classifier against adversarial manipulation*,
    2017; Chen et al., *Robust ranking explanations*, 2023, Section 3.3.
    """

    _constraints = {**CrossLipschitz._constraints, "lambda_ratio": NOT_NEGATIVE}

    def __init__(
        self,
        k: int = 8,
        *,
        lambda_ratio: float = 0.1,
        n_pairs: int | None = 4,
        reduction: Reduction = "min",
        ranking: Ranking = "magnitude",
        threat: ThreatModel | None = None,
        epsilon: float | None = None,
        norm: Norm | None = None,
        **params: Any,
    ) -> None:
        super().__init__(**params)
        self.k = k
        self.lambda_ratio = lambda_ratio
        self.n_pairs = n_pairs
        self.reduction = reduction
        self.ranking = ranking
        self.threat = threat
        self.epsilon = epsilon
        self.norm = norm

    def module_params(self) -> dict[str, Any]:
        return {"activation": "softplus", "beta": 5.0}

    def training_threat(self) -> ThreatModel:
        return as_threat(self.threat, epsilon=self.epsilon, norm=self.norm)

    def terms(self, n_units: int) -> list[Term]:
        options = (self.n_pairs, self.reduction, self.ranking)
        ratio = CrossLipschitz(clip_k(self.k, n_units), *options, threat=self.resolved_threat())
        return [Term("ratio", self.lambda_ratio, ratio)]
