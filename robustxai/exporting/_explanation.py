"""Attributions as ONNX: written-out input gradients of a chain of layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from robustxai.explainers import (
    CenteredGradient,
    ColumnContributions,
    Gradient,
    GradientTimesInput,
    IntegratedGradients,
)
from robustxai.exporting._graph import Graph
from robustxai.exporting._layers import Chain, Linear
from robustxai.protocols import Output

__all__ = ["Plan", "attribution", "logits_of", "plan_of"]


@dataclass(frozen=True, eq=False)
class Plan:
    """An explainer as a weighted sum of gradients at points between a baseline and the input.

    Attributes
    ----------
    output : {"probability", "log_odds", "logit", "cross_entropy"}
        What is differentiated.
    shares : ndarray of shape (m,)
        Places of the points on the way from the baseline to the input; 1 is the input.
    baseline : ndarray of shape (n_features,) or None
        The mean gradient is multiplied by the distance to it; None leaves it as it is.
    weights : ndarray of shape (n_features, n_entries) or None
        Matrix that makes the entries of features.
    names : list of str
        Names of the entries.
    """

    output: Output
    shares: np.ndarray
    baseline: np.ndarray | None
    weights: np.ndarray | None
    names: list[str]


def plan_of(explainer: Any, feature_names: list[str]) -> Plan:
    """Return the plan of an explainer of tables.

    Raises
    ------
    NotImplementedError
        Another explainer, by its name.
    """
    n_features = len(feature_names)
    if isinstance(explainer, (ColumnContributions, CenteredGradient)):
        inside = plan_of(explainer.of_features, feature_names)
        weights = explainer.weights(torch.zeros(n_features, dtype=torch.float64)).numpy()
        names = getattr(explainer, "names", None)
        if names is None:
            columns = weights.shape[1]
            names = feature_names if columns == n_features else [f"column{j}" for j in range(columns)]
        return Plan(inside.output, inside.shares, inside.baseline, weights, list(names))
    one = np.ones(1)
    if type(explainer) is Gradient:
        return Plan(explainer.output, one, None, None, feature_names)
    if type(explainer) is GradientTimesInput:
        return Plan(explainer.output, one, _row(explainer.baseline, n_features), None, feature_names)
    if type(explainer) is IntegratedGradients:
        shares = (np.arange(explainer.n_points) + 0.5) / explainer.n_points
        return Plan(explainer.output, shares, _row(explainer.baseline, n_features), None, feature_names)
    name = getattr(explainer, "__name__", type(explainer).__name__)
    raise NotImplementedError(
        f"export_onnx writes gradients, gradient x input, integrated gradients, column contributions and centered "
        f"gradients; {name} is none of these. Pass another explainer=."
    )


def _row(baseline: Any, n_features: int) -> np.ndarray:
    return np.broadcast_to(np.asarray(baseline, dtype=np.float64), (n_features,))


def points(graph: Graph, plan: Plan, x: str) -> str:
    """Return the points of the gradients, (m, n, n_features), or x itself, (n, n_features)."""
    if plan.shares.tolist() == [1.0]:
        return x
    assert plan.baseline is not None
    shares = graph.constant(plan.shares[:, None, None])
    return graph.add(graph.constant(plan.baseline), graph.mul(shares, graph.sub(x, graph.constant(plan.baseline))))


def logits_of(graph: Graph, chain: Chain, x: str) -> tuple[str, list[str]]:
    """Return the logits, and the slopes of the units from the first to the last."""
    value, slopes = x, []
    for layer in chain.layers:
        if isinstance(layer, Linear):
            value = graph.add(graph.apply(value, layer.weight), graph.constant(layer.bias))
        else:
            value, slope = layer.value_and_slope(graph, value)
            slopes.append(slope)
    if chain.skip is not None:
        value = graph.add(value, graph.apply(x, chain.skip))
    return value, slopes


def attribution(graph: Graph, chain: Chain, plan: Plan, x: str, target: str) -> str:
    """Return the attribution of a class at every row, (n, n_entries).

    Parameters
    ----------
    graph, chain, plan : Graph, Chain, Plan
        What is written to, the network, and the explainer.
    x : str
        Inputs, (n, n_features).
    target : str
        1 for the explained class of every row, 0 for the others, (n, n_classes).
    """
    logits, slopes = logits_of(graph, chain, points(graph, plan, x))
    seed = _of_output(graph, plan.output, logits, target)
    gradient = seed
    for layer in reversed(chain.layers):
        gradient = (
            graph.apply(gradient, layer.weight.T) if isinstance(layer, Linear) else graph.mul(gradient, slopes.pop())
        )
    if chain.skip is not None:
        gradient = graph.add(gradient, graph.apply(seed, chain.skip.T))
    if len(plan.shares) > 1 or plan.shares[0] != 1:
        gradient = graph.mean(gradient, 0)
    if plan.baseline is not None:
        gradient = graph.mul(gradient, graph.sub(x, graph.constant(plan.baseline)))
    return gradient if plan.weights is None else graph.apply(gradient, plan.weights.T)


def _of_output(graph: Graph, output: Output, logits: str, target: str) -> str:
    """Return the derivative of the explained output in the logits, as in :class:`robustxai.explainers.Gradient`."""
    if output == "logit":
        return target
    if output == "log_odds":  # z_c - logsumexp of the others
        hidden = graph.op("Where", graph.op("Greater", target, graph.constant(0.5)), graph.constant(-np.inf), logits)
        return graph.sub(target, graph.op("Softmax", hidden, axis=-1))
    p = graph.op("Softmax", logits, axis=-1)
    if output == "cross_entropy":
        return graph.sub(p, target)
    own = graph.op("ReduceSum", graph.mul(p, target), graph.constant([-1], np.int64))
    return graph.mul(own, graph.sub(target, p))
