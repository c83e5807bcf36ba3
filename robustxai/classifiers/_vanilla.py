"""Vanilla: cross-entropy alone."""

from __future__ import annotations

from robustxai.classifiers._base import BaseExplainableClassifier

__all__ = ["VanillaClassifier"]


class VanillaClassifier(BaseExplainableClassifier):
    r"""A ReLU network trained on the cross-entropy without a defense: the baseline of all defenses.

    .. math:: \min_w \; \mathbb{E}\,[\mathrm{CE}(z(x), y)]

    Parameters
    ----------
    **params
        Common parameters of :class:`BaseExplainableClassifier`.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from robustxai import VanillaClassifier
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> clf = VanillaClassifier(max_epochs=20).fit(X, y)
    >>> clf.explain(X.head(2)).round(2).shape
    (2, 4)
    """
