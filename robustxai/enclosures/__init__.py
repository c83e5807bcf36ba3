"""Sets that hold everything a network, its gradient and an attribution can be while the input moves in a ball."""

from robustxai.enclosures._activations import Activation, Softplus, Tanh
from robustxai.enclosures._attribution import check_explainer, enclose
from robustxai.enclosures._curvature import Curvature, Directions
from robustxai.enclosures._enclosure import METHODS
from robustxai.enclosures._forms import Ball
from robustxai.enclosures._network import Network, check_reading, read_network
from robustxai.enclosures._pairs import MAX_CHANNELS, Pairs, pair_bounds

__all__ = [
    "MAX_CHANNELS",
    "METHODS",
    "Activation",
    "Ball",
    "Curvature",
    "Directions",
    "Network",
    "Pairs",
    "Softplus",
    "Tanh",
    "check_explainer",
    "check_reading",
    "enclose",
    "pair_bounds",
    "read_network",
]
