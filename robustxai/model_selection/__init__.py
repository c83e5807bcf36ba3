"""Scorers of explanation stability for ``cross_val_score``, ``GridSearchCV`` and Optuna."""

from robustxai.model_selection._scorers import (
    CertifiedPrecisionScorer,
    PrecisionAtKScorer,
    RobustnessScorer,
    ThicknessScorer,
)

__all__ = ["CertifiedPrecisionScorer", "PrecisionAtKScorer", "RobustnessScorer", "ThicknessScorer"]
