"""Proven lower bounds on P@k, for every perturbation in a ball, and the radius up to which nothing can change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from robustxai._validation import check_choice, check_k, check_number, clip_k
from robustxai.certificates._pairs import proven_overlap
from robustxai.enclosures import METHODS, Ball, Network, check_explainer, enclose, pair_bounds, read_network
from robustxai.ranking import RANKINGS, count_units, top_k_mask, unit_scores

__all__ = ["TopKCertificate", "certified_radius", "certify_top_k"]

#: A pair counts as proven when its bound exceeds this share of the largest attribution: float32 explanations, which the
#: statement is about, resolve no less, and float64 rounding in the proof is far below it.
_SLACK = 1e-6
#: Entries of the largest array of a part of the rows (256 MB in float64).
_MAX_ENTRIES = 2**25
_UNIONS = {"best": ("zonotope", "affine")}


@dataclass(frozen=True)
class TopKCertificate:
    """What is proven of the top-k set of each row, for all perturbations in the ball at once.

    Attributes
    ----------
    precision_at_k : ndarray of shape (n_samples,)
        Proven lower bound on P@k.
    n_proven_pairs : ndarray of int of shape (n_samples,)
        Pairs (member, other unit) that keep their order.
    n_pairs : int
        k (n - k).
    epsilon : float
    norm : {2, "inf"}
    method : str
    """

    precision_at_k: np.ndarray
    n_proven_pairs: np.ndarray
    n_pairs: int
    epsilon: float
    norm: Any
    method: str


def certify_top_k(
    estimator: Any,
    X: Any,
    k: int = 8,
    *,
    epsilon: float = 0.25,
    norm: Any = 2,
    ranking: str = "magnitude",
    method: str = "best",
    scale: Any = None,
) -> TopKCertificate:
    r"""Prove how much of each row's top-k set stays, whatever happens in a ball.

    For each pair (r, a) of a member and another unit, interval, affine or zonotope arithmetic through the forward and
    the backward pass gives a lower bound on :math:`\phi_r(x') - \phi_a(x')` over all
    :math:`\|(x' - x) / \text{scale}\|_p \le \epsilon`. If m members were replaced, each of their m^2 pairs with the
    newcomers would have changed order; the largest m that the unproven pairs leave room for bounds P@k from below.

    The statement holds for every x' in the ball, also those that change the prediction or leave the data's range, so
    for every attack with more constraints too. The class that is explained is the one predicted at x.

    Parameters
    ----------
    estimator : fitted classifier
        Its network may have linear layers, convolutions, average pooling, batch normalisation, sums and the activations
        softplus, sigmoid, tanh and ReLU; its explainer may be ``Gradient``, ``GradientTimesInput``,
        ``IntegratedGradients`` or ``SmoothGrad``.
    X : array-like of shape (n_samples, *features)
        Centres of the balls.
    k : int, default=8
        Size of the top set; clipped with a warning when there are not more units than that.
    epsilon : float, default=0.25
        Radius, in units of X (of `scale`).
    norm : {2, "inf"}, default=2
        Of the ball.
    ranking : {"magnitude", "signed"}, default="magnitude"
        What is ranked.
    method : {"best", "zonotope", "affine", "interval"}, default="best"
        "zonotope" follows every error to the end; "affine" puts them into boxes, faster and looser; "interval" forgets
        how quantities depend on the input, and is there for comparison. "best" counts a pair that either of the first
        two proves.
    scale : array-like of shape features, optional
        Length of the ball's axes; 0 freezes a feature. 1 by default.

    Returns
    -------
    TopKCertificate

    Raises
    ------
    NotImplementedError
        A layer, operation or explainer of which nothing is known, by name.

    Notes
    -----
    Computed in float64, with a slack of 1e-6 of the largest attribution for the rounding of float32 explanations;
    rounding is not directed. ReLU networks are covered soundly, but only as long as few units can switch.

    References
    ----------
    Wicker et al., *Robust explanation constraints for neural networks*, 2023 (the interval form).

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from robustxai import SoftplusClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = SoftplusClassifier(beta=0.5, max_epochs=30).fit(X, y)
    >>> certificate = certify_top_k(clf, X[:20], k=2, epsilon=0.01)
    >>> bool((certificate.precision_at_k >= 0.5).all())
    True
    """
    check_number("epsilon", epsilon, minimum=0.0)
    problem = _Problem(estimator, X, k, norm, ranking, method, scale)
    parts = [problem.prove(rows, torch.full((len(rows), 1), float(epsilon)).double()) for rows in problem.parts()]
    kept, proven = (torch.cat(values).numpy() for values in zip(*parts))
    return TopKCertificate(
        kept / problem.k, proven, problem.k * (problem.n_units - problem.k), float(epsilon), problem.norm, method
    )


def certified_radius(
    estimator: Any,
    X: Any,
    k: int = 8,
    *,
    norm: Any = 2,
    ranking: str = "magnitude",
    method: str = "best",
    scale: Any = None,
    max_epsilon: float = 10.0,
    n_iter: int = 16,
) -> np.ndarray:
    """The largest radius found within which the top-k set of a row provably never changes.

    Bisection on the radius, of all rows at once; every step is a proof in itself, so that stopping early gives a
    smaller radius and never a wrong one.

    Parameters
    ----------
    estimator, X, k, norm, ranking, method, scale
        As in :func:`certify_top_k`.
    max_epsilon : float, default=10.0
        Where the search begins; a linear model is certified up to here.
    n_iter : int, default=16
        Steps. The first ones quarter the radius until something is proven.

    Returns
    -------
    ndarray of shape (n_samples,)
        0 where nothing could be proven.
    """
    check_number("max_epsilon", max_epsilon, minimum=0.0, inclusive=False)
    check_number("n_iter", n_iter, minimum=1, integer=True)
    problem = _Problem(estimator, X, k, norm, ranking, method, scale)
    return torch.cat([_bisect(problem.prove, rows, problem.k, max_epsilon, n_iter) for rows in problem.parts()]).numpy()


def _bisect(
    prove: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], rows: Tensor, k: int, max_epsilon: float, n_iter: int
) -> Tensor:
    good = torch.zeros(len(rows), 1, dtype=torch.float64)
    bad = torch.full_like(good, float("inf"))
    radius = torch.full_like(good, max_epsilon)
    for _ in range(n_iter):
        kept, _ = prove(rows, radius)
        stays = (kept == k)[:, None]
        good, bad = torch.where(stays, radius, good), torch.where(stays, bad, radius)
        if bool((good == max_epsilon).all()):
            break
        # by powers of four until there is something to bisect: radii differ by orders of magnitude from row to row
        radius = torch.where(good > 0, (good + bad.clamp_max(max_epsilon)) / 2, bad / 4)
        radius = radius.clamp_max(max_epsilon)
    return good.squeeze(1)


class _Problem:
    """Checked arguments, the network in float64, and what is ranked at x."""

    def __init__(self, estimator: Any, X: Any, k: int, norm: Any, ranking: str, method: str, scale: Any) -> None:
        check_is_fitted(estimator)
        check_k(k)
        check_choice("ranking", ranking, RANKINGS)
        check_choice("method", method, (*_UNIONS, *METHODS))
        if str(norm) not in ("2", "inf"):
            raise ValueError(f"norm={norm!r} is not supported; use 2 or 'inf'.")
        self.norm = norm
        self.ranking = ranking
        self.methods = _UNIONS.get(method, (method,))
        inputs = np.asarray(X, dtype=np.float32)
        self.explanation = torch.from_numpy(np.array(estimator.explain(X), dtype=np.float64))
        self.shape = inputs.shape[1:]
        self.n_units = count_units(self.shape)
        self.k = clip_k(k, self.n_units)
        if len(self.shape) >= 3 and self.shape[0] > 1:
            raise NotImplementedError("Certificates rank single-channel images only: channels are not summed yet.")
        self.explainer = estimator.explainer_
        self.network: Network = read_network(estimator.module_, self.shape)
        check_explainer(self.explainer, len(self.network.logits.bias))
        self.x = torch.from_numpy(inputs.reshape(len(inputs), -1).astype(np.float64))
        self.target = estimator.encode_target(X).cpu()
        self.scale = _axes(scale, self.shape)

    def parts(self) -> Iterator[Tensor]:
        """Row numbers, a bounded number at a time."""
        n = self.x.shape[1]
        units = sum(len(layer.inputs.bias) for layer in self.network.layers)
        widest = max([n, *(len(layer.inputs.bias) for layer in self.network.layers)])
        symbols = 4 * units if "zonotope" in self.methods else 0
        return iter(torch.arange(len(self.x)).split(max(1, _MAX_ENTRIES // (widest * (n + symbols)))))

    def prove(self, rows: Tensor, radius: Tensor) -> tuple[Tensor, Tensor]:
        """How many members must stay, and how many pairs are proven, of these rows within radius (rows, 1)."""
        explanation = self.explanation[rows]
        scores = unit_scores(explanation, self.ranking)
        inside = top_k_mask(scores, self.k)
        order = (~inside).to(torch.int8).sort(dim=1, stable=True).indices
        top, rest = order[:, : self.k], order[:, self.k :]
        ball = Ball(radius, "2" if str(self.norm) == "2" else "inf", self.x.shape[1])
        proven = torch.zeros(len(rows), self.k, self.n_units - self.k, dtype=torch.bool)
        for method in self.methods:
            with torch.no_grad():
                terms = enclose(self.network, self.explainer, self.x[rows], self.target[rows], self.scale, ball, method)
                bounds = pair_bounds(terms, top, rest, explanation.flatten(1).sign(), self.ranking)
                # terms are known up to a factor: what they resolve is measured by what they say at x
                sizes = [term.mixing[1] * term.phi.c.abs().amax(dim=1)[:, None, None] for term in terms]
            proven |= bounds > _SLACK * torch.stack(sizes).sum(dim=0)
        return proven_overlap(proven), proven.sum(dim=(1, 2))


def _axes(scale: Any, shape: tuple[int, ...]) -> Tensor:
    axes = np.ones(shape) if scale is None else np.broadcast_to(np.asarray(scale, dtype=np.float64), shape)
    if not np.isfinite(axes).all() or (axes < 0).any():
        raise ValueError("scale must be finite and not negative.")
    return torch.from_numpy(axes.reshape(-1).copy())
