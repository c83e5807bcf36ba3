"""The interval certificate as ONNX."""

from __future__ import annotations

import numpy as np

from robustxai.exporting._explanation import Plan, points
from robustxai.exporting._graph import Graph
from robustxai.exporting._layers import Chain, Linear
from robustxai.protocols import Ranking

__all__ = ["check_radius", "radius"]

#: A pair counts as proven when its bound exceeds this share of the largest score, as in the library's certificates.
_SLACK = 1e-6
#: Steps of the bisection; each halves what is not known.
_N_STEPS = 12


def check_radius(chain: Chain, plan: Plan, n_classes: int) -> None:
    """Raise NotImplementedError unless the interval certificate knows the network and the explainer."""
    if n_classes != 2:
        raise NotImplementedError(
            f"The radius in a graph is for two classes, and this model has {n_classes}. Leave out k; "
            "certify_top_k and certified_radius prove more."
        )
    if not all(isinstance(layer, Linear) for layer in (chain.layers[0], chain.layers[-1])):
        raise NotImplementedError("The radius is for networks that begin and end with a linear layer. Leave out k.")
    for layer in chain.layers:
        if not isinstance(layer, Linear) and layer.slope_range is None:
            raise NotImplementedError(f"No bounds of {layer.name} are known. Leave out k for a graph without a radius.")
    if plan.output == "logit":
        raise NotImplementedError(
            "The radius is not for explanations of logits. Use output='log_odds', or leave out k."
        )
    if plan.baseline is not None and plan.output != "log_odds":
        raise NotImplementedError(
            f"The radius of contributions is for those of log-odds, which {plan.output!r} is not. Use "
            "output='log_odds', or leave out k."
        )


def radius(
    graph: Graph, chain: Chain, plan: Plan, x: str, target: str, k: int, epsilon: float, norm: float, ranking: Ranking
) -> str:
    r"""Return the largest radius found within which the top-k set of each row provably stays, (n,).

    With two classes the gradient of a probability, of log-odds or of a cross-entropy is a multiple of the gradient D of
    :math:`z_2 - z_1`, so that the ranks are those of D. Interval arithmetic bounds the slopes of the units over the
    ball, and with them D; a contribution is the product of two intervals. Larger radii have wider bounds, so that a
    bisection finds the largest one that is proven.
    """
    second = graph.op("Gather", target, graph.constant([1], np.int64), axis=1)
    sign = graph.sub(graph.scaled(second, 2.0), graph.constant(1.0))  # D explains the second class
    if plan.output == "cross_entropy":
        sign = graph.op("Neg", sign)
    zero = graph.mul(sign, graph.constant(0.0))
    center, _ = _scores(graph, _entries(graph, chain, plan, x, zero, norm), sign, ranking)
    kth = graph.kth_largest(center, k)
    top = graph.op("GreaterOrEqual", center, kth)
    size = graph.op("ReduceSum", graph.number(top), graph.constant([-1], np.int64))
    alone = graph.op("Less", size, graph.constant(k + 0.5))  # no tie at the border
    needed = graph.scaled(graph.largest(graph.op("Abs", center)), _SLACK)

    def proven(at: str) -> str:
        low, high = _scores(graph, _entries(graph, chain, plan, x, at, norm), sign, ranking)
        inside = graph.smallest(graph.op("Where", top, low, graph.constant(np.inf)))
        outside = graph.largest(graph.op("Where", top, graph.constant(-np.inf), high))
        return graph.op("And", alone, graph.op("Greater", graph.sub(inside, outside), needed))

    found, open_end = zero, graph.add(zero, graph.constant(epsilon))
    whole = proven(open_end)
    for _ in range(_N_STEPS):
        middle = graph.scaled(graph.add(found, open_end), 0.5)
        holds = proven(middle)
        found, open_end = graph.op("Where", holds, middle, found), graph.op("Where", holds, open_end, middle)
    found = graph.op("Where", whole, graph.constant(epsilon), found)
    return graph.op("Squeeze", found, graph.constant([-1], np.int64))


def _scores(graph: Graph, entries: tuple[str, str], sign: str, ranking: Ranking) -> tuple[str, str]:
    """Return bounds of what is ranked."""
    low, high = entries
    if ranking == "magnitude":
        negative = graph.op("Neg", high), graph.op("Neg", low)
        return graph.op("Max", low, negative[0], graph.constant(0.0)), graph.op("Max", high, negative[1])
    ends = graph.mul(sign, low), graph.mul(sign, high)
    return graph.op("Min", *ends), graph.op("Max", *ends)


def _entries(graph: Graph, chain: Chain, plan: Plan, x: str, at: str, norm: float) -> tuple[str, str]:
    """Return bounds of the entries of the attribution of log-odds of the second class, over balls of radius `at`."""
    gradient = _gradients(graph, chain, plan, x, at, norm)
    if plan.baseline is not None:
        distance = graph.sub(x, graph.constant(plan.baseline))
        gradient = graph.interval_product(gradient, (graph.sub(distance, at), graph.add(distance, at)))
    else:
        nothing = graph.mul(x, graph.constant(0.0))  # one line for every row, of a linear model too
        gradient = graph.add(gradient[0], nothing), graph.add(gradient[1], nothing)
    return gradient if plan.weights is None else graph.interval_apply(gradient, plan.weights.T)


def _gradients(graph: Graph, chain: Chain, plan: Plan, x: str, at: str, norm: float) -> tuple[str, str]:
    """Return bounds of the gradient of log-odds, of its mean over the points of the plan."""
    first = chain.layers[0]
    assert isinstance(first, Linear)
    lengths = np.linalg.norm(first.weight, ord=2 if norm == 2 else 1, axis=1)
    reach = at if _is_one(plan) else graph.mul(graph.constant(plan.shares[:, None, None]), at)
    center = graph.add(graph.apply(points(graph, plan, x), first.weight), graph.constant(first.bias))
    width = graph.mul(reach, graph.constant(lengths))
    value = graph.sub(center, width), graph.add(center, width)
    ranges: list[tuple[str, str]] = []
    for layer in chain.layers[1:-1]:
        if isinstance(layer, Linear):
            value = graph.interval_apply(value, layer.weight)
            value = graph.add(value[0], graph.constant(layer.bias)), graph.add(value[1], graph.constant(layer.bias))
        else:
            assert layer.slope_range is not None
            ends = [layer.value_and_slope(graph, end) for end in value]
            ranges.append(layer.slope_range(graph, value, (ends[0][1], ends[1][1])))
            value = ends[0][0], ends[1][0]
    last = chain.layers[-1]
    assert isinstance(last, Linear)
    seed = graph.constant(last.weight[1] - last.weight[0])
    gradient = seed, seed
    for layer in reversed(chain.layers[:-1]):
        if isinstance(layer, Linear):
            gradient = graph.interval_apply(gradient, layer.weight.T)
        else:
            gradient = graph.interval_product(gradient, ranges.pop())
    if chain.skip is not None:
        skip = graph.constant(chain.skip[1] - chain.skip[0])
        gradient = graph.add(gradient[0], skip), graph.add(gradient[1], skip)
    if not _is_one(plan) and any(not isinstance(layer, Linear) for layer in chain.layers):
        gradient = graph.mean(gradient[0], 0), graph.mean(gradient[1], 0)
    return gradient


def _is_one(plan: Plan) -> bool:
    return bool(plan.shares.tolist() == [1.0])
