"""What a certificate of top-k sets is asked: the network, what it explains at x, and which pairs can be proven."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robustxai._arguments import Choice, Either, Instance, Nothing, Numbers
from robustxai._columns import by_feature
from robustxai._doubts import spread_of, warn_of_ball, warn_of_mismatch
from robustxai._frames import column_names, in_numbers
from robustxai._models import GRADIENTS, named_rows, transformed, unwrap
from robustxai.bounds import (
    MAX_CHANNELS,
    METHODS,
    Ball,
    Curvature,
    Network,
    Pairs,
    bound_attribution,
    check_explainer,
    check_reading,
    read_network,
)
from robustxai.certificates._pairs import proven_overlap
from robustxai.explainers import Gradient
from robustxai.protocols import Ranking
from robustxai.ranking import clip_k, count_units, top_k_mask, unit_scores

__all__ = ["METHOD", "SCALE", "Problem"]

#: What may be given for `method`.
METHOD = Choice(("best", *METHODS, "curvature"))
#: What may be given for `scale`.
SCALE = Either((Numbers(), Instance(Mapping), Nothing()), words="an array of the lengths of axes, a dict, or None")

#: What is said of fitted classifiers that do not explain themselves.
SMOOTHED_WAY = (
    "certify_smoothed_top_k(explain, X) certifies any model by a function explain(points) that returns attributions."
)
#: A pair counts as proven when its bound exceeds this share of the largest attribution: the rounding of float64, in the
#: proof and in `explain`, is far below it, and that of a float32 evaluation of the same explanation below it too.
_SLACK = 1e-6
#: And when it exceeds this number, below which float64 loses digits: means of probability gradients get there for rows
#: of log-odds beyond 600.
_LEAST = 1e-280
#: Entries of the largest array of a part of the rows (256 MB in float64).
_MAX_ENTRIES = 2**25
#: Cheapest first: what one has proven is no work for the next.
_UNION = ("affine", "zonotope", "curvature")


class Problem:
    """Checked arguments, the network in float64, and what is ranked at x."""

    def __init__(self, estimator: Any, X: Any, k: int, norm: Any, ranking: Ranking, method: str, scale: Any) -> None:
        needs = ("explain", "encode_target", *GRADIENTS)
        estimator, before = unwrap(estimator, needs=needs, what="The certificate", way=SMOOTHED_WAY)
        names = column_names(named_rows(X, before)) if isinstance(scale, Mapping) else None
        X = transformed(X, before)
        self.norm = norm
        self.ranking = ranking
        with in_numbers(X):
            inputs = np.asarray(X, dtype=np.float64)
        self.explanation = torch.from_numpy(np.array(estimator.explain(X), dtype=np.float64))
        self.x = torch.from_numpy(np.array(inputs.reshape(len(inputs), -1)))
        self.shape = inputs.shape[1:]
        self.n_units = count_units(self.shape)
        self.channels = self.x.shape[1] // self.n_units
        self.k = clip_k(k, self.n_units)
        self.explainer = estimator.explainer_
        self.module = estimator.module_
        self.network: Network = read_network(self.module, self.shape)
        check_explainer(self.explainer, len(self.network.logits.bias))
        self.methods = self._methods(method)
        self.target = estimator.encode_target(X).cpu()
        self.names = column_names(X) if names is None else names
        self.scale = _axes(scale, inputs, names)
        self.spread = spread_of(estimator, inputs)
        warn_of_mismatch(estimator, "The certificate", k=self.k, ranking=ranking)

    def check_reading(self, radius: float) -> None:
        """Raise unless the network that was read computes what the module does, within `radius` of the rows."""
        check_reading(self.network, self.module, self.x.reshape(-1, *self.shape), radius, self.scale)

    def _methods(self, method: str) -> tuple[str, ...]:
        obstacle = ""
        if not isinstance(self.explainer, Gradient):
            obstacle = f"bounds the change of a gradient, not of {type(self.explainer).__name__}"
        elif self.channels > MAX_CHANNELS and self.ranking == "magnitude":
            obstacle = f"compares magnitudes of up to {MAX_CHANNELS} channels, not of {self.channels}"
        if method == "best":
            return _UNION[:-1] if obstacle else _UNION
        if method == "curvature" and obstacle:
            raise NotImplementedError(f"method='curvature' {obstacle}; use 'best', 'zonotope' or 'affine'.")
        return (method,)

    def warn_of_ball(self, epsilon: float) -> None:
        """Warn where a ball of that radius is tiny or huge beside the data."""
        unit = self.scale.reshape(self.shape).numpy()
        warn_of_ball("epsilon", epsilon, self.spread, norm=self.norm, unit=unit, names=self.names, cure="scale")

    def parts(self) -> Iterator[Tensor]:
        """Row numbers, a bounded number at a time."""
        n = self.x.shape[1]
        units = sum(len(layer.inputs.bias) for layer in self.network.layers)
        patterns = 2 ** min(self.channels, MAX_CHANNELS) if self.ranking == "magnitude" else 1
        pairs = patterns * self.k * (self.n_units - self.k)
        widest = max([n, *(len(layer.inputs.bias) for layer in self.network.layers)])
        symbols = 4 * units if "zonotope" in self.methods else 0
        # a pair takes a bound, and of its curvature some 20 for every class
        entries = max(widest * (n + symbols), pairs * 20 * len(self.network.logits.bias))
        return iter(torch.arange(len(self.x)).split(max(1, _MAX_ENTRIES // entries)))

    def prove(self, rows: Tensor, radius: Tensor, *, whole: bool = False) -> tuple[Tensor, Tensor]:
        """How many members must stay, and how many pairs are proven, of these rows within radius (rows, 1).

        With `whole` it is enough to know whether all members stay.
        """
        proven: Tensor | None = None
        for method in self.methods:
            if proven is None:
                proven = self._proven(method, rows, radius, self._pairs(rows))
                continue
            left = (~proven).flatten(1).any(dim=1).nonzero().squeeze(1)
            if not len(left):
                break
            some = rows[left]
            if method == "curvature":
                proven[left] = self._curved(some, radius[left], self._pairs(some), proven[left], whole)
            else:
                proven[left] |= self._proven(method, some, radius[left], self._pairs(some))
        assert proven is not None
        kept = proven.all(dim=1)  # a pair, by whatever method each of its patterns of signs was
        return proven_overlap(kept), kept.sum(dim=(1, 2))

    def _pairs(self, rows: Tensor) -> Pairs:
        attribution = self.explanation[rows]
        inside = top_k_mask(unit_scores(attribution, self.ranking), self.k)
        order = (~inside).to(torch.int8).sort(dim=1, stable=True).indices
        sign = attribution.flatten(1).sign()
        return Pairs.of(order[:, : self.k], order[:, self.k :], sign, self.ranking, self.channels)

    def _ball(self, radius: Tensor) -> Ball:
        return Ball(radius, self.norm, self.x.shape[1])

    def _proven(self, method: str, rows: Tensor, radius: Tensor, pairs: Pairs) -> Tensor:
        """Which patterns of which pairs are proven, (rows, patterns, k, n - k)."""
        if method == "curvature":
            shape = (len(rows), len(pairs.other_signs), self.k, self.n_units - self.k)
            return self._curved(rows, radius, pairs, torch.zeros(shape, dtype=torch.bool), whole=False)
        with torch.no_grad():
            ball = self._ball(radius)
            terms = bound_attribution(
                self.network, self.explainer, self.x[rows], self.target[rows], self.scale, ball, method
            )
            # terms are known up to a factor: what they resolve is measured by what they say at x
            sizes = [term.mixing[1] * term.phi.c.abs().amax(dim=1)[:, None, None] for term in terms]
            return pairs.bounds(terms) > self._slack(torch.stack(sizes).sum(dim=0)[:, None])

    def _curved(self, rows: Tensor, radius: Tensor, pairs: Pairs, proven: Tensor, whole: bool) -> Tensor:
        """`proven`, and what curvature adds to it."""
        where = (~proven).nonzero()
        directions = pairs.directions(where)

        def possible(settled: Tensor, open_: Tensor) -> Tensor:
            """The open ones of those rows where nothing is lost yet."""
            lost = torch.zeros(len(rows), dtype=torch.bool)
            lost[directions.row[~(settled | open_)]] = True
            return open_ & ~lost[directions.row]

        with torch.no_grad():
            curvature = Curvature(
                self.network, self.explainer.output, self.x[rows], self.target[rows], self.scale, self._ball(radius)
            )
            threshold = self._slack(curvature.sizes)[directions.row]
            bounds = curvature.bounds(directions, threshold, possible if whole else None)
        proven = proven.clone()
        proven[tuple(where.T)] = bounds > threshold
        return proven

    def _slack(self, size: Tensor) -> Tensor:
        return (_SLACK * self.channels * size).clamp_min(_LEAST)


def _axes(scale: Any, X: np.ndarray, names: Any) -> Tensor:
    """The length of the ball's axes, shape (n,)."""
    shape = X.shape[1:]
    if isinstance(scale, Mapping):
        scale = by_feature(scale, 1.0, names, math.prod(shape), X, what="scale").reshape(shape)
    axes = np.ones(shape) if scale is None else np.asarray(scale, dtype=np.float64)
    try:
        if axes.shape == (1,) and shape != (1,):  # a list of one is no number
            raise ValueError
        axes = np.broadcast_to(axes, shape)
    except ValueError:
        raise ValueError(f"scale has shape {axes.shape}, which does not fit inputs of shape {shape}.") from None
    if not np.isfinite(axes).all() or (axes < 0).any():
        raise ValueError("scale must be finite and not negative.")
    return torch.from_numpy(axes.reshape(-1).copy())
