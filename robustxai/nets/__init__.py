"""Plain ``torch.nn.Module`` networks: tensor in, logits out."""

from robustxai.nets._activation import ACTIVATIONS, has_piecewise_linear, make_activation, set_beta, softplus_surrogate
from robustxai.nets._mlp import MLP

__all__ = ["ACTIVATIONS", "MLP", "has_piecewise_linear", "make_activation", "set_beta", "softplus_surrogate"]
