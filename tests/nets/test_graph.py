import sys

import numpy as np
import pytest
import torch

from robustxai.nets import GraphNet

from .images import images, made


def graphs(n=3, n_nodes=5):
    weights = images(n, n_nodes, n_nodes)
    return (weights + weights.mT) / 2


def by_loops(net, matrix, features):
    """Logits of one graph, node by node."""
    n = len(matrix)
    s = [[(matrix[i][j] + matrix[j][i]) / 2 for j in range(n)] for i in range(n)]
    degree = [sum((s[i][j] ** 2 + net.smoothing**2) ** 0.5 for j in range(n)) for i in range(n)]
    h = np.array(s) if features == "profile" else np.eye(n)
    for convolution in net.convolutions:
        rel, root, bias = (
            p.detach().numpy()
            for p in (convolution.lin_rel.weight, convolution.lin_root.weight, convolution.lin_rel.bias)
        )
        rows = []
        for i in range(n):
            message = sum(s[i][j] / (degree[i] * degree[j]) ** 0.5 * h[j] for j in range(n))
            rows.append(np.log1p(np.exp(rel @ message + bias + root @ h[i])))
        h = np.array(rows)
    return net.readout.weight.detach().numpy() @ h.mean(axis=0) + net.readout.bias.detach().numpy()


@pytest.mark.parametrize("features", ["profile", "identity"])
def test_values_are_those_of_the_loops(features):
    net = made(GraphNet, (5, 5), 3, hidden=(4, 2), features=features)
    x = images(3, 5, 5)  # asymmetric: what an attack may ask for
    expected = [by_loops(net, matrix.tolist(), features) for matrix in x]
    np.testing.assert_allclose(net(x).detach(), expected, rtol=1e-10)


def test_a_channel_axis_changes_nothing():
    plain, channelled = made(GraphNet, (5, 5), 3), made(GraphNet, (1, 5, 5), 3)
    assert torch.equal(plain(graphs()), channelled(graphs()[:, None]))
    stacked = graphs(4).reshape(2, 2, 5, 5)
    assert torch.equal(plain(stacked).reshape(4, 3), plain(graphs(4)))


def test_gradients_are_symmetric_and_an_edge_is_seen_from_both_ends():
    net = made(GraphNet, (5, 5), 3)
    x = images(3, 5, 5).requires_grad_()
    (gradient,) = torch.autograd.grad(net(x)[:, 0].sum(), x)
    assert torch.equal(gradient, gradient.mT)
    assert gradient.abs().min() > 0
    assert torch.equal(net(x), net(x.mT))


@pytest.mark.parametrize("scale", [0.0, 1e-3, 1.0, 1e3])
def test_signed_weights_are_normalized_to_eigenvalues_of_at_most_one(scale):
    net = made(GraphNet, (5, 5), 2)
    x = graphs(20) * scale
    x[0] = -x[0].abs()  # every degree is negative where weights are summed
    assert net(x).isfinite().all()
    normalized = net.scale(x) * x * net.scale(x).mT
    assert torch.linalg.eigvalsh(normalized).abs().max() <= 1
    assert torch.equal(normalized.sign(), x.sign())


def test_the_layers_are_those_of_pytorch_geometric():
    net, x = made(GraphNet, (5, 5), 3, hidden=(4, 2)), graphs()
    h, normalized = x, net.scale(x) * x * net.scale(x).mT
    for convolution, activation in zip(net.convolutions, net.activations):
        h = activation(convolution(h, normalized))
    torch.testing.assert_close(net(x), net.readout(h.mean(dim=1)), rtol=1e-12, atol=1e-12)


def test_two_derivatives_where_edges_are_absent():
    net = made(GraphNet, (4, 4), 2, hidden=(3,))
    x = graphs(2, 4)
    x[0] = 0.0
    x[1, 0, 1] = x[1, 1, 0] = 0.0
    assert torch.autograd.gradcheck(net, x.requires_grad_())
    assert torch.autograd.gradgradcheck(net, x)


def test_rounding_is_no_asymmetry():
    net = GraphNet((5, 5), 2)
    x = graphs().float().numpy()
    net.check_inputs(x)
    x[1, 2, 3] *= 1 + 1e-6
    net.check_inputs(x)
    net.check_inputs(np.zeros_like(x))
    x[1, 2, 3] += 1e-3
    with pytest.raises(ValueError, match=r"not symmetric \(row 1 of X is not\).*X\[:, None\]"):
        net.check_inputs(x)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((5, 6), r"not square.*X\[:, None\]"),
        ((3, 5, 5), "one channel"),
        ((5,), r"GraphNet takes graphs.*got X of shape \(n, 5\)"),
        ((2, 1, 5, 5), "GraphNet takes graphs"),
    ],
)
def test_shapes_that_it_does_not_take(shape, message):
    with pytest.raises(ValueError, match=message):
        GraphNet(shape, 2)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="features='rows' is not known"):
        GraphNet((5, 5), 2, features="rows")
    with pytest.raises(ValueError, match="smoothing must be"):
        GraphNet((5, 5), 2, smoothing=0.0)
    with pytest.raises(ValueError, match="hidden must name at least one width"):
        GraphNet((5, 5), 2, hidden=())


def test_without_pytorch_geometric(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_geometric.nn", None)
    with pytest.raises(ImportError, match=r"pip install robustxai\[graph\]"):
        GraphNet((5, 5), 2)
