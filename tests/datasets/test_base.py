"""The lookup order, the download and damaged files, the same for every data set."""

from __future__ import annotations

import gzip
import http.client
from pathlib import Path

import pandas as pd
import pytest
from sklearn.utils import Bunch

from robustxai.datasets import load_adult, load_bank, load_compas
from robustxai.datasets._adult import _SOURCE as ADULT
from robustxai.datasets._bank import _SOURCE as BANK
from robustxai.datasets._base import fetch
from robustxai.datasets._compas import _SOURCE as COMPAS
from robustxai.exceptions import DataNotFoundError
from tests.damages import damages

from .conftest import stored_table, write


def put(home: Path, first_number: int = 20, name: str = "adult/adult.csv.gz") -> Path:
    table = stored_table(ADULT, first_number=first_number)
    table["split"] = "train"
    return write(table, home / name)


def test_the_argument_comes_before_the_environment_and_that_before_the_cache(tmp_path, empty_machine, monkeypatch):
    put(empty_machine, 1)
    assert load_adult().data["age"].iloc[0] == 1
    put(tmp_path / "environment", 2)
    monkeypatch.setenv("ROBUSTXAI_DATA", str(tmp_path / "environment"))
    assert load_adult().data["age"].iloc[0] == 2
    here = put(tmp_path / "argument", 3)
    bunch = load_adult(data_home=tmp_path / "argument")
    assert bunch.data["age"].iloc[0] == 3
    assert bunch.filename == str(here)
    # a folder without the file is no obstacle
    assert load_adult(data_home=str(tmp_path / "nowhere")).data["age"].iloc[0] == 2


@pytest.mark.parametrize("name", ["adult/adult.csv.gz", "adult.csv.gz", "adult/adult.csv", "adult.csv"])
def test_flat_and_plain_files_are_found_too(tmp_path, empty_machine, name):
    path = put(tmp_path, name=name)
    assert load_adult(data_home=tmp_path).filename == str(path)


@pytest.mark.parametrize(("load", "name"), [(load_adult, "adult"), (load_bank, "bank"), (load_compas, "compas")])
def test_the_message_for_missing_data_says_what_to_put_where(tmp_path, empty_machine, monkeypatch, load, name):
    monkeypatch.setenv("ROBUSTXAI_DATA", str(tmp_path / "environment"))
    with pytest.raises(DataNotFoundError) as caught:
        load(data_home=tmp_path / "argument")
    message = str(caught.value)
    for part in (
        f"{name}/{name}.csv.gz",
        f"{tmp_path / 'argument'} (data_home)",
        f"{tmp_path / 'environment'} (ROBUSTXAI_DATA)",
        f"{empty_machine} (cache)",
        "set the environment variable ROBUSTXAI_DATA",
        "The data come from",
    ):
        assert part in message
    assert isinstance(caught.value, OSError)


@pytest.mark.parametrize(
    ("source", "original"), [(BANK, "bank-additional-full.csv"), (COMPAS, "compas-scores-two-years.csv")]
)
def test_sets_without_a_download_say_so_and_name_the_publishers_file(empty_machine, source, original):
    with pytest.raises(DataNotFoundError, match="OpenML has no set with the same content") as caught:
        fetch(source, None)
    assert original in str(caught.value)


def damage_truncated(path):
    path.write_bytes(path.read_bytes()[:-40])


def damage_flipped_bits(path):
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 8] = bytes(byte ^ 0xFF for byte in content[middle : middle + 8])
    path.write_bytes(content)


def damage_not_gzip(path):
    path.write_text("<html>not found</html>")


def damage_empty(path):
    path.write_bytes(b"")


def damage_empty_inside(path):
    path.write_bytes(gzip.compress(b""))


def damage_header_only(path):
    pd.read_csv(path).head(0).to_csv(path, index=False)


def damage_missing_column(path):
    pd.read_csv(path).drop(columns=["age", "race"]).to_csv(path, index=False)


def damage_no_header(path):
    pd.read_csv(path).to_csv(path, index=False, header=False)


def damage_text_for_numbers(path):
    pd.read_csv(path).assign(age="young").to_csv(path, index=False)


def damage_other_labels(path):
    pd.read_csv(path).assign(income="rich").to_csv(path, index=False)


def damage_shifted_rows(path):
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    path.write_bytes(gzip.compress("\n".join([lines[0], *(f"7,{line}" for line in lines[1:])]).encode()))


def damage_binary(path):
    path.write_bytes(gzip.compress(bytes(range(128, 256)) * 9))


