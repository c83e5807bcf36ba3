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
    r"""Cross-entropy plus the norm of the exact Hessian.

    .. math:: \min_w \; \mathbb{E}\,[\mathrm{CE}(z(x), y)] + \lambda\, \mathbb{E}\,\|H(x)\|

    Parameters
    ----------
    lambda_hessian : float, default=0.03
        Weight of the mean norm per sample; the default of :class:`EstimatedHessianClassifier`, whose norm is that of
        the same matrix in one direction.
    norm : {"fro", "spectral"}, default="fro"
        Norm of the Hessian; see :class:`robustxai.penalties.ExactHessian`.
    n_draws : int, optional
        Number of random vectors for an estimate of "fro"; by default it is exact, at d products per step.
    max_iter : int, default=100
        Largest number of Hessian-vector products of "spectral"; one per feature is exact.
    tol : float, default=1e-6
        Relative residual at which "spectral" stops.
    **params
        Common parameters of :class:`BaseExplainableClassifier`. The default network is softplus with beta 5, as in
        :class:`EstimatedHessianClassifier`: the second derivative of a ReLU network is zero almost everywhere.

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
