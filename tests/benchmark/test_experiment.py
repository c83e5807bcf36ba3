import json
import os
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from robustxai import SoftplusClassifier
from robustxai.benchmark import (
    ATTACKS,
    DATA,
    DEFENSES,
    STANDARD_ATTACKS,
    STANDARD_DEFENSES,
    Experiment,
    _experiment,
    run_experiment,
)
from robustxai.benchmark._scheduler import _memory_kept
from robustxai.exceptions import AlteredFileWarning


def cell_files(out):
    return {path.name: path for path in (out / "cells").iterdir()}


def test_the_grid_is_complete_and_goes_data_set_by_data_set():
    experiment = Experiment(("adult", "bank"), ("vanilla", "r2et"), ("er",), seeds=3, k=5, epsilon=0.1, norm="inf")
    cells = experiment.cells()
    assert [(c.data, c.seed, c.defense) for c in cells] == [
        (data, seed, defense) for data in ("adult", "bank") for seed in range(3) for defense in ("vanilla", "r2et")
    ]
    assert {(c.k, c.epsilon, c.norm, c.max_iter, c.n_rows, c.attacks) for c in cells} == {
        (5, 0.1, "inf", 100, 1000, ("er",))
    }
    assert {cell.certify for cell in cells} == {True}
    assert {cell.certify for cell in replace(experiment, certify=False).cells()} == {False}
    assert set(Experiment(("adult",)).defenses) == set(STANDARD_DEFENSES) <= set(DEFENSES)
    assert set(Experiment(("adult",)).attacks) == set(STANDARD_ATTACKS) <= set(ATTACKS)


def test_a_name_given_twice_counts_once():
    assert len(Experiment(("adult", "adult"), ("vanilla", "vanilla", "r2et"), seeds=2).cells()) == 4


def test_finished_cells_are_never_computed_again(small, computed, tmp_path):
    seen = []
    first = run_experiment(small, tmp_path, progress=lambda *args: seen.append(args))
    assert computed == small.cells()
    assert [(done, total) for done, total, _ in seen] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    times = {name: path.stat().st_mtime_ns for name, path in cell_files(tmp_path).items()}
    assert times.keys() == {cell.name for cell in small.cells()}

    second = run_experiment(small, tmp_path, progress=lambda *args: seen.append(args))
    assert len(computed) == 4
    pd.testing.assert_frame_equal(first, second)
    assert {name: path.stat().st_mtime_ns for name, path in cell_files(tmp_path).items()} == times
    assert [done for done, _, _ in seen[4:]] == [1, 2, 3, 4]

    wider = replace(small, seeds=3)
    third = run_experiment(wider, tmp_path)
    assert [cell.seed for cell in computed[4:]] == [2, 2]
    pd.testing.assert_frame_equal(third[third["seed"] < 2].reset_index(drop=True), first)
    run_experiment(replace(small, epsilon=0.1), tmp_path)
    assert len(computed) == 10


def test_the_rows_are_in_the_order_of_the_grid(small, computed, tmp_path):
    """Even where the first ones are computed last."""
    run_experiment(replace(small, defenses=("softplus",)), tmp_path)
    rows = run_experiment(small, tmp_path)
    assert list(zip(rows["seed"], rows["defense"])) == [(c.seed, c.defense) for c in small.cells()]


def test_fresh_computes_everything_anew(small, computed, tmp_path):
    run_experiment(small, tmp_path)
    rows = run_experiment(small, tmp_path, fresh=True)
    assert computed == small.cells() * 2
    pd.testing.assert_frame_equal(run_experiment(small, tmp_path), rows)


@pytest.mark.parametrize("damage", [b"", b'{"data": "loans", "roc', b"\xff\xfe\x00\x80"])
def test_a_damaged_cell_is_computed_again(small, computed, tmp_path, damage):
    run_experiment(small, tmp_path)
    broken = small.cells()[2]
    (tmp_path / "cells" / broken.name).write_bytes(damage)
    with pytest.warns(AlteredFileWarning, match=broken.name):
        rows = run_experiment(small, tmp_path)
    assert computed[4:] == [broken]
    assert len(rows) == 4
    assert json.loads((tmp_path / "cells" / broken.name).read_text())["seed"] == broken.seed


