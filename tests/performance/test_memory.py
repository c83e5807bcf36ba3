"""The memory of a large network's training step with second derivatives."""

import subprocess
import sys

import pytest

STEP = """
import resource, sys
import numpy as np, torch
from robustxai import R2ETClassifier
from robustxai.nets import ResNet9

torch.set_num_threads(2)
rng = np.random.default_rng(0)
X, y = rng.uniform(size=(64, 3, 32, 32)).astype(np.float32), np.arange(64) % 10
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
size = int(sys.argv[1]) or None
R2ETClassifier(k=100, module=ResNet9, batch_size=64, internal_batch_size=size, max_epochs=1, device="cpu").fit(X, y)
print(before / 2**20, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""


def peak(internal_batch_size):
    """GiB before and at the peak of one step of 64 images."""
    command = [sys.executable, "-c", STEP, str(internal_batch_size)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    return [float(value) for value in run.stdout.split()]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the unit of ru_maxrss is the system's own")
def test_resnet9_with_its_hessian_term_fits_into_four_gibibytes():
    before, parts = peak(8)
    assert parts < 4
    _, whole = peak(0)
    assert parts - before < (whole - before) / 2
