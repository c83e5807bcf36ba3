"""Adversarial training on predictions (FGSM, PGD)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor

from robustxai._arguments import COUNT, Choice
from robustxai.classifiers._base import BaseExplainableClassifier
from robustxai.penalties import ExplainedBatch
from robustxai.perturbation import THREAT_ARGUMENTS, ThreatModel, as_threat
from robustxai.protocols import AdversaryName, Norm
from robustxai.training import LossAdversary

__all__ = ["AdversarialTrainingClassifier"]

_ATTACKS = ("fgsm", "pgd")
_DEFAULT = ThreatModel(0.1, "inf")


class AdversarialTrainingClassifier(BaseExplainableClassifier):
    r"""Cross-entropy at the worst-case input of a ball, on a ReLU network.

    .. math:: \min_w \; \mathbb{E}\,\Bigl[\max_{\|\delta\|_p \le \epsilon} \mathrm{CE}(z(x + \delta), y)\Bigr]

    Parameters
    ----------
    attack : {"fgsm", "pgd"}, default="fgsm"
        One step to the boundary of the ball, or `max_iter` projected steps, starting at x.
    threat : ThreatModel, optional
        Perturbations of training inputs; ``ThreatModel(0.1, "inf")`` by default, the ball of ATEX's FGSM. An epsilon of
        0 is plain training.
    epsilon, norm : optional
        Shorthand for ``threat=ThreatModel(epsilon, norm)``, with 0.1 and "inf" for what is not given.
    max_iter : int, default=7
        Number of steps of "pgd", as in Madry et al.; without effect on "fgsm".
    **params
        Common parameters of :class:`BaseExplainableClassifier`.

    References
    ----------
    Goodfellow, Shlens and Szegedy, *Explaining and harnessing adversarial examples*, 2015; Madry et al., *Towards deep
    learning models resistant to adversarial attacks*, 2018.
    """

    _constraints = {"attack": Choice(_ATTACKS), "max_iter": COUNT, **THREAT_ARGUMENTS}

    def __init__(
        self,
        attack: AdversaryName = "fgsm",
        *,
        threat: ThreatModel | None = None,
        epsilon: float | None = None,
        norm: Norm | None = None,
        max_iter: int = 7,
        **params: Any,
    ) -> None:
        super().__init__(**params)
        self.attack = attack
        self.threat = threat
        self.epsilon = epsilon
        self.norm = norm
        self.max_iter = max_iter

    def training_threat(self) -> ThreatModel:
        return as_threat(self.threat, epsilon=self.epsilon, norm=self.norm, default=_DEFAULT)

    def check_data(self, X: np.ndarray) -> None:
        self.training_threat().bind(X, getattr(self, "feature_names_in_", None))  # refuses rows outside the bounds

    def adversary(self) -> Callable[[ExplainedBatch], Tensor] | None:
        threat = self.resolved_threat()
        if not threat.epsilon:
            return None
        return LossAdversary(max_iter=1 if self.attack == "fgsm" else self.max_iter, threat=threat)
