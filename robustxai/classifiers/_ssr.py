"""Smooth-surface regularization (SSR)."""

from __future__ import annotations

from typing import Any

from robustxai._arguments import NOT_NEGATIVE
from robustxai.classifiers._base import BaseExplainableClassifier
from robustxai.penalties import SSR
from robustxai.protocols import SSRMethod
from robustxai.training import Term

__all__ = ["SSRClassifier"]


class SSRClassifier(BaseExplainableClassifier):
    r"""Cross-entropy plus the largest eigenvalue of its Hessian in the input, on a ReLU network.

    .. math:: \min_w \; \mathbb{E}\,[\mathrm{CE}(z(x), y)]
        + \lambda\, \mathbb{E}\,[\lambda_{\max}(\nabla_x^2\, \mathrm{CE})]

    The paper writes :math:`(1 - a)\, \mathrm{CE} + a s\, \lambda_{\max}`; divided by 1 - a, which does not change the
    minimizers, this gives :math:`\lambda = a s / (1 - a)`.

    Parameters
    ----------
    lambda_eigenvalue : float, default=0.13
        :math:`\lambda`; 0.13 is a = s = 0.3, the setting of the published example.
    method : {"auto", "closed", "power"}, default="auto"
        Method for the eigenvalue; see :class:`robustxai.penalties.SSR`.
    max_iter : int, default=100
        Largest number of Hessian-vector products of "power"; one per feature is exact.
    tol : float, default=1e-6
        Relative residual at which "power" stops.
    **params
        Common parameters of :class:`BaseExplainableClassifier`. The default network has ReLUs, for which the eigenvalue
        has a closed form.

    References
    ----------
    Wang et al., *Smoothed geometry for robust attribution*, 2020.
    """

    _constraints = {**SSR._constraints, "lambda_eigenvalue": NOT_NEGATIVE}

    def __init__(
        self,
        lambda_eigenvalue: float = 0.13,
        method: SSRMethod = "auto",
        max_iter: int = 100,
        tol: float = 1e-6,
        **params: Any,
    ) -> None:
        super().__init__(**params)
        self.lambda_eigenvalue = lambda_eigenvalue
        self.method = method
        self.max_iter = max_iter
        self.tol = tol

    def terms(self, n_units: int) -> list[Term]:
        return [Term("eigenvalue", self.lambda_eigenvalue, SSR(self.method, self.max_iter, self.tol))]
