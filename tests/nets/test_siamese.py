import pytest
import torch
from torch import nn

from robustxai.nets import MLP, ConvNet, GraphNet, ResNet9, Siamese

from .images import images, made

PAIRS = {
    "conv": ((2, 1, 8, 8), ConvNet, {"channels": (3,), "hidden": ()}),
    "resnet9": ((2, 3, 8, 8), ResNet9, {"width": 2}),
    "graph": ((2, 1, 5, 5), GraphNet, {"hidden": (4,)}),
    "mlp": ((2, 6), MLP, {"hidden": (4,), "skip": True}),
}
every_encoder = pytest.mark.parametrize(("name", "shape", "cls", "params"), [(k, *v) for k, v in PAIRS.items()])


@every_encoder
def test_one_encoder_and_a_head_of_both_embeddings(name, shape, cls, params):
    net = made(Siamese, shape, 3, encoder=name, embedding=7, activation="tanh", encoder_params=params)
    assert type(net.encoder) is cls
    assert any(isinstance(m, nn.Tanh) for m in net.encoder.modules())
    assert not any(isinstance(m, nn.Softplus) for m in net.encoder.modules())
    x = images(4, *shape)
    first, second = net.encoder(x[:, 0]), net.encoder(x[:, 1])
    assert first.shape == (4, 7)
    weight, bias = net.head.weight, net.head.bias
    expected = (first - second) ** 2 @ weight[:, :7].T + (first * second) @ weight[:, 7:].T + bias
    torch.testing.assert_close(net(x), expected)


@every_encoder
def test_the_order_of_a_pair_does_not_count(name, shape, cls, params):
    net = made(Siamese, shape, 3, encoder=name, encoder_params=params)
    x = images(4, *shape)
    torch.testing.assert_close(net(x), net(x.flip(1)), rtol=1e-12, atol=1e-12)
    x = x.requires_grad_()
    (gradient,) = torch.autograd.grad(net(x)[:, 0].sum(), x)
    (swapped,) = torch.autograd.grad(net(x.flip(1))[:, 0].sum(), x)
    torch.testing.assert_close(gradient, swapped)
    assert gradient.flatten(1).norm(dim=1).min() > 0


def test_both_members_go_through_in_one_call():
    net, seen = made(Siamese, (2, 6), 2, encoder="mlp"), []
    net.encoder.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].shape))
    net(images(4, 2, 6))
    assert seen == [(8, 6)]


def test_two_derivatives_where_members_are_alike():
    net = made(Siamese, (2, 3), 2, encoder="mlp", embedding=2, encoder_params={"hidden": (3,)})
    x = images(2, 1, 3).expand(2, 2, 3).clone().requires_grad_()
    assert torch.autograd.gradgradcheck(net, x)


class Own(nn.Module):
    """An encoder of the user's own, with a width of its own."""

    def __init__(self, n_features, width=5):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n_features, width), nn.BatchNorm1d(width))

    def forward(self, x):
        return self.layers(x)


def test_a_class_gets_what_it_names():
    net = Siamese((2, 6), 3, encoder=Own)
    assert net.encoder.layers[0].in_features == 6
    assert net.head.in_features == 10
    assert Siamese((2, 6), 3, encoder=Own, encoder_params={"width": 2}).head.in_features == 4
    assert net.encoder.training
    assert net.encoder.layers[1].num_batches_tracked == 0  # nothing has gone through it yet


def test_a_module_is_copied_with_its_weights():
    encoder = Own(6)
    net = Siamese((2, 6), 3, encoder=encoder)
    assert net.encoder is not encoder
    assert torch.equal(net.encoder.layers[0].weight, encoder.layers[0].weight)
    nn.init.zeros_(net.encoder.layers[0].weight)
    assert encoder.layers[0].weight.any()


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((6,), {}, r"np.stack\(\[first, second\], axis=1\)"),
        ((1, 8, 8), {}, "Stack the two inputs"),
        ((3, 1, 8, 8), {}, "Stack the two inputs"),
        ((2, 8, 8), {}, r"X\[:, :, None\]"),
        ((2, 6), {}, r"ConvNet takes images"),
        ((2, 1, 8, 8), {"encoder": "mlp"}, "'mlp' takes pairs of table rows"),
        ((2, 1, 8, 7), {"encoder": "graph"}, "not square"),
        ((2, 1, 8, 8), {"encoder": "cnn"}, "encoder='cnn' is not known"),
        ((2, 1, 8, 8), {"encoder": "resnet9", "encoder_params": {"widht": 3}}, "Did you mean 'width'"),
        ((2, 6), {"encoder": Own(6), "encoder_params": {"width": 3}}, "need an encoder by name or class"),
        ((2, 1, 8, 8), {"embedding": 0}, "embedding must be"),
    ],
)
def test_wrong_arguments_are_named(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        Siamese(arguments, 2, **options)


def test_an_encoder_of_another_kind():
    with pytest.raises(TypeError, match="encoder must be"):
        Siamese((2, 6), 2, encoder=3)


def test_members_are_asked_of_their_encoder():
    net = Siamese((2, 1, 5, 5), 2, encoder="graph")
    x = images(4, 2, 1, 5, 5)
    net.check_inputs((x + x.mT).numpy())
    with pytest.raises(ValueError, match=r"not symmetric \(row 0"):
        net.check_inputs(x.numpy())
