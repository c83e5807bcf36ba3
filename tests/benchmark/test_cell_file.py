"""Files of finished cells: what is returned is what was computed, whatever happened to the files."""

import errno
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest

from robustxai import cli
from robustxai.benchmark import Experiment, run_cells, write_tables
from robustxai.benchmark._base_cell import BaseCell
from robustxai.benchmark._cell_file import check_row, read_row, sealed_row
from robustxai.cli import _results
from robustxai.exceptions import AlteredFileError, AlteredFileWarning, FailedCellsError
from robustxai.experiments.bracket._bracket import BracketCell
from tests.damages import damages, fill_the_disk


@dataclass(frozen=True)
class Number:
    """A cell that knows its row."""

    number: int
    may_be_infinite: ClassVar[tuple[str, ...]] = ("radius",)

    @property
    def name(self):
        return f"number-{self.number}.json"

    @property
    def row(self):
        return {
            "number": self.number,
            "data": "Übung, \ud83c\udf31",
            "score": 0.1 + self.number,
            "absent": float("nan"),
            "radius": float("inf") if self.number else -0.0,
            "points": [{"epsilon": 0.5, "kept": True}, {"epsilon": 1.0, "kept": None}],
        }


class Ran:
    """What runs a cell; counts them."""

    def __init__(self):
        self.cells = []

    def __call__(self, cell):
        self.cells.append(cell)
        return cell.row


CELLS = [Number(0), Number(1), Number(2)]


@pytest.fixture
def finished(tmp_path):
    run_cells(CELLS, tmp_path, run=Ran())
    return tmp_path


@pytest.fixture(scope="module")
def expected():
    """As JSON gives it back."""
    return pd.DataFrame([json.loads(json.dumps(cell.row)) for cell in CELLS])


def test_a_damaged_file_is_computed_again_or_holds_the_same(finished, expected):
    paths = [finished / "cells" / cell.name for cell in CELLS]
    good, foreign = (path.read_bytes() for path in paths[:2])
    n_again = 0
    for name, content in damages(good, foreign=foreign):
        paths[0].write_bytes(content)
        ran = Ran()
        if content == good:
            run_cells(CELLS, finished, run=ran)
            assert ran.cells == []
            continue
        with pytest.warns(AlteredFileWarning, match=r"^1 of 3 results .* computed again \(number-0\.json: "):
            rows = run_cells(CELLS, finished, run=ran)
        assert ran.cells == CELLS[:1], name
        pd.testing.assert_frame_equal(rows, expected)
        assert paths[0].read_bytes() == good  # written anew
        n_again += 1
    assert n_again > 250


@pytest.mark.parametrize(
    "change",
    [
        lambda row: row | {"score": 7.0},
        lambda row: row | {"score": float("inf")},
        lambda row: row | {"score": float("nan")},
        lambda row: row | {"score": "0.1"},
        lambda row: row | {"more": 1},
        lambda row: {key: value for key, value in row.items() if key != "score"},
        lambda row: dict(reversed(row.items())),
        lambda row: row | {"sha256": "0" * 64},
        lambda row: {key: value for key, value in row.items() if key != "sha256"},  # of an older version
        lambda row: [row],
        lambda row: {"row": row},
        lambda row: row | {"sealed_as": "number-1.json"},
    ],
)
def test_a_row_that_somebody_changed_is_computed_again(finished, expected, change):
    path = finished / "cells" / CELLS[0].name
    path.write_text(json.dumps(change(json.loads(path.read_text(encoding="utf-8")))), encoding="utf-8")
    with pytest.warns(AlteredFileWarning, match=r"number-0\.json: "):
        rows = run_cells(CELLS, finished, run=Ran())
    pd.testing.assert_frame_equal(rows, expected)


def test_the_row_of_another_cell_is_said_to_be_that(finished, expected):
    folder = finished / "cells"
    (folder / CELLS[0].name).write_bytes((folder / CELLS[2].name).read_bytes())
    with pytest.warns(AlteredFileWarning, match=r"number-0\.json: it holds the result of number-2\.json"):
        rows = run_cells(CELLS, finished, run=Ran())
    pd.testing.assert_frame_equal(rows, expected)


