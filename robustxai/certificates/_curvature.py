"""A proven bound on the Hessian norm of a smooth network, the same for every input."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from robustxai._models import GRADIENTS, unwrap
from robustxai._switches import own_switches
from robustxai.certificates._problem import SMOOTHED_WAY
from robustxai.explainers import Gradient
from robustxai.nets import MLP

__all__ = ["curvature_bound"]

# sup |act'| and sup |act''| of the activations that have a second derivative, as functions of softplus's beta
_SLOPES = {
    nn.Softplus: lambda act: (1.0, act.beta / 4),
    nn.Sigmoid: lambda act: (1 / 4, 1 / (6 * 3**0.5)),
    nn.Tanh: lambda act: (1.0, 4 / (3 * 3**0.5)),
}
# sup over the simplex of the spectral norm of the Hessian of a softmax probability in its logits. It is the difference
# of two positive semi-definite matrices, p_c (e_c - p)(e_c - p)^T and p_c (diag p - p p^T). The norm of the first is at
# most 2 p_c (1 - p_c)^2 <= 8/27; of the second, by Gershgorin, 2 p_c max_i p_i (1 - p_i) <= 8/27.
_SOFTMAX_CURVATURE = 8 / 27


@own_switches()
def curvature_bound(estimator: Any) -> float:
    r"""Proven upper bound on :math:`\|H(x)\|_2` for all inputs x and all classes.

    .. math::
        \|\nabla^2 z_j\|_2 \le \sum_l c_l \max_i (\bar U_l)_{ij}\, r_l^2, \qquad
        r_l = \|W_l\|_2\, g_{l-1}\, r_{l-1}, \quad
        \bar U_L = |W_{L+1}|^\top, \; \bar U_l = |W_{l+1}|^\top g_{l+1} \bar U_{l+1}

    with g and c the suprema of the activation's first and second derivative; the probability of a class adds the
    curvature of the softmax, :math:`\|\nabla^2 p\| \le \tfrac12 \max_j \|\nabla^2 z_j\| + \tfrac{8}{27} \|J_z\|^2`.

    Exact but loose (a few per cent of the true curvature's reciprocal): it makes the bounds of
    :func:`robustxai.metrics.thickness_bounds` proofs where sampling can only estimate.

    Parameters
    ----------
    estimator : fitted classifier, Pipeline or search
        With an ``MLP`` of softplus, sigmoid or tanh, explained by the gradient of the probability or of the logit.

    Returns
    -------
    float

    Raises
    ------
    NotImplementedError
        A network, activation or explainer for which nothing is proven here; the message names it.

    References
    ----------
    Singla and Feizi, *Second-order provable defenses against adversarial attacks*, 2020.
    """
    model, _ = unwrap(estimator, needs=GRADIENTS, what="curvature_bound", way=SMOOTHED_WAY)
    module, explainer = model.module_, model.explainer_
    if type(module) is not MLP:  # a subclass may compute anything
        raise NotImplementedError(f"curvature_bound knows the network MLP only, not {type(module).__name__}.")
    if not isinstance(explainer, Gradient) or explainer.output not in ("probability", "logit"):
        raise NotImplementedError(f"curvature_bound knows the probability's and the logit's gradient, not {explainer}.")
    weights, slopes = _layers(module)
    norms = [torch.linalg.matrix_norm(w, ord=2) for w in weights]

    # |dz_l / dx| for the input of every activation, first to last; then of the logits
    reach: list[Tensor] = []
    lipschitz = torch.ones((), dtype=torch.float64)
    for norm, (slope, _) in zip(norms[:-1], slopes):
        lipschitz = lipschitz * norm
        reach.append(lipschitz)
        lipschitz = lipschitz * slope
    lipschitz = lipschitz * norms[-1]
    if module.skip is not None:
        lipschitz = lipschitz + torch.linalg.matrix_norm(module.skip.weight.detach().double().cpu(), ord=2)

    # |dz_j / da_l| elementwise, last to first: shape (width of layer l, n_classes)
    logit_curvature = torch.zeros(weights[-1].shape[0], dtype=torch.float64)
    downstream = weights[-1].abs().T
    for layer in reversed(range(len(slopes))):
        slope, bend = slopes[layer]
        logit_curvature = logit_curvature + bend * downstream.amax(dim=0) * reach[layer] ** 2
        downstream = weights[layer].abs().T @ (slope * downstream)
    bound = logit_curvature.max()
    if explainer.output == "probability":
        # sum_j |dp_c / dz_j| = 2 p_c (1 - p_c) <= 1/2
        bound = bound / 2 + _SOFTMAX_CURVATURE * lipschitz**2
    return float(bound * (1 + 1e-9))  # float64 rounding; rounding is not directed


def _layers(module: MLP) -> tuple[list[Tensor], list[tuple[float, float]]]:
    """Weight matrices, and the derivative bounds of the activations between them."""
    return list(_weights(module)), [_slope(a) for a in module.layers if not isinstance(a, nn.Linear)]


def _weights(module: MLP) -> Iterator[Tensor]:
    for layer in module.layers:
        if isinstance(layer, nn.Linear):
            yield layer.weight.detach().double().cpu()


def _slope(activation: nn.Module) -> tuple[float, float]:
    bounds = _SLOPES.get(type(activation))
    if bounds is None:
        raise NotImplementedError(
            f"No proven second-derivative bound for {type(activation).__name__}; use softplus, sigmoid or tanh."
        )
    return bounds(activation)
