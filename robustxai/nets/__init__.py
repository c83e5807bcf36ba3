"""Networks: plain ``torch.nn.Module`` classes that map a tensor to logits."""

from robustxai.nets._additive import AdditiveNet
from robustxai.nets._auto import AUTO_NETS as AUTO_NETS
from robustxai.nets._auto import NETS as NETS
from robustxai.nets._auto import choose_net
from robustxai.nets._conv import ConvNet
from robustxai.nets._graph import GraphNet
from robustxai.nets._mlp import MLP, DenseLayers
from robustxai.nets._recorded import arguments_of as arguments_of
from robustxai.nets._resnet9 import ResNet9
from robustxai.nets._shaped import accepted_arguments as accepted_arguments
from robustxai.nets._shaped import check_inputs as check_inputs
from robustxai.nets._shaped import check_shape as check_shape
from robustxai.nets._siamese import Siamese

# "as" marks names for other folders of the library, which are not part of the public interface
__all__ = [
    "MLP",
    "AdditiveNet",
    "ConvNet",
    "DenseLayers",
    "GraphNet",
    "ResNet9",
    "Siamese",
    "choose_net",
]
