"""Exact Hessian (Exact-H)."""

from __future__ import annotations

from typing import Any

from robustxai._arguments import NOT_NEGATIVE
from robustxai.classifiers._base import BaseExplainableClassifier
from robustxai.penalties import ExactHessian
from robustxai.protocols import HessianNorm
from robustxai.training import Term

__all__ = ["ExactHessianClassifier"]


class ExactHessianClassifier(BaseExplainableClassifier):
    r"""Cross-entropy plus the norm of the Hessian itself.

    .. math:: \min_w \; \mathbb{E}\,[\mathrm{CE}(z(x), y)] + \lambda\, \mathbb{E}\,\|H(x)\|

    Parameters
    ----------
    lambda_hessian : float, default=0.03
        Weight of the mean norm per sample; the one of :class:`EstimatedHessianClassifier`, whose norm is that of the
        same matrix in one direction.
    norm : {"fro", "spectral"}, default="fro"
        Which norm; see :class:`robustxai.penalties.ExactHessian`.
    n_draws : int, optional
        Random vectors in the place of all d unit vectors of "fro"; by default it is exact, at d products a step.
    max_iter : int, default=100
        Most products with the Hessian of "spectral"; as many as there are features are exact.
    tol : float, default=1e-6
        Relative residual at which "spectral" stops.
    **params
        The common parameters of :class:`BaseExplainableClassifier`. The default network is softplus with beta 5, as
        that of :class:`EstimatedHessianClassifier`: a ReLU network has no second derivative to act on.

    References
    ----------
    Chen et al., *Robust ranking explanations*, 2023, Section 4.2; Dombrowski et al., *Towards robust explanations for
    deep neural networks*, 2021.
    """

    _constraints = {**ExactHessian._constraints, "lambda_hessian": NOT_NEGATIVE}

    def __init__(
        self,
        lambda_hessian: float = 0.03,
        norm: HessianNorm = "fro",
        n_draws: int | None = None,
        max_iter: int = 100,
        tol: float = 1e-6,
        **params: Any,
    ) -> None:
        super().__init__(**params)
        self.lambda_hessian = lambda_hessian
        self.norm = norm
        self.n_draws = n_draws
        self.max_iter = max_iter
        self.tol = tol

    def module_params(self) -> dict[str, Any]:
        return {"activation": "softplus", "beta": 5.0}

    def terms(self, n_units: int) -> list[Term]:
        return [Term("hessian", self.lambda_hessian, ExactHessian(self.norm, self.n_draws, self.max_iter, self.tol))]
