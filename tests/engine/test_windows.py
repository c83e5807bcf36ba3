"""Windows of max-poolings, against torch's own indices and against sums over listed places."""

import itertools

import pytest
import torch
from torch import nn

from robustxai.engine._windows import Windows, pool_pairs

OPTIONS = [
    {"kernel_size": kernel, "stride": stride, "padding": padding, "dilation": dilation, "ceil_mode": ceil}
    for kernel, stride, padding, dilation, ceil in itertools.product(
        (1, 2, 3, 4), (1, 2, 4), (0, 1), (1, 2), (False, True)
    )
    if padding <= kernel // 2
]


@pytest.mark.parametrize("size", [8, 11])
def test_places_are_those_that_torch_pools(size):
    z = torch.randn(1, 1, size, generator=torch.Generator().manual_seed(0))
    for options in OPTIONS:
        pool = nn.MaxPool1d(**options)
        pooled = torch.stack([z[0, 0, places].amax() for places in Windows(pool).places(size, 0)])
        torch.testing.assert_close(pooled, pool(z)[0, 0], msg=str(options))
    for n in range(1, size + 1):
        pool = nn.AdaptiveMaxPool1d(n)
        pooled = torch.stack([z[0, 0, places].amax() for places in Windows(pool).places(size, 0)])
        torch.testing.assert_close(pooled, pool(z)[0, 0])


@pytest.mark.parametrize("size", [8, 11])
def test_windows_side_by_side_split_the_axis(size):
    found = []
    for pool in [*(nn.MaxPool1d(**options) for options in OPTIONS), *(nn.AdaptiveMaxPool1d(n) for n in range(1, size))]:
        windows = Windows(pool)
        places = list(windows.places(size, 0))
        width = windows.side_by_side(size, 0)
        if width is not None:
            assert places == [list(range(i, i + width)) for i in range(0, size - width + 1, width)]
            found.append(width)
    assert set(found) >= {1, 2, 4}


def test_each_axis_has_its_own_options():
    windows = Windows(nn.MaxPool2d((4, 3), stride=(4, 1)))
    assert [windows.side_by_side(8, axis) for axis in (0, 1)] == [4, None]
    assert [len(list(windows.places(8, axis))) for axis in (0, 1)] == [2, 6]
    assert Windows(nn.AdaptiveMaxPool2d((None, 2))).side_by_side(6, 0) == 1


@pytest.mark.parametrize("width", [1, 2, 4, 8])
@pytest.mark.parametrize("dim", [1, 2])
def test_pooled_pairs_are_the_pooled_windows(width, dim):
    z = torch.randn(3, 17, 17, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    whole = z.narrow(dim, 0, 17 // width * width).unflatten(dim, (-1, width))
    inner = dim + 1
    torch.testing.assert_close(pool_pairs(z, dim, width), whole.amax(dim=inner))
    smooth = (5.0 * whole).logsumexp(dim=inner) / 5.0
    torch.testing.assert_close(pool_pairs(z, dim, width, beta=5.0), smooth)
    small = z[:1, :9, :9].clone().requires_grad_()
    assert torch.autograd.gradgradcheck(lambda z: pool_pairs(z, dim, width, beta=2.0), small)
