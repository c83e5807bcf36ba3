"""Class attribution-based contrast: attributions to the true class concentrated, to a wrong class spread."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robustxai._arguments import COUNT, Number, check_arguments
from robustxai.engine import BasePenalty, ExplainedBatch
from robustxai.penalties._path import labels_of, path_attribution
from robustxai.ranking import unit_scores

__all__ = ["ClassContrast"]


@dataclass(frozen=True)
class ClassContrast(BasePenalty):
    r"""How much more concentrated the attribution to a wrong class is than that to the true class, at x'.

    .. math::
        \mathrm{KL}\bigl(u \,\|\, \mathrm{softmax}(a^{w})\bigr)
        - \mathrm{KL}\bigl(u \,\|\, \mathrm{softmax}(a^{y})\bigr), \\
        a^c = (x' - b) \odot \frac{1}{m} \sum_{r=1}^{m} \nabla p_c\Bigl(b + \tfrac{r}{m} (x' - b)\Bigr)

    with u the uniform distribution over the units, y the true class and w, at every point of the path, the strongest
    other class. This is the class attribution-based contrastive regularizer as we read it in the published code. The
    attributions sum to a difference of probabilities, so that the softmax of a few dozen of them is nearly uniform:
    the penalty is then small. Of two classes :math:`a^w = -a^y`, and to lowest order it is minus a third of the third
    cumulant of :math:`a^y`.

    Parameters
    ----------
    n_points : int, default=3
        m. The published code uses 20, for images.
    baseline : float, default=0.0
        b, the value of every feature that stands for "nothing"; the published code uses black images.

    Notes
    -----
    x' is ``batch.attacked``: the points of the training's adversary, or x without one.

    References
    ----------
    Sarkar, Sarkar and Balasubramanian, *Enhanced regularizers for attributional robustness*, 2021 (arXiv 2012.14395),
    and its published code.
    """

    n_points: int = 3
    baseline: float = 0.0

    _constraints = {"n_points": COUNT, "baseline": Number()}

    def __post_init__(self) -> None:
        check_arguments(self)

    def __call__(self, batch: ExplainedBatch) -> Tensor:
        """Compute the penalty of each sample, shape (*batch,)."""
        labels = labels_of(batch).repeat_interleave(self.n_points, dim=-1).unsqueeze(-1)

        def true_class(logits: Tensor) -> Tensor:
            return logits.softmax(dim=-1).gather(-1, labels).squeeze(-1)

        def wrong_class(logits: Tensor) -> Tensor:
            strongest = logits.detach().scatter(-1, labels, -torch.inf).argmax(dim=-1, keepdim=True)
            return logits.softmax(dim=-1).gather(-1, strongest).squeeze(-1)

        true, wrong = (
            # minus KL(u || softmax(a)), less log n
            unit_scores(attribution, "signed", batch_ndim=batch.batch_ndim).log_softmax(dim=-1).mean(dim=-1)
            for attribution, _ in path_attribution(
                batch, self.baseline, batch.attacked, self.n_points, true_class, wrong_class
            )
        )
        return true - wrong
