"""FGSM: a single step that raises the cross-entropy."""

from __future__ import annotations

from torch import Tensor

from robustxai.attacks._prediction import PredictionAttack
from robustxai.perturbation import PerturbationSet

__all__ = ["FGSM"]


class FGSM(PredictionAttack):
    r"""Raise the cross-entropy by one step to the surface of the ball.

    .. math:: \delta = \arg\max_{\|d\|_p \le \epsilon} \langle d, \nabla_x \mathrm{CE}(f(x), c) \rangle

    which is :math:`\epsilon\, \mathrm{sign}(\nabla)` for :math:`p = \infty` and
    :math:`\epsilon \nabla / \|\nabla\|_2` for p = 2. The class c is the predicted one, or the label given to
    `transform`.

    Parameters
    ----------
    estimator : fitted classifier
        Target estimator.
    threat : ThreatModel, optional
        Perturbations that are allowed; ``ThreatModel()`` (l2, epsilon 0.5) by default.
    batch_size : int, optional
        Rows that are attacked at once, as in :class:`BaseAttack`.

    Attributes
    ----------
    n_features_in_ : int

    References
    ----------
    Goodfellow et al., *Explaining and harnessing adversarial examples*, 2015.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.preprocessing import StandardScaler
    >>> from robustxai import VanillaClassifier
    >>> from robustxai.attacks import FGSM
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> X = StandardScaler().fit_transform(X)
    >>> clf = VanillaClassifier(max_epochs=10).fit(X, y)
    >>> clf.score(FGSM(clf).fit(X).transform(X, y), y) < clf.score(X, y)
    True
    """

    def plan(self, space: PerturbationSet) -> tuple[int, float, Tensor | None]:
        return 1, space.epsilon, None
