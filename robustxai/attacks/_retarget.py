"""An attack on the estimator that is to be scored or shown."""

from __future__ import annotations

from typing import Any

from sklearn.base import clone

from robustxai._arguments import Either, Has, Nothing
from robustxai.protocols import Attack, Estimator

__all__ = ["ATTACK", "OPTIONAL_ATTACK", "retarget"]

#: What may be given for `attack`.
ATTACK = Has(
    ("run", "get_params"),
    words="an attack on explanations, for instance ERAttack(k=8)",
    advice="Attacks that are meant to change the prediction have no explanation to compare.",
)

OPTIONAL_ATTACK = Either((ATTACK, Nothing()), words=ATTACK.words, advice=ATTACK.advice)


def retarget(attack: Attack, estimator: Estimator, k: int | None = None) -> Any:
    """A copy of `attack` on `estimator`, with `k` unless that is None."""
    ATTACK.check("attack", attack)
    changed = {} if k is None else {"k": k}
    return clone(attack).set_params(estimator=estimator, **changed)
