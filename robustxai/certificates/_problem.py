"""Input of a certificate of top-k sets: the network, its explanation at x, and a proof for pairs of units."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robustxai._arguments import Choice
from robustxai._doubts import spread_of, warn_of_ball, warn_of_mismatch
from robustxai._frames import column_names, in_numbers
from robustxai._models import GRADIENTS, named_rows, transformed, unwrap
from robustxai.bounds import (
    MAX_CHANNELS,
    METHODS,
    Ball,
    CurvatureBounds,
    Network,
    RankPairs,
    bound_attribution,
    check_explainer,
    check_reading,
    proven_overlap,
    read_network,
)
from robustxai.explainers import Gradient
from robustxai.perturbation import ThreatModel
from robustxai.protocols import BoundMethod, Estimator, Ranking
from robustxai.ranking import clip_k, count_units, top_k_mask, unit_scores

__all__ = ["LEAST", "METHOD", "SLACK", "Problem"]

#: Constraint of an argument `method`.
METHOD = Choice(("best", *METHODS, "curvature"))

#: Advice for fitted classifiers that do not explain themselves.
SMOOTHED_WAY = (
    "certify_smoothed_top_k(explain, X) certifies any model by a function explain(points) that returns attributions."
)
#: A pair counts as proven when its bound exceeds this share of the largest attribution. The rounding of float64, in the
#: proof and in `explain`, is far below it; that of a float32 evaluation of the same explanation is below it too.
SLACK = 1e-6
#: The bound must also exceed this number, below which float64 loses digits: means of probability gradients get there
#: for rows of log-odds beyond 600.
LEAST = 1e-280
#: Entries of the largest array of a part of the rows (256 MB in float64).
_MAX_ENTRIES = 2**25
#: Cheapest method first: each method sees the pairs that are still unproven.
_UNION: tuple[BoundMethod, ...] = ("affine", "zonotope", "curvature")


class Problem:
    """Checked arguments, the network in float64, and the scores that are ranked at x.

    Parameters
    ----------
    estimator, X, k, ranking, method
        As in :func:`robustxai.certificates.certify_top_k`.
    threat : ThreatModel
        Its norm, scale and frozen features. The box is not used: the ball without it contains the ball with it.
    """

    def __init__(
        self, estimator: Estimator, X: Any, k: int, threat: ThreatModel, ranking: Ranking, method: BoundMethod
    ) -> None:
        needs = ("explain", "encode_target", *GRADIENTS)
        model, before = unwrap(estimator, needs=needs, what="The certificate", way=SMOOTHED_WAY)
        by_name = threat.scale is not None or threat.frozen is not None
        names = column_names(named_rows(X, before)) if by_name else None
        X = transformed(X, before)
        self.threat = threat
        self.ranking = ranking
        with in_numbers(X):
            inputs = np.asarray(X, dtype=np.float64)
        self.explanation = torch.from_numpy(np.array(model.explain(X), dtype=np.float64))
        self.x = torch.from_numpy(np.array(inputs.reshape(len(inputs), -1)))
        self.shape = inputs.shape[1:]
        self.n_units = count_units(self.explanation.shape[1:])
        self.channels = self.explanation[0].numel() // self.n_units
        self.k = clip_k(k, self.n_units)
        self.module = model.module_
        self.network: Network = read_network(self.module, self.shape)
        self.explainer = check_explainer(model.explainer_, len(self.network.logits.bias))
        self.methods = self._methods(method)
        self.target = model.encode_target(X).cpu()
        self.names = column_names(X) if names is None else names
        self.scale = torch.from_numpy(threat.units(inputs, names).reshape(-1).copy())
        self.spread = spread_of(model, inputs)
        warn_of_mismatch(model, "The certificate", k=self.k, ranking=ranking)

    def check_reading(self, radius: float) -> None:
        """Raise unless the network that was read computes the module's output, within `radius` of the rows."""
        check_reading(self.network, self.module, self.x.reshape(-1, *self.shape), radius, self.scale)

    def _methods(self, method: BoundMethod) -> tuple[BoundMethod, ...]:
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

    def warn_of_ball(self) -> None:
        """Warn where the ball is tiny or huge beside the data."""
        unit = self.scale.reshape(self.shape).numpy()
        threat = self.threat
        warn_of_ball("epsilon", threat.epsilon, self.spread, norm=threat.norm, unit=unit, names=self.names)

    def parts(self) -> Iterator[Tensor]:
        """Return row numbers, a bounded number at a time."""
        return iter(torch.arange(len(self.x)).split(max(1, _MAX_ENTRIES // self.n_entries)))

    @property
    def n_entries(self) -> int:
        """Number of entries of the largest array of a proof, for each row."""
        n = self.x.shape[1]
        units = sum(len(layer.inputs.bias) for layer in self.network.layers)
        patterns = 2 ** min(self.channels, MAX_CHANNELS) if self.ranking == "magnitude" else 1
        pairs = patterns * self.k * (self.n_units - self.k)
        widest = max([n, *(len(layer.inputs.bias) for layer in self.network.layers)])
        symbols = 4 * units if "zonotope" in self.methods else 0
        # a pair takes one bound, and about 20 per class for its curvature
        return max(widest * (n + symbols), pairs * 20 * len(self.network.logits.bias))

    def prove(
        self, rows: Tensor, radius: Tensor, *, whole: bool = False, methods: Sequence[BoundMethod] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Prove pairs of these rows within `radius`, shape (rows, 1); return numbers of kept members and proven pairs.

        With `whole`, the caller needs to know only if all members stay. `methods` are those of the problem by default.
        """
        proven: Tensor | None = None
        for method in self.methods if methods is None else methods:
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
        kept = proven.all(dim=1)  # a pair is proven when each of its sign patterns is, by any method
        return proven_overlap(kept), kept.sum(dim=(1, 2))

    def _pairs(self, rows: Tensor) -> RankPairs:
        attribution = self.explanation[rows]
        inside = top_k_mask(unit_scores(attribution, self.ranking), self.k)
        order = (~inside).to(torch.int8).sort(dim=1, stable=True).indices
        sign = attribution.flatten(1).sign()
        return RankPairs.of(order[:, : self.k], order[:, self.k :], sign, self.ranking, self.channels)

    def _ball(self, radius: Tensor) -> Ball:
        return Ball(radius, self.threat.norm, self.x.shape[1])

    def _proven(self, method: BoundMethod, rows: Tensor, radius: Tensor, pairs: RankPairs) -> Tensor:
        """Prove sign patterns of pairs; True where proven, shape (rows, patterns, k, n - k)."""
        if method == "curvature":
            shape = (len(rows), len(pairs.other_signs), self.k, self.n_units - self.k)
            return self._curved(rows, radius, pairs, torch.zeros(shape, dtype=torch.bool), whole=False)
        with torch.no_grad():
            ball = self._ball(radius)
            terms = bound_attribution(
                self.network, self.explainer, self.x[rows], self.target[rows], self.scale, ball, method
            )
            # terms are known up to a factor: their size at x is the unit of the slack
            sizes = [term.mixing[1] * term.phi.c.abs().amax(dim=1)[:, None, None] for term in terms]
            return pairs.bounds(terms) > self._slack(torch.stack(sizes).sum(dim=0)[:, None])

    def _curved(self, rows: Tensor, radius: Tensor, pairs: RankPairs, proven: Tensor, whole: bool) -> Tensor:
        """Add the pairs that curvature proves to `proven`."""
        where = (~proven).nonzero()
        directions = pairs.directions(where)

        def possible(settled: Tensor, open_: Tensor) -> Tensor:
            """Return the open pairs of rows in which no pair is lost yet."""
            lost = torch.zeros(len(rows), dtype=torch.bool)
            lost[directions.row[~(settled | open_)]] = True
            return open_ & ~lost[directions.row]

        assert isinstance(self.explainer, Gradient)  # `_methods` has seen to it
        with torch.no_grad():
            curvature = CurvatureBounds(
                self.network, self.explainer.output, self.x[rows], self.target[rows], self.scale, self._ball(radius)
            )
            threshold = self._slack(curvature.sizes)[directions.row]
            bounds = curvature.bounds(directions, threshold, possible if whole else None)
        proven = proven.clone()
        proven[tuple(where.T)] = bounds > threshold
        return proven

    def _slack(self, size: Tensor) -> Tensor:
        return (SLACK * self.channels * size).clamp_min(LEAST)
