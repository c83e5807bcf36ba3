"""Ways of writing a network: each is read as what it computes, or refused by name."""

import copy
import threading

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from robustxai.bounds import check_reading, read_network

N = 6


class Written(nn.Module):
    """Two linear layers and a ``forward`` that a test writes: ``function(self, x)``."""

    def __init__(self, function, shape=(N,)):
        super().__init__()
        self.function = function
        self.first, self.second, self.last = nn.Linear(N, 5), nn.Linear(5, 5), nn.Linear(5, 2)
        self.conv = nn.Conv2d(1, 2, 3, padding=1)
        self.norm = nn.BatchNorm1d(5)
        self.norm.running_mean.normal_()
        self.norm.running_var.uniform_(0.5, 2.0)
        self.softplus, self.relu, self.tanh = nn.Softplus(beta=2.0), nn.ReLU(), nn.Tanh()
        self.dropout = nn.Dropout(0.5)
        self.register_buffer("calls", torch.zeros(()))
        self.scale = nn.Parameter(torch.linspace(0.5, 1.5, 5))
        self.head = nn.Linear(18, 2)

    def forward(self, x):
        return self.function(self, x)


def pre_activation(m, x):
    """A block whose in-place ReLU changes what the shortcut adds."""
    h = m.first(x)
    return m.last(h + m.second(F.relu(h, inplace=True)))


def chunks(m, x):
    a, b = m.tanh(x).chunk(2, dim=1)
    return m.last(m.tanh(m.first(torch.cat([b, a], dim=1))))


def split(m, x):
    a, b = torch.split(x, [2, 4], 1)
    return m.last(m.softplus(m.first(torch.cat((b, a), 1))))


def in_place_sum(m, x):
    h = m.first(x)
    h += m.second(m.tanh(m.first(x)))
    return m.last(m.tanh(h))


def clone_before_in_place(m, x):
    h = m.first(x)
    return m.last(m.second(h.clone().relu_()) + h)


def sliced(m, x):
    return m.last(torch.sigmoid(m.first(torch.cat([x[:, 3:], x[:, :3]], 1))))


def mean_over_places(m, x):
    h = m.softplus(m.conv(x.view(len(x), 1, 2, 3)))
    return m.last(F.pad(h.mean(dim=(2, 3)), (0, 3)))


def image_rows(m, x):
    h = torch.tanh(m.conv(x.unflatten(1, (1, 2, 3))))
    return h.flatten(2).sum(dim=2)


