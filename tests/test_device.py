"""The library on another device than the CPU, without a GPU: no tensor on the wrong one, no step that waits in secret.

The device is emulated (tests/elsewhere.py); its arithmetic is that of the CPU, so that results can be compared.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.device_tour import ATTACKS, DEFENSES, METRICS
from tests.device_tour import tour as tour_here

NAMES = [
    "fit", "predict_proba", "explain", "integrated_gradients", "smooth_grad", "gradient_times_input",
    "log_odds_gradient", *ATTACKS, "FGSM", "PGD", "ensemble", "certificate", "radius", *METRICS, *DEFENSES,
    "fit, small batches", "R2ET, small batches", "R2ET, in parts", "class weights", "ATEX", "stack",
    "attack on a stack",
]  # fmt: skip
#: They draw on the device, whose random numbers are others; all others draw on the CPU.
DRAWS = {
    "R2ETClassifier", "EstimatedHessianClassifier", "IGNormClassifier", "ATEX", "R2ET, small batches", "R2ET, in parts",
    "SSRClassifier", "CertifiedR2ETClassifier", "ARTClassifier", "FARClassifier", "IGRClassifier",
    "MapDiscrepancyClassifier", "TRADESClassifier", "AttributionContrastClassifier",
}  # fmt: skip


def tour(place):
    command = [sys.executable, "-m", "tests.device_tour", place]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    said = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1], env=env, check=False)
    lines = [json.loads(line) for line in said.stdout.splitlines()]
    assert said.returncode == 0, said.stderr[-2000:]
    return {line["name"]: line for line in lines}


@pytest.fixture(scope="module")
def on_the_device():
    return tour("device")


@pytest.fixture(scope="module")
def on_the_cpu():
    return {line["name"]: line for line in tour_here("cpu")}


@pytest.mark.parametrize("name", NAMES)
def test_every_step_stays_on_its_device(name, on_the_device):
    assert "error" not in on_the_device[name], on_the_device[name]["error"]


@pytest.mark.parametrize("name", [name for name in NAMES if name not in DRAWS])
def test_results_are_those_of_the_cpu(name, on_the_device, on_the_cpu):
    np.testing.assert_allclose(on_the_device[name]["value"], on_the_cpu[name]["value"], rtol=1e-5, atol=1e-6)


def test_every_step_is_known(on_the_device):
    assert set(on_the_device) == set(NAMES)


@pytest.mark.parametrize(
    ("few", "many"), [("fit", "fit, small batches"), ("R2ETClassifier", "R2ET, small batches")], ids=["plain", "r2et"]
)
def test_no_batch_waits_for_the_device(few, many, on_the_device):
    """Losses come back once an epoch: four times as many batches wait no more often."""
    assert sorted(on_the_device[few]["waits"]) == sorted(on_the_device[many]["waits"])
    assert len(on_the_device[few]["waits"]) < 12


def test_parts_of_a_batch_do_not_wait_either(on_the_device):
    assert sorted(on_the_device["R2ET, in parts"]["waits"]) == sorted(on_the_device["R2ETClassifier"]["waits"])


@pytest.mark.parametrize("name", ["predict_proba", "explain", "integrated_gradients", "smooth_grad"])
def test_answers_come_back_in_one_piece(name, on_the_device):
    assert len(on_the_device[name]["waits"]) == 1


@pytest.mark.gpu
def test_everything_on_a_gpu(on_the_cpu):
    """Float32 rounds otherwise there: probabilities agree to a thousandth, and few rows change a top set."""
    found = tour("gpu")
    assert set(found) == set(NAMES)
    for line in found.values():
        assert "error" not in line, line["error"]
    for name in ("fit", "predict_proba", "SoftplusClassifier", "WeightDecayClassifier", "class weights", "stack"):
        np.testing.assert_allclose(found[name]["value"], on_the_cpu[name]["value"], atol=1e-3, err_msg=name)
    for name in (*ATTACKS, "ensemble", "certificate"):
        assert np.mean(found[name]["value"]) == pytest.approx(np.mean(on_the_cpu[name]["value"]), abs=0.1), name
