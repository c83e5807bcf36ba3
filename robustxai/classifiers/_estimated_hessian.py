"""Estimated Hessian (Est-H)."""

from __future__ import annotations

from typing import Any

from robustxai._arguments import NOT_NEGATIVE
from robustxai.classifiers._base import BaseExplainableClassifier
from robustxai.penalties import EstimatedHessian
from robustxai.training import Term

__all__ = ["EstimatedHessianClassifier"]


class EstimatedHessianClassifier(BaseExplainableClassifier):
    r"""Cross-entropy plus a finite-difference estimate of the Hessian norm.

    .. math:: \min_w \; \mathbb{E}\,[\mathrm{CE}(z(x), y)] + \lambda\, \mathbb{E}\,\|H(x) v\|_2

    Parameters
    ----------
    lambda_hessian : float, default=0.03
        Weight of the mean norm per sample.
    kappa : float, default=1e-2
        Step of the finite difference; see :class:`robustxai.penalties.EstimatedHessian`.
    **params
        Common parameters of :class:`BaseExplainableClassifier`. The default network is softplus with beta 5: on a ReLU
        network the estimate only measures the kinks that a step of kappa crosses.

    References
    ----------
    Moosavi-Dezfooli et al., *Robustness via curvature regularization, and vice versa*, 2019;
    Dombrowski et al., *Towards robust explanations for deep neural networks*, 2021.
    """

    _constraints = {**EstimatedHessian._constraints, "lambda_hessian": NOT_NEGATIVE}

    def __init__(self, lambda_hessian: float = 0.03, kappa: float = 1e-2, **params: Any) -> None:
        super().__init__(**params)
        self.lambda_hessian = lambda_hessian
        self.kappa = kappa

    def module_params(self) -> dict[str, Any]:
        return {"activation": "softplus", "beta": 5.0}

    def terms(self, n_units: int) -> list[Term]:
        return [Term("hessian", self.lambda_hessian, EstimatedHessian(self.kappa))]