@pytest.mark.parametrize("stop", [KeyboardInterrupt, ValueError])
def test_a_stopped_run_keeps_what_is_finished_and_goes_on_from_there(small, computed, tmp_path, monkeypatch, stop):
    inner = _experiment.run_cell

    def stopping(cell):
        if len(computed) == 2:  # a KeyboardInterrupt ends the run; after an error the others are tried
            raise stop("stopped here")
        return inner(cell)

    with monkeypatch.context() as patch:
        patch.setattr(_experiment, "run_cell", stopping)
        with pytest.raises(stop):
            run_experiment(small, tmp_path)
    assert cell_files(tmp_path).keys() == {cell.name for cell in small.cells()[:2]}
    rows = run_experiment(small, tmp_path)
    assert computed == small.cells()
    assert len(rows) == 4


def test_a_stop_while_a_file_is_written_leaves_no_half_of_it(small, computed, tmp_path, monkeypatch):
    def torn(row, file):
        file.write(json.dumps(row)[:10])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_experiment.json, "dump", torn)
        with pytest.raises(KeyboardInterrupt):
            run_experiment(small, tmp_path)
    assert not list((tmp_path / "cells").glob("*.json"))
    assert len(run_experiment(small, tmp_path)) == 4


@pytest.mark.usefixtures("forked_workers")
def test_two_processes_give_the_rows_of_one(small, tmp_path, monkeypatch):
    monkeypatch.setitem(DEFENSES, "softplus", lambda k, seed: SoftplusClassifier(random_state=seed, max_epochs=5))
    one = run_experiment(small, tmp_path / "one")
    two = run_experiment(small, tmp_path / "two", n_jobs=2)
    pd.testing.assert_frame_equal(one.drop(columns="fit_seconds"), two.drop(columns="fit_seconds"))
    assert cell_files(tmp_path / "one").keys() == cell_files(tmp_path / "two").keys()
    # what is on disk is what was returned, to the last digit
    pd.testing.assert_frame_equal(run_experiment(small, tmp_path / "two"), two)
    assert (one["precision_at_k"] <= one[["precision_at_k_er", "precision_at_k_random"]].min(axis=1)).all()
    assert np.isfinite(one["roc_auc"]).all()


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"data": ("adlut",)}, ValueError, r"no data set 'adlut'\. Did you mean 'adult'"),
        ({"defenses": ("vanila",)}, ValueError, r"no defense 'vanila'\. Did you mean 'vanilla'"),
        ({"attacks": ("boundry",)}, ValueError, r"no attack 'boundry'\. Did you mean 'boundary'"),
        ({"attacks": ("zzz",)}, ValueError, f"Valid names: {', '.join(sorted(ATTACKS))}"),
        ({"data": ()}, ValueError, "data is empty"),
        ({"defenses": ()}, ValueError, "defenses is empty"),
        ({"seeds": 0}, ValueError, "seeds must be a finite number >= 1"),
        ({"k": 0}, ValueError, "k must be"),
        ({"max_iter": 2.5}, TypeError, "max_iter must be an integer"),
        ({"n_rows": -1}, ValueError, "n_rows must be"),
        ({"epsilon": -0.1}, ValueError, "epsilon must be a finite number >= 0"),
        ({"epsilon": float("nan")}, ValueError, "epsilon must be"),
        ({"norm": "1"}, ValueError, "use 2 or inf"),
    ],
)
def test_an_experiment_that_makes_no_sense_is_refused(parameters, error, message):
    with pytest.raises(error, match=message):
        Experiment(**({"data": ("adult",)} | parameters))


def test_any_csv_is_a_data_set():
    assert "loans.csv" not in DATA
    assert Experiment(("somewhere/loans.csv", "other.csv.gz")).data[1] == "other.csv.gz"


def test_processes_are_started_with_memory_that_is_kept(monkeypatch):
    trim, threshold = "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"
    monkeypatch.setenv(trim, "7")
    monkeypatch.delenv(threshold, raising=False)
    with _memory_kept():
        assert os.environ[trim] == "7"  # whoever has an opinion keeps it
        assert int(os.environ[threshold]) == 2**25
    assert os.environ[trim] == "7"
    assert threshold not in os.environ
