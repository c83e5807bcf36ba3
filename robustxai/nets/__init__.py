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
from robustxai.nets._auto import AUTO_NETS, NETS, choose_net
from robustxai.nets._conv import ConvNet
from robustxai.nets._frozen import channels_last, frozen
from robustxai.nets._graph import GraphNet
from robustxai.nets._held_statistics import held_statistics, layers_of_the_batch
from robustxai.nets._mlp import MLP
from robustxai.nets._mlp_passes import MLPPasses
from robustxai.nets._resnet9 import ResNet9
from robustxai.nets._shaped import accepted_arguments, check_inputs, check_shape
from robustxai.nets._siamese import Siamese
from robustxai.nets._stack_rows import StackRows, of_rows
from robustxai.nets._stacked_mlp import StackedMLP

__all__ = [
    "ACTIVATIONS",
    "AUTO_NETS",
    "MLP",
    "NETS",
    "ConvNet",
    "GraphNet",
    "MLPPasses",
    "ResNet9",
    "Siamese",
    "StackRows",
    "StackedMLP",
    "accepted_arguments",
    "channels_last",
    "check_inputs",
    "check_shape",
    "choose_net",
    "fix_beta",
    "frozen",
    "has_piecewise_linear",
    "held_statistics",
    "is_piecewise_linear",
    "layers_of_the_batch",
    "make_activation",
    "of_rows",
    "set_beta",
    "softplus_surrogate",
]
