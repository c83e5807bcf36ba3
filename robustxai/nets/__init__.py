"""Plain ``torch.nn.Module`` networks: tensor in, logits out."""

from robustxai.nets._activation import (
    ACTIVATIONS,
    fix_beta,
    has_piecewise_linear,
    is_piecewise_linear,
    make_activation,
    set_beta,
    softplus_surrogate,
)
from robustxai.nets._mlp import MLP
from robustxai.nets._stacked_mlp import StackedMLP

__all__ = [
    "ACTIVATIONS",
    "MLP",
    "StackedMLP",
    "fix_beta",
    "has_piecewise_linear",
    "is_piecewise_linear",
    "make_activation",
    "set_beta",
    "softplus_surrogate",
]
