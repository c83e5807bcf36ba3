import threading
from concurrent.futures import ThreadPoolExecutor

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


def in_thread(function):
    """What `function` returns in a thread of its own."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


def test_threads_that_begin_in_the_meantime_have_the_count_that_they_would_have(threads):
    inside, ready, over = [], threading.Event(), threading.Event()

    def fit():
        with small_net_threads(nn.Linear(3, 2)):
            inside.append(torch.get_num_threads())
            ready.set()
            over.wait()
        inside.append(torch.get_num_threads())

    thread = threading.Thread(target=fit)
    thread.start()
    ready.wait()
    assert in_thread(torch.get_num_threads) == threads
    assert torch.get_num_threads() == threads
    over.set()
    thread.join()
    assert inside == [1, threads]
    assert in_thread(torch.get_num_threads) == threads


@pytest.mark.parametrize("first_out", ["first in", "last in"])
def test_whoever_leaves_last_leaves_the_right_count(threads, first_out):
    blocks = {name: (threading.Event(), threading.Event()) for name in ("first in", "last in")}
    after = {}

    def fit(name):
        inside, leave = blocks[name]
        with small_net_threads(nn.Linear(3, 2)):
            inside.set()
            leave.wait()
        after[name] = torch.get_num_threads()

    running = {name: threading.Thread(target=fit, args=(name,)) for name in blocks}
    for name, thread in running.items():
        thread.start()
        blocks[name][0].wait()
    for name in sorted(blocks, key=lambda name: name != first_out):
        blocks[name][1].set()
        running[name].join()
    assert after == dict.fromkeys(blocks, threads)
    assert in_thread(torch.get_num_threads) == torch.get_num_threads() == threads


def test_the_count_of_a_thread_of_its_own_mind_comes_back(threads):
    def own():
        torch.set_num_threads(3)
        with small_net_threads(nn.Linear(3, 2)):
            pass
        return torch.get_num_threads()

    assert in_thread(own) == 3
    assert torch.get_num_threads() == threads
