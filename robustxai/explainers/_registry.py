"""Explainers by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from robustxai._arguments import Choice, Either, Function, checked
from robustxai.explainers._auto_gradient import AutoGradient
from robustxai.explainers._centered_gradient import CenteredGradient
from robustxai.explainers._column_contributions import ColumnContributions
from robustxai.explainers._gradient import Gradient
from robustxai.explainers._gradient_times_input import GradientTimesInput
from robustxai.explainers._integrated_gradients import IntegratedGradients
from robustxai.explainers._relative_importance import RelativeImportance
from robustxai.explainers._smooth_grad import SmoothGrad
from robustxai.explainers._switch_effects import SwitchEffects
from robustxai.protocols import Explainer, ExplainerName

__all__ = ["EXPLAINER", "EXPLAINERS", "attribution_shape", "resolve_explainer"]

#: Explainers by the name that the estimators' ``explainer=`` takes.
EXPLAINERS: dict[str, Explainer] = {
    "auto": AutoGradient(),
    "gradient": Gradient("probability"),
    "log_odds_gradient": Gradient("log_odds"),
    "logit_gradient": Gradient("logit"),
    "cross_entropy_gradient": Gradient("cross_entropy"),
    "gradient_times_input": GradientTimesInput(),
    "integrated_gradients": IntegratedGradients(),
    "centered_gradient": CenteredGradient(),
    "column_contributions": ColumnContributions(),
    "switch_effects": SwitchEffects(),
    "relative_importance": RelativeImportance(),
    "smooth_grad": SmoothGrad(),
}
#: Constraint on `explainer`.
EXPLAINER = Either((Choice(EXPLAINERS), Function()), words="a name or a callable (module, x, target), no class")


@checked(explainer=EXPLAINER)
def resolve_explainer(explainer: ExplainerName | Explainer) -> Explainer:
    """Return the explainer of that name, or `explainer` itself if it is callable."""
    if isinstance(explainer, str):
        return EXPLAINERS[explainer]
    return explainer


def attribution_shape(explainer: Any, feature_shape: Sequence[int]) -> tuple[int, ...]:
    """Return the shape of one attribution of inputs of shape (n, *feature_shape): that of an input, or its own."""
    own = getattr(explainer, "attribution_shape", None)
    return tuple(feature_shape) if own is None else tuple(own(feature_shape))