READ = {
    "torch.relu": lambda m, x: m.last(torch.relu(m.first(x))),
    "torch.relu(input=)": lambda m, x: m.last(torch.relu(input=m.first(x))),
    "F.relu": lambda m, x: m.last(F.relu(m.first(x))),
    "F.relu(inplace)": lambda m, x: m.last(F.relu(m.first(x), inplace=True)),
    "F.relu(input=, inplace=)": lambda m, x: m.last(F.relu(input=m.first(x), inplace=True)),
    "relu_": lambda m, x: m.last(m.first(x).relu_()),
    "method relu": lambda m, x: m.last(m.first(x).relu()),
    "module relu": lambda m, x: m.last(m.relu(m.first(x))),
    "module called with a keyword": lambda m, x: m.last(input=m.relu(input=m.first(input=x))),
    "pre-activation block": pre_activation,
    "clone before in-place": clone_before_in_place,
    "in-place sum": in_place_sum,
    "softplus of the module": lambda m, x: m.last(m.softplus(m.first(x))),
    "F.softplus positional beta": lambda m, x: m.last(F.softplus(m.first(x), 3)),
    "F.softplus keywords": lambda m, x: m.last(F.softplus(input=m.first(x), beta=0.5, threshold=30)),
    "F.softplus positional threshold": lambda m, x: m.last(F.softplus(m.first(x), 2.0, 25.0)),
    "torch.sigmoid": lambda m, x: m.last(torch.sigmoid(m.first(x))),
    "sigmoid_": lambda m, x: m.last(m.first(x).sigmoid_()),
    "torch.special.expit": lambda m, x: m.last(torch.special.expit(m.first(x))),
    "tanh_": lambda m, x: m.last(m.first(x).tanh_()),
    "F.linear": lambda m, x: F.linear(torch.tanh(F.linear(x, m.first.weight, bias=m.first.bias)), m.last.weight),
    "matmul": lambda m, x: m.last(torch.tanh(x @ m.first.weight.T + m.first.bias)),
    "addmm": lambda m, x: m.last(torch.tanh(torch.addmm(m.first.bias, x, m.first.weight.T))),
    "sum with alpha": lambda m, x: m.last(torch.tanh(torch.add(m.first(x), m.first(x), alpha=-0.3))),
    "difference": lambda m, x: m.last(torch.tanh(m.first(x)) - torch.sigmoid(m.first(x))),
    "one minus": lambda m, x: m.last(1 - torch.sigmoid(m.first(x))),
    "negation": lambda m, x: m.last(torch.tanh(-m.first(x))),
    "times a number": lambda m, x: m.last(0.5 * torch.tanh(m.first(x) * 2) / 3),
    "times a parameter": lambda m, x: m.last(m.scale * torch.tanh(m.first(x))),
    "over a parameter": lambda m, x: m.last(torch.tanh(m.first(x)) / m.scale),
    "mul_": lambda m, x: m.last(torch.tanh(m.first(x).mul_(m.scale))),
    "div_": lambda m, x: m.last(torch.tanh(m.first(x).div_(2))),
    "sub_": lambda m, x: m.last(torch.tanh(m.first(x).sub_(m.scale))),
    "dropout of the module": lambda m, x: m.last(m.dropout(torch.tanh(m.first(x)))),
    "F.dropout as evaluation": lambda m, x: m.last(F.dropout(torch.tanh(m.first(x)), 0.3, m.training)),
    "batch normalization": lambda m, x: m.last(torch.tanh(m.norm(m.first(x)))),
    "F.batch_norm": lambda m, x: m.last(
        torch.tanh(F.batch_norm(m.first(x), m.norm.running_mean, m.norm.running_var, eps=0.1))
    ),
    "chunk and cat": chunks,
    "split and cat": split,
    "slices": sliced,
    "flip": lambda m, x: m.last(torch.tanh(m.first(x.flip(1)))),
    "roll": lambda m, x: m.last(torch.tanh(m.first(torch.roll(x, 2, dims=1)))),
    "index_select": lambda m, x: m.last(torch.tanh(m.first(x.index_select(1, torch.tensor([3, 1, 0, 2, 5, 5]))))),
    "fancy index": lambda m, x: m.last(torch.tanh(m.first(x[:, [5, 4, 3, 2, 1, 0]]))),
    "unsqueeze and squeeze": lambda m, x: m.last(torch.tanh(m.first(x.unsqueeze(1).squeeze(1)))),
    "transpose twice": lambda m, x: m.last(torch.tanh(m.first(x.unsqueeze(1).transpose(1, 2).transpose(1, 2)[:, 0]))),
    "convolution and view": lambda m, x: m.head(
        F.pad(torch.tanh(m.conv(x.view(x.size(0), 1, 2, 3))).view(x.shape[0], -1), (0, 6))
    ),
    "mean over places": mean_over_places,
    "sum over places": image_rows,
    "average pooling": lambda m, x: m.last(
        F.pad(F.adaptive_avg_pool2d(torch.tanh(m.conv(x.reshape(-1, 1, 2, 3))), 1).flatten(1), (0, 3))
    ),
    "identity": lambda m, x: m.last(nn.Identity()(torch.tanh(m.first(x.contiguous())))),
    "a branch by shape": lambda m, x: m.last(torch.tanh(m.first(x if x.dim() == 2 and x.shape[-1] == N else -x))),
    "a branch by device and type": lambda m, x: m.last(
        torch.tanh(m.first(-x if x.is_cuda or x.device.type == "cuda" or x.is_complex() else x))
    ),
    "requires_grad as when it is explained": lambda m, x: m.last(torch.tanh(m.first(x if x.requires_grad else -x))),
}


def threshold(value):
    return lambda m, x: m.last(F.softplus(m.first(x), 1.0, value))


def counted(m, x):
    m.calls += 1
    return m.last(torch.tanh(m.first(x))) + m.calls


def counted_in_python(m, x):
    m.n_calls = getattr(m, "n_calls", 0) + 1
    return m.last(torch.tanh(m.n_calls * m.first(x)))


