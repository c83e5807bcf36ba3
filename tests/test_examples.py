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
