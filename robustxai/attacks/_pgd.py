"""PGD: projected steps that raise the cross-entropy."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from robustxai._arguments import COUNT, FLAG, POSITIVE, SEED, optional
from robustxai.attacks._prediction import PredictionAttack
from robustxai.perturbation import PerturbationSet
from robustxai.protocols import Estimator, Seed
from robustxai.training import draw_seed

__all__ = ["PGD"]


class PGD(PredictionAttack):
    r"""Raise the cross-entropy by projected steepest ascent.

    .. math:: \delta \leftarrow \Pi\bigl(\delta + \eta\, d\bigr), \qquad
        d = \arg\max_{\|d\|_p \le 1} \langle d, \nabla_x \mathrm{CE}(f(x + \delta), c) \rangle

    The last iterate is returned. The class c is the predicted one, or the label given to `transform`.

    Parameters
    ----------
    estimator, threat, batch_size
        As in :class:`FGSM`.
    max_iter : int, default=40
        Steps per row.
    step_size : float, optional
        eta, in units of the norm; ``2.5 * epsilon / max_iter`` by default, which reaches all of the ball.
    random_start : bool, default=True
        Start from a random point of the ball, the same offset for all rows, instead of the input itself.
    random_state : int, RandomState or None, default=0
        Seed of the start.

    Attributes
    ----------
    n_features_in_ : int

    References
    ----------
    Madry et al., *Towards deep learning models resistant to adversarial attacks*, 2018.
    """

    _constraints = {"max_iter": COUNT, "step_size": optional(POSITIVE), "random_start": FLAG, "random_state": SEED}

    def __init__(
        self,
        estimator: Estimator | None = None,
        *,
        max_iter: int = 40,
        step_size: float | None = None,
        random_start: bool = True,
        random_state: Seed = 0,
        **params: Any,
    ) -> None:
        super().__init__(estimator, **params)
        self.max_iter = max_iter
        self.step_size = step_size
        self.random_start = random_start
        self.random_state = random_state

    def plan(self, space: PerturbationSet) -> tuple[int, float, Tensor | None]:
        step_size = self.step_size if self.step_size is not None else 2.5 * space.epsilon / self.max_iter
        if not self.random_start:
            return self.max_iter, step_size, None
        generator = torch.Generator().manual_seed(draw_seed(self.random_state))
        return self.max_iter, step_size, space.random_point(generator)
