"""Proven bound on the Hessian norm of a smooth network, the same for every input."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from robustxai._models import GRADIENTS, unwrap
from robustxai._switches import own_switches
from robustxai.activations import ActivationBounds
from robustxai.bounds import Network, check_reading, read_network
from robustxai.certificates._problem import SMOOTHED_WAY
from robustxai.explainers import Gradient
from robustxai.protocols import Estimator

__all__ = ["curvature_bound"]

# sup over the simplex of the spectral norm of the Hessian of a softmax probability in its logits. It is the difference
# of two positive semi-definite matrices, p_c (e_c - p)(e_c - p)^T and p_c (diag p - p p^T). The norm of the first is at
# most 2 p_c (1 - p_c)^2 <= 8/27; of the second, by Gershgorin, 2 p_c max_i p_i (1 - p_i) <= 8/27.
_SOFTMAX_CURVATURE = 8 / 27


@own_switches()
def curvature_bound(estimator: Estimator) -> float:
    r"""Return a proven upper bound on :math:`\|H(x)\|_2` for all inputs x and all classes.

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
        With a chain of linear layers and softplus, sigmoid or tanh, and perhaps a linear path from the input to the
        logits (as in ``MLP``), explained by the gradient of the probability or of the logit.

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
    if not isinstance(explainer, Gradient) or explainer.output not in ("probability", "logit"):
        raise NotImplementedError(f"curvature_bound knows the probability's and the logit's gradient, not {explainer}.")
    means = getattr(model, "feature_means_", None)
    if means is None:  # a converted model without rows
        means = np.zeros(model.n_features_in_)  # type: ignore[attr-defined]
    center = torch.from_numpy(np.asarray(means, dtype=np.float64))
    network = read_network(module, center.shape)
    check_reading(network, module, center[None], 1.0, torch.ones(center.numel(), dtype=torch.float64))
    weights, skip = _chain(network, type(module).__name__)
    slopes = [_suprema(layer.activation) for layer in network.layers]
    norms = [torch.linalg.matrix_norm(w, ord=2) for w in weights]

    # |dz_l / dx| for the input of every activation, first to last; then of the logits
    reach: list[Tensor] = []
    lipschitz = torch.ones((), dtype=torch.float64)
    for norm, (slope, _) in zip(norms[:-1], slopes):
        lipschitz = lipschitz * norm
        reach.append(lipschitz)
        lipschitz = lipschitz * slope
    lipschitz = lipschitz * norms[-1]
    if skip is not None:
        lipschitz = lipschitz + torch.linalg.matrix_norm(skip, ord=2)

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


def _chain(network: Network, name: str) -> tuple[list[Tensor], Tensor | None]:
    """Return the weight matrices of a chain of layers, and that of the parallel path from input to logits, if any."""
    inputs = [layer.inputs for layer in network.layers] + [network.logits]
    for source, affine in enumerate(inputs):
        beside = {0} if affine is network.logits else set()
        if not {source} <= set(affine.weights) <= {source, *beside}:
            raise NotImplementedError(
                f"curvature_bound knows chains of layers with a linear path beside them, not the branches of {name}."
            )
    weights = [affine.weights[source] for source, affine in enumerate(inputs)]
    return weights, network.logits.weights.get(0) if network.layers else None


def _suprema(activation: ActivationBounds) -> tuple[float, float]:
    """Return the suprema of the absolute first and second derivative."""
    if math.isinf(activation.max_bend):
        name = type(activation).__name__.removesuffix("Bounds")
        raise NotImplementedError(f"The second derivative of {name} has no bound; use softplus, sigmoid or tanh.")
    return activation.max_slope, activation.max_bend
