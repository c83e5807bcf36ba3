"""Scorers of explanation stability for ``cross_val_score``, ``GridSearchCV`` and Optuna, and searches by stacks."""

from typing import TYPE_CHECKING, Any

from robustxai.model_selection._batched_search import BatchedSearchCV
from robustxai.model_selection._scorers import (
    CertifiedPrecisionScorer,
    PrecisionAtKScorer,
    RobustnessScorer,
    ThicknessScorer,
)

if TYPE_CHECKING:
    from robustxai.model_selection._tuning import tune

__all__ = [
    "BatchedSearchCV",
    "CertifiedPrecisionScorer",
    "PrecisionAtKScorer",
    "RobustnessScorer",
    "ThicknessScorer",
    "tune",
]


def __getattr__(name: str) -> Any:
    """`tune` on first use: Optuna takes a second to import, and scorers do without it."""
    if name == "tune":
        from robustxai.model_selection._tuning import tune

        return tune
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
