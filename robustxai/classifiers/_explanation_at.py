"""Explanation adversarial training (AT)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from robustxai._arguments import COUNT, NOT_NEGATIVE
from robustxai.classifiers._base import BaseExplainableClassifier
from robustxai.penalties import ExplainedBatch
from robustxai.protocols import Ranking
from robustxai.ranking import RANKING, clip_k
from robustxai.training import GapAdversary, Term

__all__ = ["ExplanationATClassifier"]


class ExplanationATClassifier(BaseExplainableClassifier):
    r"""Cross-entropy where the explanation is worst: the "fast" AT of the R2ET paper.

    .. math:: \min_w \; \mathbb{E}\,[\mathrm{CE}(z(x + \delta^*), y)], \qquad
        \delta^* \approx \arg\max_{\|\delta\|_2 \le \epsilon}
        - \frac{\sum_{i \le k < j} s_i(x + \delta) - s_j(x + \delta)}{\tfrac{1}{n} \sum_l |s_l(x + \delta)|}

    with s the scores of the n ranked units, in the order that they have at x. The paper's
    :math:`-\sum_{i \le k < j} h(x + \delta, i, j)` has no denominator, and is raised as well by shrinking the whole
    gradient, which is where the classifier is confident and the cross-entropy has nothing to teach. Scores over their
    mean can be moved by turning the explanation alone; see :class:`robustxai.training.GapAdversary`.

    Parameters
    ----------
    k : int, default=8
        Size of the top set that is attacked; clipped with a warning when there are not more features than that.
    epsilon : float, default=0.5
        Length of the perturbation: the default radius of :class:`robustxai.perturbation.ThreatModel`. 0 is plain
        training.
    max_iter : int, default=1
        Steps of the ascent; one is "fast".
    ranking : {"magnitude", "signed"}, default="magnitude"
        What is ranked.
    **params
        The common parameters of :class:`BaseExplainableClassifier`. The default network is softplus with beta 5: of a
        ReLU network the explanation has no slope to follow.

    References
    ----------
    Chen et al., *Robust ranking explanations*, 2023, Section 4.1; Wong, Rice and Kolter, *Fast is better than free*,
    2020.
    """

    _constraints = {"k": COUNT, "epsilon": NOT_NEGATIVE, "max_iter": COUNT, "ranking": RANKING}

    def __init__(
        self, k: int = 8, *, epsilon: float = 0.5, max_iter: int = 1, ranking: Ranking = "magnitude", **params: Any
    ) -> None:
        super().__init__(**params)
        self.k = k
        self.epsilon = epsilon
        self.max_iter = max_iter
        self.ranking = ranking

    def module_params(self) -> dict[str, Any]:
        return {"activation": "softplus", "beta": 5.0}

    def training_radius(self) -> tuple[str, float, Any] | None:
        return "epsilon", self.epsilon, 2

    def terms(self, n_units: int) -> list[Term]:
        clip_k(self.k, n_units)  # for its warning: the adversary clips on its own
        return []

    def adversary(self) -> Callable[[ExplainedBatch], Tensor] | None:
        return GapAdversary(self.k, self.epsilon, self.max_iter, ranking=self.ranking) if self.epsilon else None
