"""Hessian norm: rate of change of the attribution with the input."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robustxai._arguments import COUNT, POSITIVE, SEED, Choice, Number, Rows, checked
from robustxai._switches import own_switches
from robustxai.metrics._inputs import chunks, explained, module_batch, plain_array, probabilities
from robustxai.metrics._jacobian import differentiable, frobenius_estimate, jacobian, spectral_estimate
from robustxai.perturbation import displacement_sampler
from robustxai.protocols import Estimator, ExplainableClassifier, MetricHessianNorm, Seed

NORMS = ("fro", "spectral", "estimated")


@own_switches()
@checked(
    X=Rows(), norm=Choice(NORMS), kappa=POSITIVE, max_exact=Number(0, integer=True), n_draws=COUNT, random_state=SEED
)
def hessian_norm(
    estimator: Estimator,
    X: Any,
    *,
    norm: MetricHessianNorm = "fro",
    kappa: float = 0.01,
    max_exact: int = 512,
    n_draws: int = 32,
    random_state: Seed = 0,
) -> np.ndarray:
    r"""Norm of the derivative of the attribution, :math:`H(x) = \partial a(x) / \partial x`.

    For a gradient explainer this is the Hessian of the explained output. The class explained is the predicted one.

    * ``"fro"``: :math:`\|H\|_F`; ``"spectral"``: the largest singular value. Both are exact up to `max_exact`
      features (one backward pass each), and beyond that estimated by random probes.
    * ``"estimated"``: the finite difference of the Est-H defense, :math:`\|(a(x + \kappa v) - a(x)) / \kappa\|_2`
      with :math:`v = \mathrm{sign}(a(x)) / \|\mathrm{sign}(a(x))\|_2`: curvature in one direction, two explanations.

    A ReLU network has zero second derivatives almost everywhere; a small value then says nothing about stability.

    Parameters
    ----------
    estimator : fitted estimator
        With ``predict_proba``, ``module_``, ``device_`` and ``explainer_``.
    X : array-like of shape (n_samples, *features)
        The inputs whose explanations are measured.
    norm : {"fro", "spectral", "estimated"}, default="fro"
        "fro" needs no iteration and bounds "spectral" from above.
    kappa : float, default=0.01
        Step of "estimated": small against the features' scale, large against the rounding of float32 gradients.
    max_exact : int, default=512
        Largest number of features for which the whole matrix is formed (1 MB a sample in float32).
    n_draws : int, default=32
        Beyond `max_exact`: Hutchinson probes for "fro", of relative standard error at most 1 / sqrt(2 n_draws), or
        power iterations for "spectral", which approaches the norm from below.
    random_state : int, Seed or None, default=0
        Source of the probes.

    Returns
    -------
    ndarray of shape (n_samples,)

    Raises
    ------
    ValueError
        If an argument is out of range.

    References
    ----------
    Chen et al., "Robust Ranking Explanations", ICML 2023 workshop (arXiv 2212.14106), Equation 6 and the Est-H
    baseline; Moosavi-Dezfooli et al., "Robustness via Curvature Regularization, and Vice Versa", CVPR 2019;
    Hutchinson, Communications in Statistics 18(3), 1989.

    Examples
    --------
    An attribution of (x_1^2, 3 x_2) has the derivative diag(2 x_1, 3):

    >>> import numpy as np, torch
    >>> from types import SimpleNamespace
    >>> from robustxai.metrics import hessian_norm
    >>> toy = SimpleNamespace(
    ...     predict_proba=lambda X: np.tile([0.3, 0.7], (len(X), 1)), module_=torch.nn.Identity(), device_="cpu",
    ...     explainer_=lambda module, x, target, create_graph=False: torch.stack([x[:, 0] ** 2, 3 * x[:, 1]], dim=1),
    ... )
    >>> hessian_norm(toy, np.array([[2.0, 0.0], [1.0, 5.0]]), norm="spectral")
    array([4., 3.])
    """
    estimator, X = explained(estimator, X, "hessian_norm", gradients=True)
    array = plain_array(X)
    n_features = math.prod(array.shape[1:])
    exact = n_features <= max_exact
    target = probabilities(estimator, X).argmax(axis=1)
    probe = displacement_sampler(n_features, 1.0, "gaussian", random_state)
    n_vectors = n_draws if norm == "fro" else 1

    result = np.empty(len(array))
    for part in chunks(len(array), n_features * (n_features if exact else n_vectors)):
        x = module_batch(estimator, array[part])
        classes = torch.as_tensor(target[part], device=x.device)
        if norm == "estimated":
            values = _finite_difference(estimator, x, classes, kappa)
        elif exact:
            matrix = jacobian(estimator, x, classes, _flat)[1]
            values = torch.linalg.matrix_norm(matrix, ord="fro" if norm == "fro" else 2)
        else:
            vectors = torch.as_tensor(probe(len(x) * n_vectors), dtype=x.dtype, device=x.device)
            vectors = vectors.view(len(x), n_vectors, n_features)
            outputs, leaf = differentiable(estimator, x, classes, _flat)
            if norm == "fro":
                values = frobenius_estimate(outputs, leaf, vectors.transpose(0, 1))
            else:
                values = spectral_estimate(outputs, leaf, vectors[:, 0], n_draws)
        result[part] = values.detach().cpu().numpy()
    return result


def _flat(attribution: Tensor) -> Tensor:
    return attribution.flatten(start_dim=1)


def _finite_difference(estimator: ExplainableClassifier, x: Tensor, target: Tensor, kappa: float) -> Tensor:
    def attribution(point: Tensor) -> Tensor:
        with torch.enable_grad():
            return _flat(estimator.explainer_(estimator.module_, point.detach().requires_grad_(), target).detach())

    here = attribution(x)
    direction = here.sign()
    direction = direction / direction.norm(dim=1, keepdim=True).clamp_min(1)  # at least 1 unless all are zero
    return (attribution(x + kappa * direction.view_as(x)) - here).norm(dim=1) / kappa
