"""The attack by which classifiers measure themselves.

Classifiers stand below the attacks and import none. The package, which stands above both, hands them this function.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["attacked_precision"]


def attacked_precision(estimator: Any, X: np.ndarray, **options: Any) -> np.ndarray:
    """Return the P@k of each row under :class:`robustxai.attacks.AutoExplanationAttack`.

    Parameters
    ----------
    estimator : fitted classifier
        What is attacked.
    X : ndarray of shape (n_samples, *features)
        Rows.
    **options
        Parameters of the attack.
    """
    from robustxai.attacks import AutoExplanationAttack  # only trainings to a target need the attacks

    return AutoExplanationAttack(estimator, **options).run(X).precision_at_k
