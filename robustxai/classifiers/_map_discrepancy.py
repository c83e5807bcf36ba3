"""Int and Int2 with integrated gradients as the interpretation map."""

from __future__ import annotations

from typing import Any

from robustxai._arguments import NOT_NEGATIVE
from robustxai.classifiers._worst_case import WorstCaseClassifier
from robustxai.penalties import MapDiscrepancy
from robustxai.perturbation import ThreatModel
from robustxai.protocols import Explainer, ExplainerName, MapObjective
from robustxai.training import Term

__all__ = ["MapDiscrepancyClassifier"]


class MapDiscrepancyClassifier(WorstCaseClassifier):
    r"""Cross-entropy plus the discrepancy of the maps of all classes: Int and Int2, on integrated gradients, not CAM.

    .. math::
        \min_w \; \mathbb{E}\bigl[\mathrm{CE}(z(x), y) + \gamma\, D(x, x^*)\bigr], \qquad
        D(x, x') = \|M_y(x') - M_y(x)\|_1 + \sum_{i \ne y} w_i \|M_i(x') - M_i(x)\|_1

    with w the softmax of the wrong logits at :math:`x^*`, which maximizes D (Int) or the cross-entropy (Int2). The
    paper's M is the class activation map, a weighted sum of the feature maps before a global pooling. A table and an
    MLP have none, so this class is not the published defense: its M is the integrated gradients of each logit, from the
    baseline 0. Like the class activation map, and as the paper's argument needs it, it adds up to the logit (less the
    logit of the baseline). See :class:`robustxai.penalties.MapDiscrepancy`.

    Parameters
    ----------
    objective : {"int", "int2"}, default="int"
        What :math:`x^*` maximizes.
    lambda_discrepancy : float, default=0.03
        :math:`\gamma`; 0 is plain training. The published 0.01 is for sums over the entries of an image's map. On
        validation rows of COMPAS and Adult (at most 4,500 training rows, 12 epochs) 0.03 had an AUC of 0.709 and 0.868,
        a softplus network 0.712 and 0.870.
    n_points : int, default=5
        Points of the integrated gradients in the penalty.
    n_attack_points : int, default=2
        The same in the ascent of "int".
    max_iter : int, default=3
        Number of ascent steps from a random start.
    step_size : float, optional
        Length of a step; by default ``min(2.5 / max_iter, 1) * epsilon``.
    explainer : str or Explainer, default="integrated_gradients"
        What `explain` returns; M does not depend on it. The baseline of both is 0, for the reason in
        :class:`FARClassifier`.
    threat : ThreatModel, optional
        Perturbations that :math:`x^*` may use; ``ThreatModel(0.05, "inf")`` by default, without a box, for X may be
        standardized. An epsilon of 0 is plain training.
    epsilon, norm : optional
        Shorthand for ``threat=ThreatModel(epsilon, norm)``, with 0.05 and "inf" for what is not given.
    **params
        Common parameters of :class:`BaseExplainableClassifier`. The default network is softplus with beta 5, as in
        :class:`FARClassifier`.

    Raises
    ------
    ValueError, TypeError
        By `fit`, for a parameter out of its range and for a row of X outside the bounds of `threat`.

    References
    ----------
    Boopathy et al., *Proper network interpretability helps adversarial robustness in classification*, 2020 (arXiv
    2006.14748), and its published code.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.preprocessing import scale
    >>> from robustxai import MapDiscrepancyClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> X = scale(X)
    >>> clf = MapDiscrepancyClassifier(max_epochs=4).fit(X, y)
    >>> clf.score(X, y) > 0.9
    True
    """

    _constraints = {**MapDiscrepancy._constraints, "lambda_discrepancy": NOT_NEGATIVE}

    def __init__(
        self,
        objective: MapObjective = "int",
        *,
        lambda_discrepancy: float = 0.03,
        n_points: int = 5,
        n_attack_points: int = 2,
        max_iter: int = 3,
        step_size: float | None = None,
        explainer: ExplainerName | Explainer = "integrated_gradients",
        **params: Any,
    ) -> None:
        super().__init__(explainer=explainer, **params)
        self.objective = objective
        self.lambda_discrepancy = lambda_discrepancy
        self.n_points = n_points
        self.n_attack_points = n_attack_points
        self.max_iter = max_iter
        self.step_size = step_size

    def default_threat(self) -> ThreatModel:
        return ThreatModel(0.05, "inf")

    def terms(self, n_units: int) -> list[Term]:
        threat = self.resolved_threat()
        if not threat.epsilon:
            return []
        penalty = MapDiscrepancy(
            self.objective,
            n_points=self.n_points,
            n_attack_points=self.n_attack_points,
            max_iter=self.max_iter,
            step_size=self.step_size,
            threat=threat,
        )
        return [Term("map_discrepancy", self.lambda_discrepancy, penalty)]
