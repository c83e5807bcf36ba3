"""Retarget an attack to another estimator."""

from __future__ import annotations

from typing import Any

from sklearn.base import clone

from robustxai._arguments import Either, Has, Nothing
from robustxai.protocols import Attack, Estimator

__all__ = ["ATTACK", "OPTIONAL_ATTACK", "retarget"]

#: Constraint of an argument `attack`.
ATTACK = Has(
    ("run", "get_params"),
    words="an attack on explanations, for instance ERAttack(k=8)",
    advice="Attacks on predictions (FGSM, PGD) have no explanation to compare.",
)

OPTIONAL_ATTACK = Either((ATTACK, Nothing()), words=ATTACK.words, advice=ATTACK.advice)


def retarget(attack: Attack, estimator: Estimator, k: int | None = None) -> Any:
    """Return a copy of `attack` with another `estimator`, and another `k` unless that is None."""
    ATTACK.check("attack", attack)
    changed = {} if k is None else {"k": k}
    return clone(attack).set_params(estimator=estimator, **changed)