def test_a_compressed_table_is_refused_or_holds_the_same(tmp_path, empty_machine):
    """As the library keeps a download. A plain csv has no checksum: whoever puts it there answers for it."""
    path = put(tmp_path)
    text = gzip.decompress(path.read_bytes())
    good, expected = gzip.compress(text, mtime=0), load_adult(data_home=tmp_path).frame
    path.write_bytes(good)
    refused = []
    for name, content in damages(good, foreign=gzip.compress(b"a,b\n1,2\n")):
        path.write_bytes(content)
        try:
            frame = load_adult(data_home=tmp_path).frame
        except DataNotFoundError as error:
            refused.append(str(error))
        else:
            pd.testing.assert_frame_equal(frame, expected, obj=name)
    assert len(refused) > 200
    assert all(str(path) in message for message in refused)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (damage_truncated, "cannot be read"),
        (damage_flipped_bits, "cannot be read|lacks|hold text|more fields|should be one of"),
        (damage_not_gzip, "cannot be read"),
        (damage_empty, "cannot be read"),
        (damage_empty_inside, "cannot be read"),
        (damage_header_only, "no rows"),
        (damage_missing_column, r"lacks the column\(s\) age, race"),
        (damage_no_header, "lacks the column"),
        (damage_text_for_numbers, r"column\(s\) age should hold numbers"),
        (damage_other_labels, "'income' should be one of .* found .'rich'"),
        (damage_shifted_rows, "more fields than its header"),
        (damage_binary, "cannot be read"),
    ],
)
def test_a_damaged_file_is_named_and_explained_and_not_passed_over(tmp_path, empty_machine, damage, reason):
    put(empty_machine)  # a good copy further down must not hide the damage
    path = put(tmp_path)
    damage(path)
    with pytest.raises(DataNotFoundError, match=reason) as caught:
        load_adult(data_home=tmp_path)
    assert str(caught.value).startswith(f"{path} is damaged")
    assert "replace it" in str(caught.value)


def openml_adult(n_rows: int = 48_842) -> pd.DataFrame:
    """A table with the columns, order and dtypes of OpenML's copy: categories, NaN for unknown, test rows first."""
    table = stored_table(ADULT, n_rows).drop(columns="split").rename(columns={"income": "class"})
    table.insert(2, "fnlwgt", 100_000)
    table.loc[0, ["age", "fnlwgt"]] = 25, 226_802
    if n_rows > 16_281:
        table.loc[16_281, ["age", "fnlwgt"]] = 39, 77_516
    table.loc[3, "workclass"] = None
    numbers = dict.fromkeys([*ADULT.numeric, "fnlwgt"], "float64")
    return table.astype(numbers | dict.fromkeys([*set(table) - set(numbers)], "category"))


@pytest.fixture
def openml(empty_machine, monkeypatch):
    """Makes `fetch_openml` return a table, and records how it was called."""

    class FakeOpenML:
        frame = openml_adult()
        calls: list[dict] = []

        def __call__(self, **arguments):
            self.calls.append(arguments)
            return Bunch(frame=self.frame)

    fake = FakeOpenML()
    fake.calls = []
    monkeypatch.setattr("robustxai.datasets._base.fetch_openml", fake)
    return fake


def test_a_download_is_converted_kept_and_not_repeated(openml, empty_machine):
    first = load_adult()
    assert openml.calls == [{"data_id": 1590, "as_frame": True, "cache": False}]
    assert first.data.shape == (48_842, 13)
    assert first.data["age"].iloc[0] == 39  # training rows come first, as in the original files
    assert first.data["age"].dtype == "int64"
    assert first.data["workclass"].isna().sum() == 1
    kept = empty_machine / "adult" / "adult.csv.gz"
    assert first.filename == str(kept)
    assert [path.name for path in kept.parent.iterdir()] == [kept.name]  # no temporary file is left
    second = load_adult()
    assert len(openml.calls) == 1
    pd.testing.assert_frame_equal(first.frame, second.frame)
    test = load_adult(subset="test")
    assert len(test.data) == 16_281
    assert test.data["age"].iloc[0] == 25


def test_a_download_that_cannot_be_kept_is_still_returned(openml, empty_machine):
    empty_machine.parent.mkdir(parents=True)
    empty_machine.write_text("a file where the folder should be")
    with pytest.warns(UserWarning, match="could not be kept"):
        bunch = load_adult()
    assert bunch.data.shape == (48_842, 13)
    assert bunch.filename == "OpenML data set 1590"


def test_an_interrupted_write_leaves_no_file(openml, empty_machine, monkeypatch):
    def full_disk(*_):
        raise OSError("no space left")

    monkeypatch.setattr("robustxai.datasets._base.os.replace", full_disk)
    with pytest.warns(UserWarning, match="no space left"):
        load_adult()
    assert list((empty_machine / "adult").iterdir()) == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda frame: frame.rename(columns={"race": "color"}), "lacks the column"),
        (lambda frame: frame.rename(columns={"age": "years"}), "not the expected table"),
        (lambda frame: frame.iloc[:-5], "48837 rows instead of 48842"),
        (lambda frame: frame.iloc[::-1], "not in the order"),
        (lambda frame: frame.head(10), "not the expected table"),
        (lambda frame: frame.assign(age="young"), "not the expected table"),
        (lambda frame: None, "not the expected table"),
    ],
)
def test_another_table_from_openml_is_refused_and_not_kept(openml, empty_machine, change, reason):
    openml.frame = change(openml.frame)
    with pytest.raises(DataNotFoundError, match=reason):
        load_adult()
    assert not empty_machine.exists()


@pytest.mark.parametrize("error", [OSError("offline"), ValueError("unknown set"), http.client.IncompleteRead(b"")])
def test_a_failed_download_is_data_not_found(empty_machine, monkeypatch, error):
    def fail(**_):
        raise error

    monkeypatch.setattr("robustxai.datasets._base.fetch_openml", fail)
    with pytest.raises(DataNotFoundError, match="download of OpenML data set 1590 failed") as caught:
        load_adult()
    assert caught.value.__cause__ is error
