"""Networks: plain ``torch.nn.Module`` classes that map a tensor to logits."""

from robustxai.nets._auto import AUTO_NETS, NETS, choose_net
from robustxai.nets._conv import ConvNet
from robustxai.nets._graph import GraphNet
from robustxai.nets._mlp import MLP, DenseLayers
from robustxai.nets._resnet9 import ResNet9
from robustxai.nets._shaped import accepted_arguments, check_inputs, check_shape
from robustxai.nets._siamese import Siamese

__all__ = [
    "AUTO_NETS",
    "MLP",
    "NETS",
    "ConvNet",
    "DenseLayers",
    "GraphNet",
    "ResNet9",
    "Siamese",
    "accepted_arguments",
    "check_inputs",
    "check_shape",
    "choose_net",
]
