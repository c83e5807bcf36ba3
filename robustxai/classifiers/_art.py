"""ART: attributional robustness training by input-gradient alignment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from robustxai._arguments import COUNT, NOT_NEGATIVE
from robustxai.classifiers._worst_case import WorstCaseClassifier
from robustxai.penalties import ASCENT_ARGUMENTS, ExplainedBatch, InputAlignment
from robustxai.perturbation import ThreatModel
from robustxai.ranking import clip_k
from robustxai.training import Term

__all__ = ["ARTClassifier"]


class ARTClassifier(WorstCaseClassifier):
    r"""Cross-entropy at the point where input and gradient are aligned worst, plus a loss that aligns them (ART).

    .. math::
        \min_w \; \mathbb{E}\bigl[\mathrm{CE}(z(x^*), y) + \lambda \log\bigl(1 + e^{d(g^y, x) - d(g^i, x)}\bigr)\bigr],
        \qquad d(g, x) = 1 - \cos(g, x), \quad g^c = \nabla_x z_c

    with i the best wrong class, the largest and smallest distance over x and :math:`x^*`, and :math:`x^*` the point of
    the ball that maximizes the second term: see :class:`robustxai.penalties.InputAlignment`. The published network is
    ReLU for the cross-entropy and softplus with beta 50 for the gradients; here one softplus network serves both. The
    published code aligns with standardized pixels. Here x is aligned as it is given.

    Parameters
    ----------
    k : int, default=8
        Number of entries that the ascent compares, those of the largest gradient. The code takes 1,000 of 3,072, a
        third; 8 is a third of the 27 features of Adult. Clipped with a warning if there are no more than that.
    lambda_alignment : float, default=0.5
        :math:`\lambda`, as published. 0 leaves the cross-entropy at :math:`x^*`; plain training is an epsilon of 0.
    max_iter : int, default=3
        Number of ascent steps from a random start, as published.
    step_size : float, optional
        Length of a step; by default ``min(2.5 / max_iter, 1) * epsilon``.
    threat : ThreatModel, optional
        Perturbations that :math:`x^*` may use; ``ThreatModel(0.01, "inf")`` by default, without a box, for X may be
        standardized. An epsilon of 0 is plain training. The published radius of 8/255 is for pixels. On validation rows
        of COMPAS and Adult (at most 4,500 training rows, 12 epochs) the AUC was 0.695 and 0.861 (softplus network:
        0.712 and 0.870), and on standardized columns of COMPAS 0.707 (0.708).
    epsilon, norm : optional
        Shorthand for ``threat=ThreatModel(epsilon, norm)``, with 0.01 and "inf" for what is not given.
    **params
        Common parameters of :class:`BaseExplainableClassifier`. The default network is softplus with beta 5, as in
        :class:`FARClassifier`.

    Raises
    ------
    ValueError, TypeError
        By `fit`, for a parameter out of its range and for a row of X outside the bounds of `threat`.

    References
    ----------
    Singh et al., *Attributional robustness training using input-gradient spatial alignment*, 2020 (arXiv 1911.13073),
    and its published code.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.preprocessing import scale
    >>> from robustxai import ARTClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> X = scale(X)
    >>> clf = ARTClassifier(max_epochs=5).fit(X, y)
    >>> clf.score(X, y) > 0.9
    True
    """

    _constraints = {"k": COUNT, "lambda_alignment": NOT_NEGATIVE, **ASCENT_ARGUMENTS}

    def __init__(
        self,
        k: int = 8,
        *,
        lambda_alignment: float = 0.5,
        max_iter: int = 3,
        step_size: float | None = None,
        **params: Any,
    ) -> None:
        super().__init__(**params)
        self.k = k
        self.lambda_alignment = lambda_alignment
        self.max_iter = max_iter
        self.step_size = step_size

    def default_threat(self) -> ThreatModel:
        return ThreatModel(0.01, "inf")

    def terms(self, n_units: int) -> list[Term]:
        clip_k(self.k, n_units)  # for its warning: the penalty clips on its own
        if not self.resolved_threat().epsilon:
            return []
        return [Term("alignment", self.lambda_alignment, self._alignment(attacked=True))]

    def adversary(self) -> Callable[[ExplainedBatch], Tensor] | None:
        return self._alignment().worst if self.resolved_threat().epsilon else None

    def _alignment(self, attacked: bool = False) -> InputAlignment:
        return InputAlignment(
            self.k, max_iter=self.max_iter, step_size=self.step_size, attacked=attacked, threat=self.resolved_threat()
        )
