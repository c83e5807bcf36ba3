"""The saliency map: input gradient of the network's output for one class."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, get_args

import torch
from torch import Tensor, nn

from robustxai._arguments import Choice, Instance, check_arguments, checked
from robustxai._short_repr import short_repr
from robustxai._switches import differentiable
from robustxai.engine import score_gradient
from robustxai.explainers._scaled import ScaledAttribution, UpToScale
from robustxai.protocols import Explainer, Output

__all__ = ["Gradient", "log_odds"]

#: Constraint on `output`.
OUTPUT = Choice(get_args(Output))


@checked(logits=Instance(Tensor), target=Instance(Tensor))
def log_odds(logits: Tensor, target: Tensor) -> Tensor:
    """``z_c - logsumexp_{j != c} z_j``, the log-odds of class c; shape (*batch,)."""
    if logits.shape[-1] == 2:
        return (logits[..., 1] - logits[..., 0]) * (2 * target - 1)
    index = target.unsqueeze(-1)
    others = logits.scatter(-1, index, float("-inf")).logsumexp(dim=-1)
    return logits.gather(-1, index).squeeze(-1) - others


@dataclass(frozen=True)
class Gradient:
    r"""Gradient explanation (SimpleGrad) of one class c.

    .. math:: I(x) = \nabla_x f_c(x), \qquad
        f_c \in \Bigl\{\,p_c,\; \log \tfrac{p_c}{1 - p_c},\; z_c,\; -\log p_c\,\Bigr\}, \quad p = \mathrm{softmax}(z)

    Parameters
    ----------
    output : {"probability", "log_odds", "logit", "cross_entropy"}, default="probability"
        The quantity that is differentiated. The R2ET paper explains the probability; its code the cross-entropy, whose
        gradient is ``-grad p_c / p_c`` (the same ranking of magnitudes); the ATEX paper the logit.

    Notes
    -----
    With m the log-odds of class c, :math:`\nabla p_c = \sigma'(m) \nabla m` for any number of classes: probability and
    log-odds have the same ranking. :math:`p_c` is differentiated as :math:`-\sigma(-m)` for m >= 0. A float32 softmax
    rounds to 1 from m = 17 on, and its gradient then drops :math:`\nabla z_c`: a wrong ranking for confident samples.
    The factor :math:`\sigma'(m)` itself underflows in float32 beyond m = 88. For rankings, `scaled` returns
    :math:`\nabla m` and :math:`\log \sigma'(m)` instead.

    References
    ----------
    Simonyan, Vedaldi and Zisserman, *Deep inside convolutional networks*, 2014.

    Examples
    --------
    >>> import torch
    >>> net = torch.nn.Linear(2, 2, bias=False)
    >>> _ = net.weight.data.copy_(torch.tensor([[0.0, 0.0], [3.0, -1.0]]))
    >>> Gradient("logit")(net, torch.zeros(1, 2), torch.tensor([1]))
    tensor([[ 3., -1.]])
    """

    #: The attribution is one input gradient, which trainings may write out.
    single_gradient: ClassVar[bool] = True

    output: Output = "probability"

    __repr__ = short_repr

    _constraints = {"output": OUTPUT}

    def __post_init__(self) -> None:
        check_arguments(self)

    @differentiable
    def __call__(
        self, module: nn.Module, x: Tensor, target: Tensor, *, logits: Tensor | None = None, create_graph: bool = False
    ) -> Tensor:
        """Attribution of class `target` at `x`, shaped like x."""
        score = _Score(self, target)
        return score_gradient(module, x, score, logits=logits, create_graph=create_graph)

    def scaled(
        self, module: nn.Module, x: Tensor, target: Tensor, *, logits: Tensor | None = None, create_graph: bool = False
    ) -> ScaledAttribution:
        """Attribution of class `target` at `x` as direction and scale, neither of which can vanish."""
        if self.output not in ("probability", "cross_entropy"):
            return ScaledAttribution(self(module, x, target, logits=logits, create_graph=create_graph))
        if logits is None:
            x = x if x.requires_grad else x.detach().requires_grad_()
            with torch.enable_grad():
                logits = module(x)
        direction = Gradient("log_odds")(module, x, target, logits=logits, create_graph=create_graph)
        with torch.set_grad_enabled(create_graph):
            margin = log_odds(logits, target)
            log_scale = nn.functional.logsigmoid(-margin)
            if self.output == "cross_entropy":
                return ScaledAttribution(-direction, log_scale)
            return ScaledAttribution(direction, log_scale + nn.functional.logsigmoid(margin))

    @property
    def up_to_scale(self) -> Explainer:
        """An explainer with the same attribution up to a positive factor per sample, and no vanishing factor."""
        if self.output == "probability":
            return Gradient("log_odds")
        return UpToScale(self) if self.output == "cross_entropy" else self


@dataclass(frozen=True)
class _Score:
    """The explained output of class `target`, and its gradient in the logits."""

    explainer: Gradient
    target: Tensor

    def value(self, logits: Tensor) -> Tensor:
        """Return the explained output, shape (*batch,)."""
        output, target = self.explainer.output, self.target
        if output == "logit":
            return logits.gather(-1, target.unsqueeze(-1)).squeeze(-1)
        margin = log_odds(logits, target)
        if output == "log_odds":
            return margin
        if output == "cross_entropy":
            return nn.functional.softplus(-margin)
        return torch.where(margin >= 0, -torch.sigmoid(-margin), torch.sigmoid(margin))

    def cotangent(self, logits: Tensor) -> Tensor:
        """Return the gradient of the output in the logits, shaped like `logits`."""
        output, target = self.explainer.output, self.target
        own = _own_slopes(logits.shape[-1], output, logits.dtype, logits.device)[target]
        if output == "logit":
            return own
        slopes = own
        if logits.shape[-1] > 2:
            slopes = own - logits.masked_fill(own.bool(), float("-inf")).softmax(dim=-1)
        if output == "log_odds":
            return slopes
        margin = log_odds(logits, target)
        if output == "cross_entropy":
            return -torch.sigmoid(-margin).unsqueeze(-1) * slopes
        return (torch.sigmoid(margin) * torch.sigmoid(-margin)).unsqueeze(-1) * slopes


@lru_cache(maxsize=32)
def _own_slopes(n_classes: int, output: Output, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Row c: the gradient in the logits of z_c, or for two classes of the log-odds of c."""
    with torch.inference_mode(False):  # what is kept must serve calls in other modes too
        own = torch.eye(n_classes, dtype=dtype, device=device)
        return 2 * own - 1 if n_classes == 2 and output != "logit" else own
