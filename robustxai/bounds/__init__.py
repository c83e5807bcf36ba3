"""Sets that hold everything a network, its gradient and an attribution can be while the input moves in a ball."""

from robustxai.bounds._attribution import bound_attribution, check_explainer
from robustxai.bounds._curvature import Curvature, Directions
from robustxai.bounds._forms import Ball
from robustxai.bounds._network import Network, check_reading, read_network
from robustxai.bounds._pairs import MAX_CHANNELS, Pairs, pair_bounds
from robustxai.bounds._propagation import METHODS

__all__ = [
    "MAX_CHANNELS",
    "METHODS",
    "Ball",
    "Curvature",
    "Directions",
    "Network",
    "Pairs",
    "bound_attribution",
    "check_explainer",
    "check_reading",
    "pair_bounds",
    "read_network",
]
