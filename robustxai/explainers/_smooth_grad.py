"""SmoothGrad: the gradient averaged over noisy copies of the input."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robustxai._arguments import COUNT, INTEGER_SEED, NOT_NEGATIVE, check_arguments, optional
from robustxai._short_repr import short_repr
from robustxai._switches import differentiable
from robustxai.explainers._gradient import OUTPUT, Gradient
from robustxai.explainers._mean_gradient import leaf, mean_gradient
from robustxai.explainers._scaled import ScaledAttribution, UpToScale
from robustxai.protocols import Explainer, Output

__all__ = ["SmoothGrad"]


@dataclass(frozen=True)
class SmoothGrad:
    r"""SmoothGrad explanation of one class c.

    .. math:: I(x) = \frac{1}{S} \sum_{s=1}^{S} \nabla f_c(x + \sigma Z_s), \qquad Z_s \sim N(0, \mathrm{I})

    Parameters
    ----------
    n_draws : int, default=10
        S; 10 is the number in the published code of ATEX.
    sigma : float, default=0.1
        Standard deviation of the noise, in the units of x. The original paper gives it as 10 to 20 % of the range of
        the inputs, which is this number for features in [0, 1].
    output : {"probability", "log_odds", "logit", "cross_entropy"}, default="probability"
        The quantity f that is differentiated, as in :class:`Gradient`.
    random_state : int, default=0
        Seed of the draws.
    internal_batch_size : int or None, default=4096
        Most (row, draw) pairs in one forward pass; None puts all in one. It does not change the result beyond
        rounding. With ``create_graph`` the graphs of all passes are kept: it bounds one pass but not their sum. The
        default suits small nets, for which larger passes are no faster; lower it for images.

    Notes
    -----
    The draws depend on `random_state` and on the shape of a sample only, and all rows, calls and devices share them.
    A row's explanation is therefore a fixed differentiable function of the row: an attack cannot gain, nor a defense
    hide, by resampling, and whatever is certified for the function holds for the next call too. The points are not
    clipped to the range of the data, where the mean would lose its derivative.

    References
    ----------
    Smilkov, Thorat, Kim, Viégas and Wattenberg, *SmoothGrad: removing noise by adding noise*, 2017.

    Examples
    --------
    The mean gradient of a linear model is its gradient:

    >>> import torch
    >>> net = torch.nn.Linear(2, 2, bias=False)
    >>> _ = net.weight.data.copy_(torch.tensor([[0.0, 0.0], [3.0, -1.0]]))
    >>> SmoothGrad(n_draws=4, output="logit")(net, torch.zeros(1, 2), torch.tensor([1]))
    tensor([[ 3., -1.]])
    """

    n_draws: int = 10
    sigma: float = 0.1
    output: Output = "probability"
    random_state: int = 0
    internal_batch_size: int | None = 4096

    __repr__ = short_repr

    _constraints = {
        "n_draws": COUNT,
        "sigma": NOT_NEGATIVE,
        "output": OUTPUT,
        "random_state": INTEGER_SEED,
        "internal_batch_size": optional(COUNT),
    }

    def __post_init__(self) -> None:
        check_arguments(self)

    @differentiable
    def __call__(
        self, module: nn.Module, x: Tensor, target: Tensor, *, logits: Tensor | None = None, create_graph: bool = False
    ) -> Tensor:
        """Attribution of class `target` at `x`, shaped like x; `logits` are of no use here."""
        with torch.set_grad_enabled(create_graph):
            return self.scaled(module, x, target, create_graph=create_graph).multiplied_out()

    def scaled(
        self, module: nn.Module, x: Tensor, target: Tensor, *, logits: Tensor | None = None, create_graph: bool = False
    ) -> ScaledAttribution:
        """Attribution of class `target` at `x` as direction and scale, neither of which can vanish."""
        shift = self.sigma * self.draws(x.shape[target.ndim :]).to(x)
        return mean_gradient(
            Gradient(self.output),
            module,
            leaf(x),
            target,
            torch.ones(len(shift), dtype=x.dtype, device=x.device),
            shift,
            create_graph=create_graph,
            internal_batch_size=self.internal_batch_size,
        )

    @property
    def up_to_scale(self) -> Explainer:
        """An explainer with the same attribution up to a positive factor per sample, as for :class:`Gradient`."""
        return UpToScale(self) if self.output in ("probability", "cross_entropy") else self

    def draws(self, features: torch.Size) -> Tensor:
        """The noise Z, shape (n_samples, *features), float64."""
        # in float64 on the CPU, because the stream of normals depends on the type and on the device
        generator = torch.Generator().manual_seed(int(self.random_state))
        return torch.randn((self.n_draws, *features), generator=generator, dtype=torch.float64, device="cpu")