def view_then_in_place(m, x):
    h = m.first(x)
    flat = h.view(-1, 5)
    h.relu_()
    return m.last(flat)


class Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient):
        return -gradient


class Unchanged(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x

    @staticmethod
    def backward(ctx, gradient):
        return 3 * gradient


def without_gradient(m, x):
    with torch.no_grad():
        shift = torch.tanh(m.first(x))
    return m.last(torch.tanh(m.first(x)) + shift)


REFUSED = {
    "softplus threshold 5": (threshold(5.0), "threshold=5"),
    "softplus threshold 1": (threshold(1), "threshold=1"),
    "softplus threshold nan": (threshold(float("nan")), "threshold=nan"),
    "softplus negative beta": (lambda m, x: m.last(F.softplus(m.first(x), -1.0)), "beta=-1"),
    "no_grad": (without_gradient, "without gradients"),
    "detach": (lambda m, x: m.last(torch.tanh(m.first(x)) + m.first(x).detach()), "'detach'"),
    "data": (lambda m, x: m.last(torch.tanh(m.first(x)).data), "'data'"),
    "gelu": (lambda m, x: m.last(F.gelu(m.first(x))), "'gelu'"),
    "layer GELU": (lambda m, x: m.last(nn.GELU()(m.first(x))), "layer GELU"),
    "softmax": (lambda m, x: m.last(x[:, :5].softmax(1)), "'softmax'"),
    "leaky": (lambda m, x: m.last(F.leaky_relu(m.first(x))), "'leaky_relu'"),
    "clamp": (lambda m, x: m.last(m.first(x).clamp(min=-1)), "'clamp'"),
    "product": (lambda m, x: m.last(m.first(x) * m.first(x)), "'mul'"),
    "square": (lambda m, x: m.last(m.first(x) ** 2), "'pow'"),
    "quotient": (lambda m, x: m.last(m.first(x) / (2 + m.first(x))), "'div'"),
    "a float": (lambda m, x: m.last(torch.tanh(m.first(x.float()))), "'float'"),
    "a cast": (lambda m, x: m.last(torch.tanh(m.first(x.to(torch.float32)))), "'to'"),
    "noise like x": (lambda m, x: m.last(torch.tanh(m.first(x + torch.rand_like(x)))), "'rand_like'"),
    "active dropout": (lambda m, x: m.last(F.dropout(m.first(x), 0.5)), "dropout is active"),
    "batch statistics": (
        lambda m, x: m.last(F.batch_norm(m.first(x), None, None, training=True)),
        "running statistics",
    ),
    "a branch by value": (lambda m, x: m.last(m.first(x if x.sum() > 0 else -x)), "cannot be read"),
    "a branch by a row": (lambda m, x: m.last(m.first(x if x[0, 0] > 0 else -x)), "cannot be read"),
    "sum over rows": (lambda m, x: m.last(m.first(x) - m.first(x).mean(0)), "cannot be read"),
    "other row": (lambda m, x: m.last(torch.tanh(m.first(x.flip(0)))), "cannot be read"),
    "rows as features": (lambda m, x: m.last(m.first(x).T[:, :5]), "'T'|cannot be read"),
    "weights from x": (lambda m, x: x @ x.T, "weight depends|'T'"),
    "view then in-place": (view_then_in_place, "in-place"),
    "gradient reversal": (
        lambda m, x: m.last(torch.tanh(Reversed.apply(m.first(x)))),
        "without gradients|cannot be read",
    ),
    "scaled gradient": (lambda m, x: m.last(torch.tanh(Unchanged.apply(m.first(x)))), "gradients|cannot be read"),
    "a buffer that counts": (counted, "changes its buffer 'calls'"),
    "two outputs": (lambda m, x: (m.last(m.first(x)), x), "single tensor"),
    "a constant": (lambda m, x: torch.zeros(len(x), 2), "depends on its input"),
    "numpy": (lambda m, x: torch.from_numpy(x.detach().numpy()), "'detach'"),
    "item": (lambda m, x: m.last(m.first(x)) * x[0, 0].item(), "cannot be read"),
    "numpy_": (lambda m, x: m.last(m.first(torch.as_tensor(x.tolist()))), "cannot be read|'tolist'"),
    "matrix logits": (lambda m, x: m.last(m.first(x)).unsqueeze(1), "one logit for each class"),
}


@pytest.fixture(scope="module")
def rows():
    return torch.randn(40, N, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def written(function):
    torch.manual_seed(0)
    return Written(function)


def check(module, rows):
    check_reading(read_network(module, rows.shape[1:]), module, rows, 0.5, torch.ones(N, dtype=torch.float64))


@pytest.mark.parametrize("name", READ)
def test_what_is_read_is_what_runs(name, rows):
    check(written(READ[name]), rows)


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused_by_name(name, rows):
    function, match = REFUSED[name]
    with pytest.raises(NotImplementedError, match=match):
        check(written(function), rows)


@pytest.mark.parametrize("function", [counted_in_python, lambda m, x: m.last(m.first(x)) + torch.rand(())])
def test_what_no_operation_shows_is_found_by_comparing(function, rows):
    with pytest.raises(NotImplementedError, match="computes otherwise"):
        check(written(function), rows)


class Subclass(nn.Linear):
    def forward(self, x):
        return torch.tanh(super().forward(x))


class TestAroundModules:
    def base(self):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(N, 5), nn.Softplus(), nn.Linear(5, 2))

    def test_a_subclass_is_read_as_it_computes(self, rows):
        module = self.base()
        module[0] = Subclass(N, 5)
        check(module, rows)

    def test_a_forward_hook_is_part_of_the_network(self, rows):
        module = self.base()
        module[0].register_forward_hook(lambda layer, inputs, output: 2 * output)
        check(module, rows)
        plain = self.base()
        plain.load_state_dict(module.state_dict())
        with pytest.raises(NotImplementedError, match="computes otherwise"):
            check_reading(read_network(plain, (N,)), module, rows, 0.5, torch.ones(N, dtype=torch.float64))

    def test_a_forward_pre_hook_is_part_of_the_network(self, rows):
        module = self.base()
        module[2].register_forward_pre_hook(lambda layer, inputs: (inputs[0] * inputs[0].new_tensor(1.0),))
        with pytest.raises(NotImplementedError, match="'new_tensor'"):
            check(module, rows)
        module = self.base()
        module.register_forward_pre_hook(lambda layer, inputs: (-inputs[0],))
        check(module, rows)

    @pytest.mark.parametrize("register", ["register_full_backward_hook", "register_full_backward_pre_hook"])
    def test_a_backward_hook_is_refused(self, register, rows):
        module = self.base()
        getattr(module[0], register)(lambda *parts: None)
        with pytest.raises(NotImplementedError, match="backward hooks of Linear"):
            check(module, rows)

    @pytest.mark.parametrize(
        "parametrize", [parametrizations.weight_norm, parametrizations.spectral_norm, parametrizations.orthogonal]
    )
    def test_a_parametrized_layer_is_read_with_the_weight_that_it_computes(self, parametrize, rows):
        module = self.base()
        parametrize(module[0])
        module.eval()
        check(module, rows)

    def test_a_shared_module_is_read_each_time(self, rows):
        torch.manual_seed(0)
        layer, unit = nn.Linear(N, N), nn.Tanh()
        check(nn.Sequential(layer, unit, layer, unit, nn.Linear(N, 2)), rows)

    def test_train_mode_does_not_matter(self, rows):
        module = nn.Sequential(nn.Linear(N, 5), nn.BatchNorm1d(5), nn.Dropout(), nn.Tanh(), nn.Linear(5, 2))
        module(torch.randn(9, N))
        state = copy.deepcopy(module.state_dict())
        check(module.train(), rows)
        assert module.training
        for key, value in module.state_dict().items():
            assert torch.equal(value, state[key])

    def test_a_scripted_module_is_refused(self, rows):
        with pytest.raises(NotImplementedError, match="scripted"):
            check(torch.jit.script(self.base()), rows)


def test_reading_leaves_other_threads_alone(rows):
    """Nothing of torch is patched while a network is read."""
    other, failures, stop = nn.Sequential(nn.Linear(3, 3), nn.ReLU()), [], threading.Event()

    def call():
        expected = other(torch.ones(1, 3)).detach()
        while not stop.is_set():
            try:
                assert torch.equal(other(torch.ones(1, 3)), expected)
            except Exception as error:
                failures.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    try:
        for _ in range(20):
            check(written(READ["pre-activation block"]), rows)
    finally:
        stop.set()
        thread.join()
    assert not failures
