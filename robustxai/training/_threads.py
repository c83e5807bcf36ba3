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

# Below about this many weights a batch is over before a second thread has woken up: an MLP 28-64-32 trains 15 %
# faster on one thread than on two, and two processes with two threads each on two cores are several times slower.
# A convolution uses each of its weights at every pixel, and is never small.
_SMALL = 100_000

#: Held while the count that new threads begin with may be another one than the user's.
_counts = threading.Lock()


def _begin_child() -> None:
    """Let a forked process compute: the threads of its parent are not in it.

    The runtime of OpenMP waits for them for ever once the parent has used several. A count of one asks for none.
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
    """Run the block on one CPU thread if `module` is small; the former count comes back afterwards.

    The count is that of the calling thread. Computations in other threads keep theirs, and so do threads that begin in
    the meantime.
    """
    with _counts:  # a new thread takes its count over here, at the latest
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
    """``torch.set_num_threads`` without its effect on the threads that begin later.

    It sets the calling thread's count and the one that new threads take over. Where there are other threads, which can
    start new ones, one that was just started tells the latter and puts it back.
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
