from tests.penalties.conftest import image_net, images, net, stack, x
from tests.training.conftest import data, make_net, own_generator

__all__ = ["data", "image_net", "images", "make_net", "net", "own_generator", "stack", "x"]
