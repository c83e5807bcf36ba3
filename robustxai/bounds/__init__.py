"""Bound propagation: sets that contain a network's values, gradients and attributions for all inputs of a ball."""

from robustxai.bounds._apart import are_apart, column_margins
from robustxai.bounds._attribution import BoundedExplainer as BoundedExplainer
from robustxai.bounds._attribution import bound_attribution, check_explainer, margin_bounds
from robustxai.bounds._column_states import ColumnStates, is_sum_of_columns
from robustxai.bounds._curvature import CurvatureBounds
from robustxai.bounds._forms import Ball
from robustxai.bounds._network import Network, check_reading, read_network
from robustxai.bounds._overlap import proven_overlap
from robustxai.bounds._pairs import MAX_CHANNELS, RankPairs, pair_bounds
from robustxai.bounds._propagation import METHODS

__all__ = [
    "MAX_CHANNELS",
    "METHODS",
    "Ball",
    "ColumnStates",
    "CurvatureBounds",
    "Network",
    "RankPairs",
    "are_apart",
    "bound_attribution",
    "check_explainer",
    "check_reading",
    "column_margins",
    "is_sum_of_columns",
    "margin_bounds",
    "pair_bounds",
    "proven_overlap",
    "read_network",
]
