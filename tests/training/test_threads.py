import pytest
import torch
from torch import nn

from robustxai.training import small_net_threads


@pytest.fixture(params=[1, 2])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_a_small_net_runs_on_one_thread_and_the_count_comes_back(threads):
    with small_net_threads(nn.Linear(3, 2)):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == threads


def test_a_large_net_keeps_its_threads(threads):
    with small_net_threads(nn.Linear(400, 400)):
        assert torch.get_num_threads() == threads
    assert torch.get_num_threads() == threads


def test_the_count_comes_back_after_an_exception(threads):
    def fail():
        with small_net_threads(nn.Linear(3, 2)):
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert torch.get_num_threads() == threads


def test_a_convolution_is_never_small(threads):
    with small_net_threads(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten())):
        assert torch.get_num_threads() == threads
