"""Activations: one record per activation, with its functions, derivatives and bounds."""

from robustxai.activations._bounds import ActivationBounds
from robustxai.activations._record import Activation
from robustxai.activations._registry import ACTIVATION, ACTIVATIONS, beta_of, find_activation, make_activation
from robustxai.activations._relu import ReLUBounds
from robustxai.activations._softplus import SoftplusBounds
from robustxai.activations._tanh import TanhBounds

__all__ = [
    "ACTIVATION",
    "ACTIVATIONS",
    "Activation",
    "ActivationBounds",
    "ReLUBounds",
    "SoftplusBounds",
    "TanhBounds",
    "beta_of",
    "find_activation",
    "make_activation",
]
