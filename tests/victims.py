"""Everything that takes a model, as functions of (model, X, y): what the tests of `_models` and `_frames` walk."""

import numpy as np

from robustxai import attacks
from robustxai._frames import take
from robustxai.attacks import (
    FGSM,
    PGD,
    AutoExplanationAttack,
    BaseAttack,
    ERAttack,
    GradientAttack,
    NESAttack,
    TargetedManipulation,
)
from robustxai.attacks._transformer import AttackTransformer
from robustxai.certificates import certified_radius, certify_smoothed_top_k, certify_top_k, curvature_bound
from robustxai.inspection import SaliencyDisplay, StabilityCurveDisplay
from robustxai.metrics import (
    adversarial_auc,
    comprehensiveness,
    decision_flip_fraction,
    hessian_norm,
    prediction_change,
    prediction_sensitivity,
    ranking_thickness,
    relaxed_thickness,
    roc_auc,
    sufficiency,
    thickness_bounds,
)
from robustxai.model_selection import (
    CertifiedPrecisionScorer,
    PrecisionAtKScorer,
    RobustnessScorer,
    ThicknessScorer,
)

K = 2
#: Every attack of the library that has to be given a model.
ATTACKS = [
    kind
    for kind in (getattr(attacks, name) for name in attacks.__all__)
    if isinstance(kind, type) and issubclass(kind, AttackTransformer) and kind not in (BaseAttack, GradientAttack)
]


def make(attack, model):
    """An attack that takes no time, on a model."""
    if attack is AutoExplanationAttack:
        return attack(model, k=K, preset="fast")
    if not issubclass(attack, BaseAttack):
        return attack(model)
    changes = {"n_draws": 2} if attack is NESAttack else {}
    changes |= {"target_units": [0]} if attack is TargetedManipulation else {}
    return attack(model, k=K, max_iter=2, **changes)


def _scored(scorer):
    def score(model, X, y):
        found = scorer(model, X, y)
        return np.array(list(found.values()) if isinstance(found, dict) else found)

    return score


def _drawn(model, X, y):
    return SaliencyDisplay.from_estimator(model, X, attack=ERAttack(k=K, max_iter=2)).precision_at_k_


def _curve(model, X, y):
    attack = ERAttack(k=K, max_iter=2)
    display = StabilityCurveDisplay.from_estimators({"a": model}, X, epsilons=[0.3], attack=attack, random=False)
    return display.points["attacked"].to_numpy()


#: Attacks on the explanation and on the prediction.
ATTACKED = {kind.__name__: (lambda model, X, y, kind=kind: make(kind, model).fit(X).transform(X)) for kind in ATTACKS}
#: Functions and objects that look at explanations.
EXPLAINED = {
    "curve": lambda model, X, y: make(AutoExplanationAttack, model).curve(X, [0.3]),
    "minimum_radius": lambda model, X, y: make(AutoExplanationAttack, model).minimum_radius(
        take(X, slice(4)), n_levels=1
    ),
    "certify_top_k": lambda model, X, y: certify_top_k(model, X, K, epsilon=0.01).precision_at_k,
    "certified_radius": lambda model, X, y: certified_radius(model, X, K, max_iter=2),
    "certify_smoothed_top_k": lambda model, X, y: certify_smoothed_top_k(model, X, K, n_draws=20).radius,
    "curvature_bound": lambda model, X, y: curvature_bound(model),
    "ranking_thickness": lambda model, X, y: ranking_thickness(model, X, K, n_draws=2, n_points=2),
    "relaxed_thickness": lambda model, X, y: relaxed_thickness(model, X, K, n_draws=2, n_points=2),
    "thickness_bounds": lambda model, X, y: np.stack(thickness_bounds(model, X, K, n_draws=1)),
    "hessian_norm": lambda model, X, y: hessian_norm(model, X),
    "comprehensiveness": lambda model, X, y: comprehensiveness(model, X),
    "sufficiency": lambda model, X, y: sufficiency(model, X),
    "decision_flip_fraction": lambda model, X, y: decision_flip_fraction(model, X),
    "PrecisionAtKScorer": _scored(PrecisionAtKScorer(ERAttack(k=K, max_iter=2))),
    "ThicknessScorer": _scored(ThicknessScorer(k=K, n_draws=2, n_points=2)),
    "CertifiedPrecisionScorer": _scored(CertifiedPrecisionScorer(k=K, epsilon=0.01, n_rows=3)),
    "RobustnessScorer": _scored(RobustnessScorer(ERAttack(k=K, max_iter=2), n_draws=2, n_points=2)),
    "SaliencyDisplay": _drawn,
    "StabilityCurveDisplay": _curve,
}
#: Functions that look at predictions alone.
PREDICTED = {
    "roc_auc": roc_auc,
    "adversarial_auc": adversarial_auc,
    "prediction_sensitivity": lambda model, X, y: prediction_sensitivity(model, X, X),
    "prediction_change": lambda model, X, y: prediction_change(model, X, X),
}
#: Of these, the ones that differentiate.
DIFFERENTIATED = (
    FGSM.__name__,
    PGD.__name__,
    "certify_top_k",
    "certified_radius",
    "curvature_bound",
    "thickness_bounds",
    "hessian_norm",
    "CertifiedPrecisionScorer",
)
