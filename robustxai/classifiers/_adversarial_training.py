"""Adversarial training on predictions (FGSM, PGD)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor

from robustxai._arguments import COUNT, NORM, NOT_NEGATIVE, Choice
from robustxai.classifiers._base import BaseExplainableClassifier
from robustxai.penalties import ExplainedBatch
from robustxai.protocols import AdversaryName, Norm
from robustxai.training import LossAdversary

__all__ = ["AdversarialTrainingClassifier"]

_ATTACKS = ("fgsm", "pgd")


class AdversarialTrainingClassifier(BaseExplainableClassifier):
    r"""Cross-entropy where the prediction is worst, on a ReLU network.

    .. math:: \min_w \; \mathbb{E}\,\Bigl[\max_{\|\delta\|_p \le \epsilon} \mathrm{CE}(z(x + \delta), y)\Bigr]

    Parameters
    ----------
    attack : {"fgsm", "pgd"}, default="fgsm"
        One step to the edge of the ball, or `max_iter` projected ones; from x itself.
    epsilon : float, default=0.1
        Radius, in units of X: ATEX's for its FGSM. 0 is plain training.
    max_iter : int, default=7
        Steps of "pgd", as in Madry et al.; without effect on "fgsm".
    norm : {2, inf, "inf"}, default=inf
        p.
    **params
        The common parameters of :class:`BaseExplainableClassifier`.

    References
    ----------
    Goodfellow, Shlens and Szegedy, *Explaining and harnessing adversarial examples*, 2015; Madry et al., *Towards deep
    learning models resistant to adversarial attacks*, 2018.
    """

    _constraints = {"attack": Choice(_ATTACKS), "epsilon": NOT_NEGATIVE, "max_iter": COUNT, "norm": NORM}

    def __init__(
        self,
        attack: AdversaryName = "fgsm",
        *,
        epsilon: float = 0.1,
        max_iter: int = 7,
        norm: Norm = math.inf,
        **params: Any,
    ) -> None:
        super().__init__(**params)
        self.attack = attack
        self.epsilon = epsilon
        self.max_iter = max_iter
        self.norm = norm

    def training_radius(self) -> tuple[str, float, Any] | None:
        return "epsilon", self.epsilon, self.norm

    def adversary(self) -> Callable[[ExplainedBatch], Tensor] | None:
        if not self.epsilon:
            return None
        return LossAdversary(self.epsilon, 1 if self.attack == "fgsm" else self.max_iter, self.norm)
