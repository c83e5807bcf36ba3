"""Thread counts for small networks."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from robustxai._arguments import Has, checked

__all__ = ["small_net_threads"]

# Number of weights below which a batch takes less time than the start of a second thread: an MLP 28-64-32 trains 15 %
# faster on one thread than on two, and two processes with two threads each on two cores are several times slower.
# Networks with convolutions never count as small, because each weight is used at every pixel.
_SMALL = 100_000

#: Lock that is held while new threads may start with another count than the user's.
_counts = threading.Lock()


def _begin_child() -> None:
    """Limit a forked process to one thread, because the threads of its parent do not exist in it.

    If the parent has used several threads, the OpenMP runtime waits for them forever. With a count of one it does not
    wait.
    """
    global _counts
    _counts = threading.Lock()
    if torch.get_num_threads() > 1:
        torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_child)


@contextmanager
@checked(module=Has(("parameters",), words="a torch module"))
def small_net_threads(module: nn.Module) -> Iterator[None]:
    """Run the block on one CPU thread if `module` is small, and restore the former count afterwards.

    Only the count of the calling thread changes. Computations in other threads, including threads that start in the
    meantime, keep their count.
    """
    with _counts:  # a new thread reads its count here, at the latest
        before = torch.get_num_threads()
    weights = list(module.parameters())
    if before == 1 or sum(p.numel() for p in weights) >= _SMALL or any(p.ndim > 2 for p in weights):
        yield
        return
    _set_for_this_thread(1)
    try:
        yield
    finally:
        _set_for_this_thread(before)


def _set_for_this_thread(count: int) -> None:
    """Set the thread count of the calling thread, without the effect of ``torch.set_num_threads`` on later threads.

    ``torch.set_num_threads`` sets the count of the calling thread and the default of new threads. If other threads
    exist, which may start new ones, a helper thread reads the default beforehand and restores it.
    """
    if threading.active_count() == 1:
        torch.set_num_threads(count)
        return
    read, done = threading.Event(), threading.Event()

    def put_back() -> None:
        default = torch.get_num_threads()
        read.set()
        done.wait()
        torch.set_num_threads(default)

    with _counts:
        thread = threading.Thread(target=put_back, name="robustxai-thread-count", daemon=True)
        thread.start()
        read.wait()
        try:
            torch.set_num_threads(count)
        finally:
            done.set()
            thread.join()
