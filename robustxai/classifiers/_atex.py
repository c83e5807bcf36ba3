"""ATEX: adversarial training on explanations, without second derivatives."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from typing_extensions import Self

from robustxai._arguments import NOT_NEGATIVE, checked, optional
from robustxai._models import module_of
from robustxai.classifiers._base import BaseExplainableClassifier
from robustxai.penalties import Distillation, TangentDistillation
from robustxai.perturbation import ThreatModel
from robustxai.protocols import DistillationVariant
from robustxai.training import ObjectiveNet, Term

__all__ = ["ATEXClassifier"]


class ATEXClassifier(BaseExplainableClassifier):
    r"""ATEX with the published code's temperature 4 and a longer move; :meth:`paper` has the paper's epsilon and T = 1.

    A student g is fine-tuned so that its predictions beside the explanation of a teacher f equal those of f along it:

    .. math::
        \min_g \; \mathbb{E}\Bigl[ L(g(x), f(x)) + \alpha \sum_{x^i} \sum_{x^p} L(g(x^p), f(x^i)) \Bigr]

    with :math:`x^i` on the line through x along the SmoothGrad :math:`\phi` of f, :math:`x^p` displaced from it
    orthogonally to :math:`\phi`, and L a divergence at temperature T: see
    :class:`robustxai.penalties.TangentDistillation`.

    The defaults differ from the paper's settings: its epsilon is the attack's (at most 0.08, on images), Eq. 4 has no
    temperature, and its sum over displaced points is not averaged.

    Parameters
    ----------
    alpha : float, default=0.125
        Weight of the sum; 1/8 gives the mean over its 8 copies, so that both terms have the same weight. With 0 and
        without `init`, the teacher already minimizes the objective, and nothing is fine-tuned.
    epsilon : float, default=0.5
        :math:`\Delta_1 = \Delta_2`, as in the paper; the value is the default radius of
        :class:`robustxai.perturbation.ThreatModel`.
    epsilon_across : float, optional
        :math:`\Delta_2` if it differs; `epsilon` is then :math:`\Delta_1`. Long displacements along the explanation
        leave the data, where the teacher is uninformative; orthogonal displacements may be longer.
    n_along, n_across : int, default=2 and 4
        Number of :math:`x^i` per x, and of :math:`x^p` per :math:`x^i`; both are drawn in every step.
    temperature : float, default=4.0
        T, as in the published code.
    n_draws : int, default=10
        Number of draws of SmoothGrad.
    variant : {"paper", "reference"}, default="paper"
        "reference" is the published code's objective: the second term alone, without alpha, with 8 copies at each of
        two points (``n_across=8``). The code makes one optimizer step per point; here one step uses both.
    **params
        Common parameters of :class:`BaseExplainableClassifier`. If `init` is given, f is `init`, with its own
        activations, and g starts from its weights; otherwise f is trained first, by cross-entropy and with the same
        settings. `max_epochs` applies to each of the two trainings, and `history_` is that of the second. The default
        network is softplus, as in the paper, with beta 3, as in :class:`R2ETClassifier`: with beta 1 the teacher lost 5
        points of AUC on a table with a curved boundary (two moons and eight columns of noise).

    References
    ----------
    Tang et al., *Defense against explanation manipulation*, 2021, Eq. 4-6.
    """

    _constraints = {
        "alpha": NOT_NEGATIVE,
        "epsilon": NOT_NEGATIVE,
        "epsilon_across": optional(NOT_NEGATIVE),
        **{
            name: TangentDistillation._constraints[name]
            for name in ("n_along", "n_across", "temperature", "n_draws", "variant")
        },
    }

    def __init__(
        self,
        *,
        alpha: float = 0.125,
        epsilon: float = 0.5,
        epsilon_across: float | None = None,
        n_along: int = 2,
        n_across: int = 4,
        temperature: float = 4.0,
        n_draws: int = 10,
        variant: DistillationVariant = "paper",
        **params: Any,
    ) -> None:
        super().__init__(**params)
        self.alpha = alpha
        self.epsilon = epsilon
        self.epsilon_across = epsilon_across
        self.n_along = n_along
        self.n_across = n_across
        self.temperature = temperature
        self.n_draws = n_draws
        self.variant = variant

    @classmethod
    @checked(epsilon=NOT_NEGATIVE, alpha=NOT_NEGATIVE)
    def paper(cls, epsilon: float, *, alpha: float = 1.0, **params: Any) -> Self:
        r"""Make the paper's ATEX: Eq. 4 to 6 with :math:`\Delta_1 = \Delta_2 = \epsilon` and no temperature.

        Parameters
        ----------
        epsilon : float
            Range of the displacements, which the paper sets to the radius of the attack: 0.02, 0.04 or 0.08 on images
            in [0, 1].
        alpha : float, default=1.0
            Weight of the sum, which the paper does not state; 1 leaves Eq. 4 as printed.
        **params
            Other parameters of this class. The paper states neither the number of displaced points nor the draws of
            SmoothGrad in training, L, the learning rate or the sharpness of its softplus; here they are this class's
            defaults. Give the model to be fine-tuned as `init`.

        Returns
        -------
        ATEXClassifier
            Unfitted.

        References
        ----------
        Tang et al., *Defense against explanation manipulation*, 2021, Eq. 4-6 and Section 4.2.

        Examples
        --------
        >>> from robustxai import ATEXClassifier
        >>> ATEXClassifier.paper(0.08).temperature
        1.0
        """
        form: dict[str, Any] = {"epsilon_across": None, "temperature": 1.0, "variant": "paper"}
        return cls(epsilon=epsilon, alpha=alpha, **{**form, **params})

    def module_params(self) -> dict[str, Any]:
        return {"activation": "softplus", "beta": 3.0}

    def training_threat(self) -> ThreatModel:
        return ThreatModel(self.epsilon)

    def train_net(self, net: ObjectiveNet, X: np.ndarray, codes: np.ndarray) -> None:
        if self.init is None:
            super().train_net(net, X, codes)
            if self.alpha == 0:
                return
        source = net.module_ if self.init is None else module_of(self.init, "init")[0]
        teacher = copy.deepcopy(source).to(net.device).eval().requires_grad_(False)
        across = self.epsilon if self.epsilon_across is None else self.epsilon_across
        moves = (self.epsilon, across, self.n_along, self.n_across)
        tangent = TangentDistillation(teacher, *moves, self.temperature, self.n_draws, variant=self.variant)
        if self.variant == "paper":
            clean = Term("distillation", 1.0, Distillation(teacher, self.temperature))
            net.terms = [clean, Term("tangent", self.alpha, tangent)]
        else:
            net.terms = [Term("tangent", 1.0, tangent)]
        net.criterion_weight = 0.0
        net.initialize_history()
        net.initialize_optimizer()
        super().train_net(net, X, codes)
