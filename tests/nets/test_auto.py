import numpy as np
import pytest

from robustxai.nets import MLP, NETS, ConvNet, GraphNet, Siamese, choose_net


@pytest.mark.parametrize(
    ("shape", "cls"),
    [
        ((3, 5), MLP),
        ((3, 5, 5), GraphNet),
        ((3, 1, 8, 8), ConvNet),
        ((3, 2, 8, 8), ConvNet),
        ((3, 2, 1, 8, 8), Siamese),
    ],
)
def test_the_shape_decides(shape, cls):
    assert choose_net(np.ones(shape)) is cls
    assert cls in NETS.values()


@pytest.mark.parametrize("shape", [(3, 5, 6), (3, 4, 4)])
def test_images_without_a_channel_axis_are_no_graphs(shape):
    X = np.arange(np.prod(shape), dtype=float).reshape(shape)
    with pytest.raises(ValueError, match=r"Images need a channel axis: X\[:, None\]"):
        choose_net(X)


@pytest.mark.parametrize("shape", [(3,), (3, 3, 1, 8, 8), (3, 2, 1, 2, 8, 8)])
def test_other_shapes(shape):
    with pytest.raises(ValueError, match=r"no network for X of shape \(3,"):
        choose_net(np.ones(shape))
