"""Explanation adversarial training (AT)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import numpy as np
from torch import Tensor

from robustxai._arguments import COUNT, Choice
from robustxai.classifiers._base import BaseExplainableClassifier
from robustxai.penalties import ExplainedBatch
from robustxai.perturbation import THREAT_ARGUMENTS, ThreatModel, as_threat
from robustxai.protocols import AdversaryGap, Norm, Ranking
from robustxai.ranking import RANKING, clip_k
from robustxai.training import GapAdversary, Term

__all__ = ["ExplanationATClassifier"]


class ExplanationATClassifier(BaseExplainableClassifier):
    r"""Cross-entropy at the input of a ball with the worst explanation: the R2ET paper's AT, with normalized gaps.

    .. math:: \min_w \; \mathbb{E}\,[\mathrm{CE}(z(x + \delta^*), y)], \qquad
        \delta^* \approx \arg\max_{\|\delta\|_2 \le \epsilon}
        - \frac{\sum_{i \le k < j} s_i(x + \delta) - s_j(x + \delta)}{\tfrac{1}{n} \sum_l |s_l(x + \delta)|}

    with s the scores of the n ranked units, in their order at x. The paper's
    :math:`-\sum_{i \le k < j} h(x + \delta, i, j)` has no denominator and also increases where the whole gradient is
    small, which is where the classifier is confident and the cross-entropy is flat. Scores divided by their mean change
    only with the direction of the explanation; see :class:`robustxai.training.GapAdversary`. ``gap="linear"`` is the
    paper's form.

    Parameters
    ----------
    k : int, default=8
        Size of the top set that is attacked; clipped with a warning if there are no more features than that.
    threat : ThreatModel, optional
        Perturbations of training inputs; ``ThreatModel()`` (l2, epsilon 0.5) by default. An epsilon of 0 is plain
        training.
    epsilon, norm : optional
        Shorthand for ``threat=ThreatModel(epsilon, norm)``.
    max_iter : int, default=1
        Number of ascent steps; one is "fast".
    ranking : {"magnitude", "signed"}, default="magnitude"
        Scores that are ranked.
    gap : {"normalized", "linear"}, default="normalized"
        "linear" leaves the denominator out, as the paper prints it.
    **params
        Common parameters of :class:`BaseExplainableClassifier`. The default network is softplus with beta 5: the
        explanation of a ReLU network has a zero derivative almost everywhere.

    References
    ----------
    Chen et al., *Robust ranking explanations*, 2023, Section 4.1; Wong, Rice and Kolter, *Fast is better than free*,
    2020.
    """

    _constraints = {
        "k": COUNT,
        "max_iter": COUNT,
        "ranking": RANKING,
        "gap": Choice(get_args(AdversaryGap)),
        **THREAT_ARGUMENTS,
    }

    def __init__(
        self,
        k: int = 8,
        *,
        threat: ThreatModel | None = None,
        epsilon: float | None = None,
        norm: Norm | None = None,
        max_iter: int = 1,
        ranking: Ranking = "magnitude",
        gap: AdversaryGap = "normalized",
        **params: Any,
    ) -> None:
        super().__init__(**params)
        self.k = k
        self.threat = threat
        self.epsilon = epsilon
        self.norm = norm
        self.max_iter = max_iter
        self.ranking = ranking
        self.gap = gap

    def module_params(self) -> dict[str, Any]:
        return {"activation": "softplus", "beta": 5.0}

    def training_threat(self) -> ThreatModel:
        return as_threat(self.threat, epsilon=self.epsilon, norm=self.norm)

    def check_data(self, X: np.ndarray) -> None:
        self.training_threat().bind(X, getattr(self, "feature_names_in_", None))  # refuses rows outside the bounds

    def terms(self, n_units: int) -> list[Term]:
        clip_k(self.k, n_units)  # for its warning: the adversary clips on its own
        return []

    def adversary(self) -> Callable[[ExplainedBatch], Tensor] | None:
        threat = self.resolved_threat()
        if not threat.epsilon:
            return None
        return GapAdversary(self.k, max_iter=self.max_iter, ranking=self.ranking, gap=self.gap, threat=threat)
