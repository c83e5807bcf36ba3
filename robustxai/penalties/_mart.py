"""MART: the two terms beside the adversarial cross-entropy, at the points where a step evaluates the latter."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from robustxai.engine import BasePenalty, ExplainedBatch
from robustxai.penalties._distillation import divergence
from robustxai.penalties._path import labels_of

__all__ = ["RunnerUpMargin", "WeightedDivergence"]


class RunnerUpMargin(BasePenalty):
    r"""Improbability of everything but the strongest wrong class at the attacked point x'.

    .. math:: -\log\Bigl(1 - \max_{k \ne y} p_k(x')\Bigr)

    With the cross-entropy at x', to which it is added, it is the boosted cross-entropy of MART. Of two classes it is
    the cross-entropy itself. The logarithm is computed from the logits, without the constants 1.0001 and 1e-12 by which
    the published code keeps it finite.

    Notes
    -----
    x' is ``batch.attacked``: the points of the training's adversary, or x without one.

    References
    ----------
    Wang et al., *Improving adversarial robustness requires revisiting misclassified examples*, 2020, and its published
    code.

    Examples
    --------
    Of probabilities 0.6, 0.3 and 0.1, with the first class the label, -log(1 - 0.3):

    >>> import torch
    >>> from robustxai.explainers import Gradient
    >>> x = torch.tensor([[0.6, 0.3, 0.1]]).log()
    >>> RunnerUpMargin()(ExplainedBatch(torch.nn.Identity(), x, Gradient(), y=torch.tensor([0])))
    tensor([0.3567])
    """

    first_order: ClassVar[bool] = True

    def __call__(self, batch: ExplainedBatch) -> Tensor:
        """Compute the penalty of each sample, shape (*batch,)."""
        logits = batch.module(batch.attacked)
        wrong = logits.detach().scatter(-1, labels_of(batch).unsqueeze(-1), -torch.inf)
        others = logits.scatter(-1, wrong.argmax(dim=-1, keepdim=True), -torch.inf)
        return logits.logsumexp(dim=-1) - others.logsumexp(dim=-1)


class WeightedDivergence(BasePenalty):
    r"""Divergence of the predictions at x and at the attacked point x', weighted by how wrong that at x is.

    .. math:: \mathrm{KL}\bigl(p(x) \,\|\, p(x')\bigr) \cdot \bigl(1 - p_y(x)\bigr)

    The gradient in the weights goes through all three predictions, as in the published code.

    Notes
    -----
    x' is ``batch.attacked``: the points of the training's adversary, or x without one, where the penalty is zero.

    References
    ----------
    Wang et al., *Improving adversarial robustness requires revisiting misclassified examples*, 2020, and its published
    code.
    """

    first_order: ClassVar[bool] = True

    def __call__(self, batch: ExplainedBatch) -> Tensor:
        """Compute the penalty of each sample, shape (*batch,)."""
        clean = batch.explained_logits
        log_p = clean.log_softmax(dim=-1).gather(-1, labels_of(batch).unsqueeze(-1)).squeeze(-1)
        return divergence(batch.module(batch.attacked), clean, 1.0) * -torch.expm1(log_p)
