from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import warnings
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from robustxai.benchmark import Experiment, UserTable, run_experiment, summarize
from robustxai.benchmark._user_table import is_file, key, labels, stem
from robustxai.exceptions import DataNotFoundError, DataWarning, FailedCellsError
from robustxai.experiments.bracket import Bracket

FAST = {"defenses": ("logistic_regression",), "attacks": ("random",), "seeds": 1, "k": 1, "max_iter": 2}
FAST |= {"n_rows": 5, "certify": False}


def write(path, seed=0, **changes):
    """A table of four numbers and a label."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(80, 4)), columns=list("abcd"))
    frame["t"] = (frame["a"] + rng.normal(size=80) > 0).astype(int)
    for name, value in changes.items():
        frame.loc[3, name] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(path, index=False)
    return str(path)


def run(data, out, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        return run_experiment(Experiment(data, **(FAST | options)), out)


def test_two_files_of_one_name_stay_apart_in_rows_tables_and_files(tmp_path):
    paths = write(tmp_path / "a" / "data.csv", 0), write(tmp_path / "b" / "data.csv", 1)
    rows = run(paths, tmp_path / "out")
    assert rows["data"].tolist() == ["a/data", "b/data"]
    assert len(summarize(rows)) == 2
    assert len(list((tmp_path / "out" / "cells").iterdir())) == 2
    alone = run(paths[1:], tmp_path / "out")  # the same cell, called as one calls it alone
    assert alone["data"].tolist() == ["data"]
    assert alone["roc_auc"].tolist() == rows["roc_auc"].tolist()[1:]
    assert len(list((tmp_path / "out" / "cells").iterdir())) == 2


def test_copies_of_a_file_are_one_table(tmp_path):
    path = Path(write(tmp_path / "a" / "data.csv"))
    copy = tmp_path / "b" / "data.csv"
    copy.parent.mkdir()
    shutil.copy(path, copy)
    packed = tmp_path / "data.csv.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    others = [tmp_path / f"data.csv.{ending}" for ending in ("bz2", "xz", "zip")]
    others[0].write_bytes(bz2.compress(path.read_bytes()))
    others[1].write_bytes(lzma.compress(path.read_bytes()))
    with zipfile.ZipFile(others[2], "w") as archive:
        archive.write(path, "another name.csv")
    link = tmp_path / "data link.csv"
    link.symlink_to(path)
    assert len({key(str(p)) for p in (path, copy, packed, link, *others)}) == 1
    assert len(run((str(path), str(copy), str(packed)), tmp_path / "out")) == 1
    before = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "out" / "cells").iterdir()}
    run((str(copy),), tmp_path / "out")
    assert {p.name: p.stat().st_mtime_ns for p in (tmp_path / "out" / "cells").iterdir()} == before


@pytest.mark.parametrize(
    "option", [{"target": "a"}, {"drop": ("a",)}, {"na_values": ("1",)}, {"sep": ","}, {"drop_unlabeled": True}]
)
def test_a_file_with_other_options_is_another_table(tmp_path, option):
    path = write(tmp_path / "data.csv")
    one, other = UserTable(path), UserTable(path, **option)
    assert key(one) == key(path) != key(other)
    assert list(labels((one, other)).values()) == ["data", "data (2)"]
    (cell,) = Experiment((one,), **FAST).cells()
    assert replace(cell, data=other).name != cell.name == replace(cell, data=path).name


def test_options_reach_the_file(tmp_path):
    path = tmp_path / "data.csv"
    write(path)
    text = path.read_text().replace(",", ";")
    path.write_text("\n".join(f"{line};u{i}" for i, line in enumerate(text.splitlines())))
    data = UserTable(str(path), target="t", drop=("u0",), sep=";", encoding="latin-1")
    assert run((data,), tmp_path / "out")["n_features"].tolist() == [4]


def test_labels_are_as_short_as_they_can_be(tmp_path):
    def shown(*paths):
        for number, path in enumerate(paths):
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(str(number))
        return list(labels(str(tmp_path / path) for path in paths).values())

    assert shown("x.csv", "y.csv.gz", "z.tsv") == ["x", "y", "z"]
    assert shown("a/x.csv", "b/x.csv", "c/y.csv") == ["a/x", "b/x", "y"]
    assert len(set(shown("1/a/x.csv", "2/a/x.csv", "2/b/x.csv"))) == 3
    (tmp_path / "adult.csv").write_text("0")
    names = labels(("adult", str(tmp_path / "adult.csv")))
    assert names["adult"] == "adult"
    assert names[str(tmp_path / "adult.csv")] == f"{tmp_path.name}/adult"


def test_what_is_a_file_and_what_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine").write_text("x")
    assert all(map(is_file, ("mine", "x.csv", "x.csv.gz", "x.data", "a/b", UserTable("adult"))))
    assert not any(map(is_file, ("adult", "adlut", "mnist", "")))
    assert stem("/a/my table.csv.gz") == "my table"


@pytest.mark.parametrize("make", [Experiment, Bracket])
def test_a_name_that_is_neither_is_refused(make):
    with pytest.raises(ValueError, match="Did you mean 'adult'"):
        make(("adlut",))


def test_a_bad_table_keeps_no_other_from_running(tmp_path):
    bad, good = write(tmp_path / "bad.csv", a=np.inf), write(tmp_path / "good.csv")
    with pytest.raises(
        FailedCellsError, match=r"with seed 0, .*bad\.csv: .*'a' holds an infinite.*row 4 \(line 5\)"
    ) as e:
        run((bad, good), tmp_path / "out", seeds=2)
    assert e.value.rows["data"].tolist() == ["good", "good"]
    assert len(e.value.sentences) == 1
    assert "2 of 4 cells failed" in str(e.value)


def test_a_file_that_may_not_be_read_keeps_no_other_from_running(tmp_path, monkeypatch):
    secret, good = write(tmp_path / "secret.csv", 1), write(tmp_path / "good.csv")
    read = Path.read_bytes

    def denied(path):
        if path.name == "secret.csv":
            raise PermissionError(13, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", denied)
    with pytest.raises(
        FailedCellsError, match=r"secret\.csv cannot be read \(PermissionError: .*Permission denied"
    ) as e:
        run((secret, good), tmp_path / "out")
    assert e.value.rows["data"].tolist() == ["good"]


@pytest.mark.parametrize("data", [["nowhere.csv"], ["good.csv", "nowhere.csv"], ["bad.csv"], ["bad.csv", "worse.csv"]])
def test_a_file_that_is_not_there_or_nothing_to_read_starts_nothing(tmp_path, data):
    write(tmp_path / "good.csv")
    write(tmp_path / "bad.csv", a=np.inf)
    write(tmp_path / "worse.csv", seed=1, b=np.inf)
    with pytest.raises(DataNotFoundError) as error:
        run([str(tmp_path / name) for name in data], tmp_path / "out")
    for name in set(data) - {"good.csv"}:
        assert name in str(error.value)
    assert not list(tmp_path.glob("out/cells/*"))


def test_what_was_seen_is_said_once_and_not_by_every_cell(tmp_path):
    path = tmp_path / "data.csv"
    write(path)
    path.write_text(path.read_text().replace(",", ";"))
    with pytest.warns(DataWarning, match="semicolon") as told:
        run_experiment(Experiment((str(path),), **(FAST | {"seeds": 3})), tmp_path / "out")
    assert len([w for w in told if "semicolon" in str(w.message)]) == 1


def test_what_was_seen_names_the_file_where_two_have_one_name(tmp_path):
    paths = write(tmp_path / "a" / "data.csv", 0), write(tmp_path / "b" / "data.csv", 1)
    for path in map(Path, paths):
        path.write_text(path.read_text().replace(",", ";"))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("default")  # which shows the same words at the same place only once
        run_experiment(Experiment(paths, **FAST), tmp_path / "out")
    semicolons = [str(warning.message) for warning in told if "semicolon" in str(warning.message)]
    assert [message.partition(": ")[0] for message in semicolons] == list(paths)
