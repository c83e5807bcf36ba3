"""Softplus (SP): a smooth activation in place of ReLU."""

from __future__ import annotations

from typing import Any

from robustxai._arguments import POSITIVE
from robustxai.classifiers._base import BaseExplainableClassifier

__all__ = ["SoftplusClassifier"]


class SoftplusClassifier(BaseExplainableClassifier):
    r"""Cross-entropy on a network with softplus activations.

    .. math:: \sigma_\beta(z) = \tfrac{1}{\beta} \log(1 + e^{\beta z}), \qquad 0 < \sigma_\beta''(z) \le \beta / 4

    so that the Hessian is bounded by :math:`\beta` and the weights.

    Parameters
    ----------
    beta : float, default=1.0
        Sharpness. The network is smoother and closer to a linear model for lower values, and approaches ReLU for higher
        ones. 1 is torch's default and a strong baseline on tables.
    **params
        The common parameters of :class:`BaseExplainableClassifier`.

    References
    ----------
    Dombrowski et al., *Explanations can be manipulated and geometry is to blame*, 2019.
    """

    _constraints = {"beta": POSITIVE}

    def __init__(self, beta: float = 1.0, **params: Any) -> None:
        super().__init__(**params)
        self.beta = beta

    def module_params(self) -> dict[str, Any]:
        return {"activation": "softplus", "beta": self.beta}
