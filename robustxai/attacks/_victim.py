"""An attack on the estimator that is to be scored or shown."""

from __future__ import annotations

from typing import Any

from sklearn.base import clone

__all__ = ["aimed"]


def aimed(attack: Any, estimator: Any, k: int | None = None) -> Any:
    """A copy of `attack` on `estimator`, with `k` unless that is None."""
    if isinstance(attack, type) or not hasattr(attack, "run"):
        raise TypeError(
            f"attack must be an attack on explanations, for instance ERAttack(k=8), got {attack!r}. Attacks that are "
            "meant to change the prediction have no explanation to compare."
        )
    changed = {} if k is None else {"k": k}
    return clone(attack).set_params(estimator=estimator, **changed)
