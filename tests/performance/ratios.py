"""The ratios that the library promises for a fit and for its import, each measured in one run.

``python -m tests.performance.ratios`` from the repository's root. The contenders take turns, so that a machine that
slows down slows down all of them; what is compared are medians.
"""

import subprocess
import sys
import time
from statistics import median

import numpy as np
import torch

from tests.performance.test_fit import CONTENDERS, bare_loop, make_table

N_EPOCHS = 3


def take_turns(contenders, n_rounds):
    """Median seconds of each, over rounds in which all of them run once; a first round is thrown away."""
    seconds = {name: [] for name in contenders}
    for _ in range(1 + n_rounds):
        for name, run in contenders.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return {name: median(values[1:]) for name, values in seconds.items()}


def fits():
    """A bare loop, and fits of the same batches."""
    X, y = make_table(20_000)
    contenders = {name: lambda make=make: make(N_EPOCHS).fit(X, y) for name, make in CONTENDERS.items()}
    return {"bare loop": lambda: bare_loop(X, y, N_EPOCHS), **contenders}


def imports():
    """Processes that import what the library stands on, and the library."""
    names = {"torch, sklearn, skorch": "torch, sklearn, skorch", "robustxai": "robustxai"}
    return {
        key: lambda code=f"import {code}": subprocess.run([sys.executable, "-c", code], check=True)
        for key, code in names.items()
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    fit = take_turns(fits(), 12)
    start = take_turns(imports(), 11)
    n_steps = N_EPOCHS * -(-20_000 // 256)
    for name, seconds in fit.items():
        print(f"{name:22} {1e3 * seconds / n_steps:.3f} ms a step")
    for name, base, mark in (
        ("vanilla", "bare loop", 1.15),
        ("r2et without hessian", "vanilla", 2.3),
        ("r2et", "vanilla", 3.7),
    ):
        print(f"{name} / {base}: {fit[name] / fit[base]:.2f} (at most {mark})")
    print(f"import robustxai / torch, sklearn, skorch: {np.divide(*reversed(list(start.values()))):.2f} (at most 1.1)")
