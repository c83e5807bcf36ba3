"""Bounds of attributions, for the explainers whose formula is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from robustxai.activations import TanhBounds
from robustxai.bounds._forms import AffineForm, Ball, PathPoints
from robustxai.bounds._network import Network
from robustxai.bounds._propagation import METHODS, Forward, backward, forward, relaxed_slope, relaxed_value
from robustxai.bounds._subspace import basis_axes, subspace_basis
from robustxai.explainers import (
    Gradient,
    GradientTimesInput,
    IntegratedGradients,
    SmoothGrad,
    WeightedFeatures,
)
from robustxai.protocols import BoundMethod, Explainer, Output

__all__ = ["GradientBounds", "bound_attribution", "check_explainer", "heads_of", "margin_bounds", "mixing"]

#: Rows, one for each point of an explainer, that are bounded at once.
_ROWS_AT_ONCE = 512
_SIGMOID = TanhBounds(height=0.5, width=2.0, offset=0.5)


@dataclass(frozen=True)
class GradientBounds:
    """One term of an attribution ``sum_j rho_j phi_j``, which is bounded up to a positive factor.

    Attributes
    ----------
    phi : AffineForm of (rows, features)
        The term.
    errors : list of (Tensor of shape (units, features), Tensor of shape (rows, units))
        If phi has an interval remainder: matrices W and errors e such that its remainder is the sum of
        ``W^T [-e, e]``. The error of a difference of two entries is then ``|W_r - W_a| e``, less than the sum of both
        errors. Empty otherwise.
    mixing : tuple of two Tensors of shape (rows, 1, 1)
        Bounds on rho, which is positive.
    """

    phi: AffineForm
    errors: list[tuple[Tensor, Tensor]]
    mixing: tuple[Tensor, Tensor]


#: The explainers with bounds.
BoundedExplainer: TypeAlias = Gradient | GradientTimesInput | IntegratedGradients | SmoothGrad | WeightedFeatures


def check_explainer(explainer: Explainer, n_classes: int) -> BoundedExplainer:
    """Return the explainer; raise NotImplementedError if it has no bounds."""
    if isinstance(explainer, WeightedFeatures):
        check_explainer(explainer.of_features, n_classes)
        return explainer
    if isinstance(explainer, (Gradient, GradientTimesInput)):
        return explainer
    if not isinstance(explainer, (IntegratedGradients, SmoothGrad)):
        raise NotImplementedError(
            f"Certificates do not support the explainer {explainer!r}; known are Gradient, GradientTimesInput, "
            "IntegratedGradients, SmoothGrad, ColumnContributions and CenteredGradient."
        )
    if explainer.output != "logit" and n_classes > 2:
        # the factors of the classes vary from point to point, so that no positive factor can be divided out
        raise NotImplementedError(
            f"{type(explainer).__name__} of the {explainer.output} of one of {n_classes} classes has no certificate; "
            "explain the logit instead: output='logit'."
        )
    return explainer


def bound_attribution(
    network: Network,
    explainer: BoundedExplainer,
    x: Tensor,
    target: Tensor,
    scale: Tensor | None,
    ball: Ball,
    method: BoundMethod,
    axes: Tensor | None = None,
) -> list[GradientBounds]:
    r"""Bound the attribution of class `target` at ``x + scale * delta`` for all delta in the ball.

    For two classes, or for a logit, there is one term. For the probability of one of C > 2 classes there is one term
    per other class,

    .. math:: \nabla p_c = p_c^2 \sum_{j \ne c} \rho_j \nabla (z_c - z_j), \qquad \rho_j = e^{z_j - z_c},

    and the log-odds and the cross-entropy differ from that by a factor of known sign.

    Parameters
    ----------
    network : Network
        Result of :func:`read_network`.
    explainer : Explainer
        One that `check_explainer` accepts.
    x : Tensor of shape (rows, features)
        Centers.
    target : Tensor of shape (rows,)
        Index of the explained class.
    scale : Tensor of shape (features,) or None
        Lengths of the ball's axes; None for x alone, whose attribution is then exact.
    ball : Ball
        Range of delta.
    method : str
        A key of ``METHODS``.
    axes : Tensor of shape (rows, features, d), optional
        Matrices from delta to the change of x, one for each row, instead of `scale`.
    """
    form, follow = METHODS[method]
    if isinstance(explainer, WeightedFeatures):
        terms = bound_attribution(network, explainer.of_features, x, target, scale, ball, method, axes)
        weights = explainer.weights(x).T
        return [
            GradientBounds(term.phi.linear(weights), [(unit @ weights.T, e) for unit, e in term.errors], term.mixing)
            for term in terms
        ]
    if scale is not None:
        basis = None
        if isinstance(explainer, (Gradient, SmoothGrad)):  # the others depend on x itself too
            basis = subspace_basis(network, scale)
        axes = basis_axes(scale, basis)
        ball = ball.in_basis(basis)
    heads, sign = heads_of(network, explainer.output, target)
    if isinstance(explainer, (Gradient, GradientTimesInput)):
        passed = forward(network, form.exact(ball, x, axes), follow=follow)
        terms = [_term(network, passed, head, sign, mixed=len(heads) > 1) for head in heads]
        if isinstance(explainer, Gradient):
            return terms
        difference = form.exact(ball, x - _baseline(explainer, x), axes)
        return [_times(term, difference) for term in terms]
    (head,) = heads
    centers, shares = _points(explainer, x)
    total: AffineForm | None = None
    at_once = max(1, _ROWS_AT_ONCE // max(len(x), 1))
    for first in range(0, len(shares), at_once):
        # several points of all rows in one pass: starting the operations takes longer than a few rows
        some = shares[first : first + at_once]
        here = torch.cat(centers[first : first + at_once])
        points = PathPoints(form, ball.repeated(len(some)), here, axes, x.new_tensor(some))
        passed = forward(network, points, follow=follow)
        heads_here = head.repeat(len(some), 1)
        if explainer.output in ("probability", "cross_entropy"):
            factor = _factor(_dot(passed.logits, heads_here), explainer.output, follow)
            gradient = factor.times(backward(network, passed, heads_here).gradient).summed(len(some), ball)
        else:
            gradient = backward(network, passed, heads_here, copies=len(some), ball=ball).gradient
        total = gradient if total is None else total.plus(gradient)
    assert total is not None
    mean = GradientBounds(total.scaled(torch.full_like(x, 1 / len(shares))), [], _ones(x))
    if isinstance(explainer, SmoothGrad):
        return [mean]
    return [_times(mean, form.exact(ball, x - _baseline(explainer, x), axes))]


def margin_bounds(
    network: Network, x: Tensor, target: Tensor, ball: Ball, axes: Tensor | None, method: BoundMethod
) -> tuple[Tensor, Tensor]:
    """Bound ``z_c - z_j`` for every other class j, from below and above; shape (rows, n_classes - 1) each.

    Parameters
    ----------
    network : Network
        Result of :func:`read_network`.
    x : Tensor of shape (rows, features)
        Centers.
    target : Tensor of shape (rows,)
        Index of the class c.
    ball : Ball
        Range of delta.
    axes : Tensor of shape (rows, features, d), or None
        Matrices from delta to the change of x.
    method : str
        A key of ``METHODS``.
    """
    form, follow = METHODS[method]
    passed = forward(network, form.exact(ball, x, axes), follow=follow)
    heads, _ = heads_of(network, "log_odds", target)
    bounds = [_dot(passed.logits, head).bounds() for head in heads]
    return torch.cat([low for low, _ in bounds], dim=1), torch.cat([high for _, high in bounds], dim=1)


def heads_of(network: Network, output: Output, target: Tensor) -> tuple[list[Tensor], float]:
    """Return the differentiated outputs as weights (rows, n_classes) on the logits, and the sign of these weights."""
    n_classes = len(network.logits.bias)
    own = torch.nn.functional.one_hot(target, n_classes).to(network.logits.bias)
    if output == "logit":
        return [own], 1.0
    sign = -1.0 if output == "cross_entropy" else 1.0  # the cross-entropy decreases in the probability
    others = [torch.nn.functional.one_hot((target + j) % n_classes, n_classes).to(own) for j in range(1, n_classes)]
    return [sign * (own - other) for other in others], sign


def mixing(passed: Forward, head: Tensor, sign: float, *, mixed: bool) -> tuple[Tensor, Tensor]:
    """Bound the factor of a head's gradient from below and above, shape (rows, 1, 1) each; 1 if there is one head."""
    if not mixed:
        return _ones(head)
    low, high = _dot(passed.logits, sign * head).bounds()
    return torch.exp(-high)[..., None], torch.exp(-low)[..., None]