def test_many_files_are_one_warning_with_three_names(finished, expected):
    cells = [Number(number) for number in range(9)]
    run_cells(cells, finished, run=Ran())
    for cell in cells:
        (finished / "cells" / cell.name).write_text("{}")
    with pytest.warns(AlteredFileWarning, match="9 of 9 results .*; and 6 more") as said:
        run_cells(cells, finished, run=Ran())
    assert len(said) == 1
    assert str(said[0].message).count(".json") == 3


def test_the_command_line_says_it_in_a_line(monkeypatch, tmp_path, capsys):
    arguments = ["--defenses", "logistic_regression", "--attacks", "random", "--seeds", "1", "--n-rows", "5"]
    arguments += ["--max-iter", "2", "--no-certify", "--out", str(tmp_path)]
    monkeypatch.setattr("sys.argv", ["robustxai", "benchmark", "--data", "breast_cancer", *arguments])
    printed = []
    for _ in range(2):
        with pytest.raises(SystemExit) as stop:
            cli.main()
        assert not stop.value.code
        printed.append(capsys.readouterr())
        (path,) = (tmp_path / "cells").iterdir()
        path.write_bytes(path.read_bytes().replace(b"0.9", b"0.8"))
    assert "again" not in printed[0].err
    assert "note: 1 of 1 results in" in " ".join(printed[1].err.split())
    # what the attacks had to say is in the row
    for text in printed:
        assert "(breast_cancer: logistic_regression); the column 'warning' of" in " ".join(text.err.split())
    assert "two different rows have" in (tmp_path / "results.csv").read_text(encoding="utf-8")
    table = [text.out.split("Written")[0] for text in printed]
    assert table[0].split()[:-1] == table[1].split()[:-1]  # but for the seconds of the fit


@pytest.mark.parametrize("damage", [lambda b: b[:-40], lambda b: b"", lambda b: b.replace(b"0", b"1")])
def test_tables_and_figures_are_made_of_the_cells_every_time(tmp_path, damage):
    rows = pd.DataFrame(
        [cell.row | {"data": "t", "defense": "a", "seed": cell.number, "n_features": 1, "k": 1} for cell in CELLS]
    ).assign(epsilon=0.5, norm="2", roc_auc=0.5, precision_at_k=0.5, prediction_sensitivity=0.1)
    written = [*write_tables(rows, tmp_path), *_results.figures(rows, tmp_path)]
    good = [path.read_bytes() for path in written]
    assert len(good) == 3
    for path, content in zip(written, good):
        path.write_bytes(damage(content))
    assert [*write_tables(rows, tmp_path), *_results.figures(rows, tmp_path)] == written
    assert [path.read_bytes() for path in written] == good


def test_a_file_that_may_not_be_read_is_computed_again(finished, expected, monkeypatch):
    read = Path.read_bytes

    def denied(path):
        if path.name == CELLS[1].name:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", denied)
    with pytest.warns(AlteredFileWarning, match=r"number-1\.json: it cannot be read \(Permission denied\)"):
        rows = run_cells(CELLS, finished, run=Ran())
    pd.testing.assert_frame_equal(rows, expected)


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["folder", "pipe"])
@pytest.mark.parametrize("fresh", [False, True])
def test_something_else_in_the_place_of_a_file_keeps_no_other_cell_from_running(tmp_path, make, fresh):
    (tmp_path / "cells").mkdir()
    make(tmp_path / "cells" / CELLS[1].name)
    ran = Ran()
    with pytest.raises(FailedCellsError, match=r"Cell number-1\.json: .*move it away: .*number-1\.json") as error:
        run_cells(CELLS, tmp_path, run=ran, fresh=fresh)
    assert ran.cells == [CELLS[0], CELLS[2]]
    assert error.value.rows["number"].tolist() == [0, 2]


@pytest.mark.parametrize("room", [0, 100])
def test_a_full_disk_names_the_file_and_keeps_what_is_finished(finished, expected, monkeypatch, room):
    before = {path.name: path.read_bytes() for path in (finished / "cells").iterdir()}
    with monkeypatch.context() as patch:
        fill_the_disk(patch, room)
        with pytest.raises(OSError, match=r"No space left on device.*number-3\.json"):
            run_cells([*CELLS, Number(3)], finished, run=Ran())
        with pytest.raises(OSError, match=r"No space left on device.*number-0\.json"):
            run_cells(CELLS, finished, run=Ran(), fresh=True)
    assert {path.name: path.read_bytes() for path in (finished / "cells").iterdir()} == before
    ran = Ran()
    pd.testing.assert_frame_equal(run_cells(CELLS, finished, run=ran), expected)
    assert ran.cells == []


