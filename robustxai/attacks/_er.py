"""ERAttack: the explanation ranking attack of the R2ET paper."""

from __future__ import annotations

from torch import Tensor

from robustxai.attacks._paper_protocol import PaperAttack
from robustxai.attacks._search import Reference

__all__ = ["ERAttack"]


class ERAttack(PaperAttack):
    r"""Push down the summed gap between the top-k and all other units; :meth:`paper` has the paper's schedule.

    .. math:: \min_\delta \sum_{i \le k < j} h(x + \delta, i, j), \qquad h(x, i, j) = s_i(x) - s_j(x)

    with s the unit scores. The sum also spends the budget on pairs that cannot flip, and can be lowered by shrinking
    the whole gradient; :class:`BoundaryMarginAttack` does neither.

    Parameters
    ----------
    estimator, k, threat, ranking, max_iter, step_size, momentum, keep, batch_size, random_state
        As in :class:`GradientAttack`. The defaults differ from the paper: a hundred steps of decreasing length with
        momentum instead of a thousand equal ones, epsilon 0.5 instead of 1, units ranked by magnitude, and the iterate
        of the lowest P@k instead of the last. Each makes the attack stronger at the same radius.

    References
    ----------
    Chen et al., *Robust ranking explanations*, 2023, Section 4.2.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.preprocessing import StandardScaler
    >>> from robustxai import VanillaClassifier
    >>> from robustxai.attacks import ERAttack
    >>> from robustxai.perturbation import ThreatModel
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> X = StandardScaler().fit_transform(X)
    >>> clf = VanillaClassifier(max_epochs=10).fit(X, y)
    >>> result = ERAttack(clf, k=8, threat=ThreatModel(epsilon=0.5), max_iter=20).run(X[:50])
    >>> bool(result.precision_at_k.mean() < 1)
    True
    """

    def objective(self, attribution: Tensor, reference: Reference) -> Tensor:
        return -reference.mean_gap(reference.rank(attribution))