def _term(network: Network, passed: Forward, head: Tensor, sign: float, *, mixed: bool) -> GradientBounds:
    back = backward(network, passed, head)
    errors = [(weight, p.error()) for weight, p in back.units]
    return GradientBounds(back.gradient, errors, mixing(passed, head, sign, mixed=mixed))


def _dot(logits: AffineForm, head: Tensor) -> AffineForm:
    """Return ``head . logits`` as a form of shape (rows, 1), with one head per row."""
    weighted = logits.scaled(head)
    return weighted.linear(head.new_ones(1, head.shape[1]))


def _factor(margin: AffineForm, output: Output, follow: bool) -> AffineForm:
    """Bound the derivative in the margin m: sigma'(m) for p = sigma(m), sigma(-m) for -log p."""
    relaxed = relaxed_slope if output == "probability" else relaxed_value
    return relaxed(_SIGMOID, margin, *margin.bounds(), follow)


def _times(term: GradientBounds, factor: AffineForm) -> GradientBounds:
    return GradientBounds(term.phi.times(factor), [], term.mixing)


def _points(explainer: IntegratedGradients | SmoothGrad, x: Tensor) -> tuple[list[Tensor], list[float]]:
    """Return the points where the explainer takes gradients, and the share of delta that moves each of them."""
    if isinstance(explainer, SmoothGrad):
        shifts = explainer.sigma * explainer.draws(torch.Size(x.shape[1:])).to(x)
        return [x + shift for shift in shifts], [1.0] * len(shifts)
    shares = [(j + 0.5) / explainer.n_points for j in range(explainer.n_points)]
    baseline = _baseline(explainer, x)
    return [baseline + share * (x - baseline) for share in shares], shares


def _baseline(explainer: GradientTimesInput | IntegratedGradients, x: Tensor) -> Tensor:
    return torch.tensor(explainer.baseline, dtype=x.dtype, device=x.device).reshape(1, -1)


def _ones(x: Tensor) -> tuple[Tensor, Tensor]:
    one = x.new_ones(len(x), 1, 1)
    return one, one
