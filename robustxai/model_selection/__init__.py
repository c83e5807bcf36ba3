"""Scorers of explanation stability for ``cross_val_score``, ``GridSearchCV`` and Optuna."""

from robustxai.model_selection._scorers import PrecisionAtKScorer, RobustnessScorer, ThicknessScorer

__all__ = ["PrecisionAtKScorer", "RobustnessScorer", "ThicknessScorer"]
