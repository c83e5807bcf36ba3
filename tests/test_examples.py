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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "small", "rows"),
    [
        ("plot_mnist_siamese.py", ["--digits", "400", "--pairs", "600", "--epochs", "2", "--attacked", "4"], 2),
        ("plot_fashion_atex.py", ["--images", "400", "--epochs", "2", "--attacked", "4"], 2),
        ("plot_connectome_graphs.py", ["--epochs", "2", "--attacked", "4"], 3),
    ],
)
def test_an_example_prints_its_table_and_draws_its_figure(
    script: str, small: list[str], rows: int, tmp_path: Path
) -> None:
    home = Path(os.environ.get("ROBUSTXAI_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not (home / "mnist").is_dir():
        pytest.skip("needs the real data: set ROBUSTXAI_DATA")
    if "graphs" in script:
        pytest.importorskip("torch_geometric")
    figure = tmp_path / "figure.png"
    run = subprocess.run(
        [sys.executable, str(EXAMPLES / script), *small, "--out", str(figure)],
        env={**os.environ, "ROBUSTXAI_DATA": str(home), "MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert len(lines) == rows + 2  # a head, a row for each model, the figure's name
    for line in lines[1:-1]:
        assert all(0 <= float(value) <= 1 for value in line.split()[-2:])
    assert figure.read_bytes().startswith(b"\x89PNG")