def test_a_log_that_cannot_be_written_costs_no_result(tmp_path):
    (tmp_path / "failures.txt").mkdir()
    assert len(run_cells(CELLS, tmp_path, run=Ran())) == 3
    with pytest.raises(FailedCellsError, match=r"1 of 3 .*tracebacks could not be written \(.*failures") as e:
        run_cells(CELLS, tmp_path, run=lambda cell: cell.row if cell.number else None, fresh=True)
    assert e.value.rows["number"].tolist() == [1, 2]


def _itself():
    row = {}
    row["row"] = row
    return row


@pytest.mark.parametrize(
    ("row", "error"),
    [
        ([1, 2], "TypeError: .* must return a dict whose keys are texts, got list"),
        (None, "TypeError: .* got NoneType"),
        (3.0, "TypeError: .* got float"),
        ({1: 2}, "TypeError: .* keys are texts"),
        ({"score": object()}, "TypeError: .* what JSON can: object is none of its types"),
        ({"score": {1, 2}}, "TypeError: .* set is none"),
        ({"score": b"bytes"}, "TypeError: .* bytes is none"),
        ({"score": np.ones(2)}, "TypeError: .* ndarray is none"),
        (_itself(), "TypeError: .* Circular"),
        ({"score": float("inf")}, "ValueError: score is infinite"),
        ({"score": -np.inf}, "ValueError: score is infinite"),
        ({"points": [{"score": np.float32("inf")}]}, "ValueError: points is infinite"),
        ({"sha256": 1}, "ValueError: .* key 'sha256'"),
        ({"sealed_as": 1}, "ValueError: .* key 'sealed_as'"),
    ],
)
def test_what_is_no_row_is_a_failed_cell_and_keeps_no_other_from_running(tmp_path, row, error):
    with pytest.raises(FailedCellsError, match=rf"Cell number-1\.json: {error}") as raised:
        run_cells(CELLS, tmp_path, run=lambda cell: row if cell.number == 1 else cell.row)
    assert raised.value.rows["number"].tolist() == [0, 2]
    assert not (tmp_path / "cells" / CELLS[1].name).exists()


def test_numbers_of_numpy_and_what_does_not_exist_are_taken(tmp_path):
    row = {
        "one": np.float32(0.5),
        "two": np.int64(2),
        "three": np.bool_(True),
        "four": np.nan,
        "five": None,
        "radius": np.float64("-inf"),
        "tuple": (1, 2),
    }
    computed = run_cells(CELLS[:1], tmp_path, run=lambda cell: row)
    read = run_cells(CELLS[:1], tmp_path, run=None)
    pd.testing.assert_frame_equal(computed, read)
    assert read.iloc[0].drop("four").to_dict() == {
        "one": 0.5,
        "two": 2,
        "three": True,
        "five": None,
        "radius": -np.inf,
        "tuple": [1, 2],
    }
    assert np.isnan(read["four"].item())


@pytest.mark.parametrize("cell", CELLS)
def test_what_is_written_is_json_that_ends_in_its_checksum(tmp_path, cell):
    path = tmp_path / cell.name
    sealed = sealed_row(check_row(cell.row, ("radius",)), cell.name)
    path.write_text(json.dumps(sealed))
    assert list(sealed)[-2:] == ["sealed_as", "sha256"]
    np.testing.assert_equal(read_row(path, ("radius",)), json.loads(json.dumps(cell.row)))
    with pytest.raises(FileNotFoundError):
        read_row(tmp_path / "nothing.json")
    if cell.number:
        with pytest.raises(AlteredFileError, match="radius is infinite"):  # the class says something else by now
            read_row(path)


def test_only_the_radius_of_an_attack_may_be_infinite():
    assert BaseCell.may_be_infinite == ()
    assert BracketCell.may_be_infinite == ("attack_radius",)
    assert all(cell.may_be_infinite == () for cell in Experiment(("breast_cancer",)).cells())


def test_links_and_permissions_of_the_group(tmp_path):
    before = os.umask(0o027)
    try:
        run_cells(CELLS, tmp_path, run=Ran())
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "cells").iterdir()} == {0o640}
