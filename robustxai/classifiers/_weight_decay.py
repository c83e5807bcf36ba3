"""Weight decay (WD)."""

from __future__ import annotations

from typing import Any

from robustxai._arguments import NOT_NEGATIVE
from robustxai.classifiers._base import BaseExplainableClassifier

__all__ = ["WeightDecayClassifier"]


class WeightDecayClassifier(BaseExplainableClassifier):
    r"""Cross-entropy with an l2 penalty on the weights, on a ReLU network.

    .. math:: \min_w \; \mathbb{E}\,[\mathrm{CE}(z(x), y)] + \tfrac{\lambda}{2} \|w\|_2^2

    Small weights bound the Hessian norm of a smooth network, and so the change of an explanation.

    Parameters
    ----------
    weight_decay : float, default=1e-3
        :math:`\lambda`; the optimizer adds :math:`\lambda w` to the gradient.
    **params
        Common parameters of :class:`BaseExplainableClassifier`.

    References
    ----------
    Dombrowski et al., *Towards robust explanations for deep neural networks*, 2021.
    """

    _constraints = {"weight_decay": NOT_NEGATIVE}

    def __init__(self, weight_decay: float = 1e-3, **params: Any) -> None:
        super().__init__(**params)
        self.weight_decay = weight_decay

    def optimizer_params(self) -> dict[str, Any]:
        return {"weight_decay": self.weight_decay}
