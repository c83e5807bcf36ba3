"""What defenses share that train at the worst point of a ball by second derivatives: its threat model and network."""

from __future__ import annotations

from typing import Any

import numpy as np

from robustxai.classifiers._base import BaseExplainableClassifier
from robustxai.perturbation import THREAT_ARGUMENTS, ThreatModel, as_threat
from robustxai.protocols import Norm

__all__ = ["WorstCaseClassifier"]


class WorstCaseClassifier(BaseExplainableClassifier):
    """Base of defenses with an inner maximum over a ball; not public."""

    _constraints = {**THREAT_ARGUMENTS}

    def __init__(
        self,
        *,
        threat: ThreatModel | None = None,
        epsilon: float | None = None,
        norm: Norm | None = None,
        **params: Any,
    ) -> None:
        super().__init__(**params)
        self.threat = threat
        self.epsilon = epsilon
        self.norm = norm

    def module_params(self) -> dict[str, Any]:
        return {"activation": "softplus", "beta": 5.0}

    def training_threat(self) -> ThreatModel:
        return as_threat(self.threat, epsilon=self.epsilon, norm=self.norm, default=self.default_threat())

    def default_threat(self) -> ThreatModel:
        """Return the threat model of the training where none is given."""
        raise NotImplementedError

    def check_data(self, X: np.ndarray) -> None:
        self.training_threat().bind(X, getattr(self, "feature_names_in_", None))  # refuses rows outside the bounds
