"""The scripts under examples/ run as a reader would run them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from robustxai.datasets import load_compas
from robustxai.exceptions import DataNotFoundError

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.slow
def test_tune_with_optuna_prints_a_pareto_front() -> None:
    home = os.environ.get("ROBUSTXAI_DATA", str(Path(__file__).parents[2] / "shared" / "data"))
    try:
        load_compas(data_home=home)
    except DataNotFoundError as error:
        pytest.skip(str(error))
    run = subprocess.run(
        [sys.executable, str(EXAMPLES / "tune_with_optuna.py"), "--trials", "2"],
        env={**os.environ, "ROBUSTXAI_DATA": home},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    front = [line.split() for line in run.stdout.splitlines()[1:] if line.strip()]
    assert 1 <= len(front) <= 2
    assert all(0.5 < float(auc) < 1 and 0 <= float(precision) <= 1 for auc, precision, *_ in front)


@pytest.mark.parametrize("n_processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_train_with_accelerate_ends_in_a_good_model(n_processes: int) -> None:
    pytest.importorskip("accelerate")
    launcher = [] if n_processes == 1 else ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    script = [str(EXAMPLES / "train_with_accelerate.py"), "--epochs", "8", "--copies", "4", "--width", "64"]
    run = subprocess.run(
        [sys.executable, *launcher, *script],
        env={**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    results = dict(line.split() for line in run.stdout.splitlines()[-4:])
    assert int(results["processes"]) == n_processes
    assert int(results["steps"]) == 8 * 14  # of 4 * 426 rows in batches of 128, whatever the number of processes
    assert float(results["AUC"]) > 0.97
    assert 0 < float(results["P@8"]) <= 1
