"""The attack and the certificate by which classifiers measure themselves.

Classifiers stand below both and import neither. The package, which stands above, hands them these functions.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["attacked_precision", "certified_precision"]


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


def certified_precision(estimator: Any, X: np.ndarray, **options: Any) -> np.ndarray:
    """Return the P@k of each row that :func:`robustxai.certificates.certify_top_k` proves.

    Parameters
    ----------
    estimator : fitted classifier
        What is certified.
    X : ndarray of shape (n_samples, *features)
        Rows.
    **options
        Arguments of `certify_top_k`.
    """
    from robustxai.certificates import certify_top_k  # only trainings to a target need the certificates

    return certify_top_k(estimator, X, **options).precision_at_k
