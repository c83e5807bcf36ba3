"""Users' files as they come: what is said of each, and what comes out."""
# ruff: noqa: E501 (a case is a line)

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import re
import string
import warnings
import zipfile

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.tree import DecisionTreeClassifier

from robustxai.datasets import load_table, make_preprocessor
from robustxai.datasets._leaks import leaking_columns
from robustxai.exceptions import DataNotFoundError, DataWarning, TableError

N = 60
DECIMALS = [round(0.37 * i % 5, 2) for i in range(N)]


def table(row, header="a,b,t", n=N):
    """A header, and `row` of 0 to n - 1."""
    return "\n".join([*([header] if header else []), *(row(i) for i in range(n))]) + "\n"


def label(i):
    return "yn"[i % 2]


PLAIN = table(lambda i: f"{DECIMALS[i]},{i % 5},{label(i)}")
WORDS = table(lambda i: f"{'äöé'[i % 3]},{i % 5},{label(i)}", "größe,b,t")
RUSSIAN = table(
    lambda i: f"{['Москва', 'Казань', 'Тверь'][i % 3]},{i % 5},{['да', 'нет'][i % 2]}", "город,возраст,ответ"
)


def load(tmp_path, content, name="t.csv", **options):
    """A Bunch, and the sentences."""
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DataWarning)
        bunch = load_table(path, **options)
    said = [str(warning.message).removeprefix(f"{name}: ") for warning in caught]
    assert said == bunch.notes
    assert all(sentence in bunch.DESCR for sentence in said)
    return bunch, said


#: What is read, options, columns with their first values, a pattern for each sentence that is said.
READ = {
    "plain": (PLAIN, {}, {"a": DECIMALS, "b": [0, 1, 2]}, []),
    # encodings
    "latin-1": (WORDS.encode("latin-1"), {}, {"größe": ["ä", "ö", "é"]}, ["read as cp1252.*'größe'.*--encoding"]),
    "cp1252": (WORDS.replace("ä", "€").encode("cp1252"), {}, {"größe": ["€", "ö", "é"]}, ["cp1252"]),
    "told encoding": (WORDS.encode("latin-1"), {"encoding": "latin-1"}, {"größe": ["ä", "ö", "é"]}, []),
    "utf-8 with a mark": (WORDS.encode("utf-8-sig"), {}, {"größe": ["ä", "ö", "é"]}, []),
    "utf-16 with a mark": (WORDS.encode("utf-16"), {}, {"größe": ["ä", "ö", "é"]}, []),
    "utf-16 without": (PLAIN.encode("utf-16-le"), {}, {"a": DECIMALS}, ["utf-16-le without a byte order mark"]),
    "utf-32": (WORDS.encode("utf-32"), {}, {"größe": ["ä", "ö", "é"]}, []),
    "cp1251": (RUSSIAN.encode("cp1251"), {}, {"город": ["Москва", "Казань"]}, ["read as cp1251"]),
    "koi8-r": (RUSSIAN.encode("koi8_r"), {}, {"город": ["Москва", "Казань"]}, ["read as koi8_r"]),
    # separators and decimal signs
    "semicolon": (PLAIN.replace(",", ";"), {}, {"a": DECIMALS}, ["separated by the semicolon; sep= "]),
    "semicolon and decimal comma": (
        PLAIN.replace(",", ";").replace(".", ","), {}, {"a": DECIMALS}, ["semicolon", "decimal comma .* in 'a'"],
    ),
    "tab": (PLAIN.replace(",", "\t"), {}, {"a": DECIMALS}, ["by the tab"]),
    "bar": (PLAIN.replace(",", "|"), {}, {"a": DECIMALS}, ["by the bar"]),
    "blanks": (PLAIN.replace(",", "   "), {}, {"a": DECIMALS}, ["by blanks"]),
    "told separator": (PLAIN.replace(",", ";"), {"sep": "semicolon"}, {"a": DECIMALS}, []),
    "unusual separator": (PLAIN.replace(",", "^"), {"sep": "^"}, {"a": DECIMALS}, []),
    "sep= line": ("sep=;\n" + PLAIN.replace(",", ";"), {}, {"a": DECIMALS}, ["semicolon"]),
    "old line ends": (PLAIN.replace("\n", "\r"), {}, {"a": DECIMALS}, []),
    "windows line ends": (PLAIN.replace("\n", "\r\n"), {}, {"a": DECIMALS}, []),
    "no last line end": (PLAIN.rstrip(), {}, {"a": DECIMALS}, []),
    # headers
    "no header": (PLAIN.split("\n", 1)[1], {}, {"column_1": DECIMALS, "column_2": [0, 1]}, ["no header.*column_1 to column_3"]),
    "no header, label first": (
        table(lambda i: f"{i % 2},{i % 5},{DECIMALS[i]}", ""), {"target": "column_1"}, {"column_3": DECIMALS}, ["no header"],
    ),
    "positions as names": (PLAIN.replace("a,b,t", "0,1,2", 1), {}, {"0": DECIMALS}, []),
    "duplicated names": (PLAIN.replace("a,b,t", "a,a,t", 1), {}, {"a": DECIMALS, "a.1": [0, 1]}, ["Two columns are called 'a'"]),
    "an empty name": (PLAIN.replace("a,b,t", "a,,t", 1), {}, {"column_2": [0, 1]}, ["place 2 has no name"]),
    "blanks around names": (PLAIN.replace("a,b,t", " a , b ,t ", 1), {}, {"a": DECIMALS, "b": [0, 1]}, []),
    "two headers": (
        table(lambda i: f"{DECIMALS[i]},{i % 5},{i % 2}", "X1,X2,Y\nage,b,default"), {}, {"age": DECIMALS}, ["names are those of line 2"],
    ),
    "units below the header": (
        table(lambda i: f"{DECIMALS[i]},{i % 5},{i % 2}", "age,b,default\nyears,kg,"), {}, {"age": DECIMALS}, ["line 2 is left out"],
    ),
    "a repeated header": (PLAIN + "a,b,t\n1,2,y\n", {}, {"a": [*DECIMALS, 1]}, ["Line 62 repeats the header"]),
    "a title": ("Report of 2020\n\n" + PLAIN, {}, {"a": DECIMALS}, ["Line 1 above the header"]),
    "comments": ("# from here\n# and there\n" + PLAIN, {}, {"a": DECIMALS}, ["Lines 1 and 2 are comments"]),
    "a comment sign before the header": ("# " + PLAIN, {}, {"a": DECIMALS}, ["begins with a '#'"]),
    # superfluous columns
    "an index": (
        table(lambda i: f"{i},{DECIMALS[i]},{label(i)}", ",a,t"), {}, {"a": DECIMALS}, ["counts the rows, as the index"],
    ),
    "Unnamed: 0": (
        table(lambda i: f"{i},{DECIMALS[i]},{label(i)}", "Unnamed: 0,a,t"), {}, {"a": DECIMALS}, ["counts the rows"],
    ),
    "trailing separators": (PLAIN.replace("\n", ",\n"), {}, {"a": DECIMALS}, ["neither a name nor values"]),
    "trailing separators of rows": (
        PLAIN.replace("\n", ",\n").replace("t,", "t", 1), {}, {"a": DECIMALS}, ["Rows end in separators"],
    ),
    "a trailing separator of the header": (PLAIN.replace("t\n", "t,\n", 1), {}, {"a": DECIMALS}, ["The header ends in a sep"]),
    "lines of separators only": (PLAIN + ",,\n,,\n", {}, {"a": DECIMALS}, ["Lines 62 and 63 hold separators only"]),
    "an id of numbers": (
        table(lambda i: f"{(37 * i) % 1000 + 100},{i % 5},{label(i)}", "customer_id,b,t"), {}, {"customer_id": [100, 137]},
        ["identifier.*'customer_id'; drop="],
    ),
    "an id that is dropped": (table(lambda i: f"u{i},{i % 5},{label(i)}"), {"drop": "a"}, {"b": [0, 1, 2]}, []),
    "a constant": (table(lambda i: f"1,{i % 5},{label(i)}"), {}, {"a": [1, 1]}, ["one value in all rows of 'a'"]),
    "nothing": (table(lambda i: f",{i % 5},{label(i)}"), {}, {"a": [np.nan]}, ["no value in any row of 'a'"]),
    # numbers in text
    "thousands": (table(lambda i: f'"{1000 + 7 * i:,}",{i % 5},{label(i)}'), {}, {"a": [1000, 1007]}, ["thousands separators"]),
    "thousands and decimals": (table(lambda i: f'"{1000.5 + i:,.2f}",{i % 5},{label(i)}'), {}, {"a": [1000.5]}, ["thousands"]),
    "thousands by points": (
        table(lambda i: f"{1 + i}.234,5;{i % 5};{label(i)}", "a;b;t"), {}, {"a": [1234.5, 2234.5]}, ["semi", "thousands.*decimal comma"],
    ),
    "dollars": (table(lambda i: f"${i + 0.5},{i % 5},{label(i)}"), {}, {"a": [0.5, 1.5]}, [r"with \$ .* in 'a'"]),
    "euros": (table(lambda i: f"{i + 0.5} €,{i % 5},{label(i)}"), {}, {"a": [0.5, 1.5]}, ["with €"]),
    "per cent": (table(lambda i: f"{7 * i}%,{i % 5},{label(i)}"), {}, {"a": [0, 7]}, ["with %"]),
    "negative in brackets": (table(lambda i: f"({i + 1}),{i % 5},{label(i)}"), {}, {"a": [-1, -2]}, ["own sign"]),
    "a unit": (table(lambda i: f"{7 * i} kg,{i % 5},{label(i)}"), {}, {"a": [0, 7]}, ["with the unit kg"]),
    # missing
    "question marks": (
        table(lambda i: f"{'?' if i % 9 == 1 else DECIMALS[i]},{i % 5},{label(i)}"), {}, {"a": [0, np.nan, 0.74]},
        [r"'\?' is read as missing in 'a' \(7 rows\)"],
    ),
    "question marks among words": (
        table(lambda i: f"{['own', '?', 'rent'][i % 3]},{i % 5},{label(i)}"), {}, {"a": ["own", np.nan, "rent"]}, [r"'\?'"],
    ),
    "kinds of NA": (
        table(lambda i: f"{['NA', 'n/a', 'NULL', '', 'NaN'][i % 5] if i % 2 else DECIMALS[i]},{i % 5},{label(i)}"), {},
        {"a": [0, np.nan, 0.74, np.nan]}, [],
    ),
    "a dash and a word": (
        table(lambda i: f"{['-', 'unknown'][i % 4 // 2] if i % 2 else i},{i % 5},{label(i)}"), {}, {"a": [0, np.nan, 2, np.nan]},
        ["'-' is read as missing", "'unknown' is read as missing"],
    ),
    "codes": (
        table(lambda i: f"{[-9, -8][i % 14 // 7] if i % 7 == 0 else i},{i % 5},{label(i)}"), {}, {"a": [-9, 1, 2]},
        ["number -8 .* 'a' .*na_values=-8", "number -9 .* 'a' .*--na-values=-9"],
    ),
    "999": (table(lambda i: f"{999 if i % 7 == 0 else i},{i % 5},{label(i)}"), {}, {"a": [999, 1]}, ["number 999"]),
    "told codes": (
        table(lambda i: f"{[-9, '-8.0'][i % 14 // 7] if i % 7 == 0 else i},{i % 5},{label(i)}"), {"na_values": [-9, "-8"]},
        {"a": [np.nan, 1, 2, 3, 4, 5, 6, np.nan]}, [],
    ),
    "told codes of a column": (
        table(lambda i: f"{i % 7},{i % 5},{label(i)}"), {"na_values": {"a": 1}}, {"a": [0, np.nan], "b": [0, 1]}, [],
    ),
    "told codes as on the command line": (
        table(lambda i: f"{i % 7},{i % 5},{label(i)}"), {"na_values": ["a=1", "3"]}, {"a": [0, np.nan], "b": [0, 1, 2, np.nan]}, [],
    ),
    # dates
    "dates": (table(lambda i: f"1970-01-{i % 28 + 1:02d},{i % 5},{label(i)}"), {}, {"a": [0, 1, 2]}, ["days since 1970-01-01 in 'a'"]),
    "day first": (table(lambda i: f"{i % 28 + 1}/01/1970,{i % 5},{label(i)}"), {}, {"a": [0, 1]}, ["day before the month"]),
    "month first": (table(lambda i: f"1/{i % 28 + 1}/1970,{i % 5},{label(i)}"), {}, {"a": [0, 1]}, ["month before the day"]),
    "times": (table(lambda i: f"1970-01-{i % 28 + 1:02d}T12:00:00Z,{i % 5},{label(i)}"), {}, {"a": [0.5, 1.5]}, ["Dates"]),
    # categories
    "capitals": (
        table(lambda i: f"{['Male', 'male', 'female', 'Male'][i % 4]},{i % 5},{label(i // 2)}"), {}, {"a": ["Male", "Male", "female"]},
        ["differ in capitals only .*'a' .*'Male', 'male'"],
    ),
    "blanks around words": (table(lambda i: f" own ,{i % 5},{label(i)}\nrent,1,n", n=30), {}, {"a": ["own", "rent"]}, []),
    "truth": (table(lambda i: f"{i % 3 == 0},{i % 5},{label(i)}"), {}, {"a": [True, False]}, []),
    "truth with gaps": (table(lambda i: f"{['TRUE', 'FALSE', ''][i % 3]},{i % 5},{label(i)}"), {}, {"a": [True, False, np.nan]}, []),
    "many categories": (
        table(lambda i: f"z{i % 70},{i % 5},{label(i)}", n=700), {}, {"a": ["z0"]}, [r"many categories .* 'a' \(70\)"],
    ),
    # labels
    "label first": (table(lambda i: f"{i % 2},{i % 5},{DECIMALS[i]}", "t,b,a"), {"target": "t"}, {"a": DECIMALS}, []),
    "label in the middle": (table(lambda i: f"{i % 7},{i % 2},{i % 5}", "a,label,b"), {}, {"label": [0, 1]}, ["last column, 'b'; target='label'"]),
    "rows without a label": (
        table(lambda i: f"{i},{i % 5},{'' if i == 1 else i % 2}"), {"drop_unlabeled": True}, {"a": [0, 2]},
        ["1 of 60 rows have no label", "identifier"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_what_is_seen_in_a_file_is_said_and_what_it_holds_is_read(tmp_path, name):
    content, options, columns, patterns = READ[name]
    bunch, said = load(tmp_path, content, **options)
    said = [sentence for sentence in said if "alone tells the label" not in sentence or "alone tells" in str(patterns)]
    assert len(said) == len(patterns), said
    for sentence, pattern in zip(
        sorted(said), sorted(patterns, key=lambda p: next(s for s in said if re.search(p, s)))
    ):
        assert re.search(pattern, sentence)
    for column, values in columns.items():
        read = bunch.data[column].tolist()[: len(values)]
        assert all(a == b or (a != a and b != b) for a, b in zip(read, values)), (column, read)
        numeric = all(isinstance(value, (int, float)) for value in values) and not any(
            isinstance(v, bool) for v in values
        )
        assert pd.api.types.is_numeric_dtype(bunch.data[column]) or not numeric
    features = make_preprocessor(bunch.data).fit_transform(bunch.data)
    assert np.isfinite(features).all()
    assert features.shape[1] <= 5 or name == "many categories"  # nothing became one feature per row


REFUSED = {
    "an id of words": (table(lambda i: f"u{i},{i % 5},{label(i)}"), {}, r"'a' holds 60 different texts in 60 rows, as an id.*--drop a"),
    "running text": (table(lambda i: f"a long text on the customer number {i} who said very much,1,{label(i)}"), {}, "running text"),
    "a word among numbers": (
        table(lambda i: f"{'about 5' if i == 7 else i},{i % 5},{label(i)}"), {}, r"'a' holds numbers, but 'about 5' in row 8 \(line 9\)",
    ),
    "a word among dates": (
        table(lambda i: f"{'soon' if i == 7 else f'1970-01-{i % 28 + 1:02d}'},{i % 5},{label(i)}"), {}, r"holds dates, but 'soon' in row 8",
    ),
    "infinity alone": (table(lambda i: f"inf,{i % 5},{label(i)}"), {}, r"infinite number, 'inf', in row 1 \(line 2\)"),
    "infinity and gaps": (table(lambda i: f"{'' if i % 3 else '-Infinity'},{i % 5},{label(i)}"), {}, r"'-Infinity', in row 1"),
    "infinity": (table(lambda i: f"{'inf' if i == 3 else i},{i % 5},{label(i)}"), {}, r"infinite number, 'inf', in row 4 \(line 5\)"),
    "a number as label": (table(lambda i: f"{i % 7},{i % 5},{DECIMALS[i]}"), {}, "60 different numbers in 60 rows, which are no cl"),
    "a number as label, another is meant": (
        table(lambda i: f"{i % 2},{i % 7},{DECIMALS[i]}", "target,b,a"), {}, "--target.; these have few values: 'target'",
    ),
    "one class": (table(lambda i: f"{i % 7},{i % 5},y"), {}, "a single value, 'y', in all rows"),
    "no label at all": (table(lambda i: f"{i % 7},{i % 5},?"), {}, "no value in any row"),
    "a gap in the label": (table(lambda i: f"{i % 7},{i % 5},{'' if i == 4 else i % 2}"), {}, "first in row 5, line 6.*--drop-unl"),
    "unknown target": (PLAIN, {"target": "tt"}, "no column 'tt'. Did you mean 't'"),
    "unknown drop": (PLAIN, {"drop": ["bb"]}, "no column 'bb'. Did you mean 'b'"),
    "target dropped": (PLAIN, {"target": "t", "drop": ["t"]}, "both the label"),
    "all dropped": (PLAIN, {"drop": ["a", "b"]}, "single column"),
    "wrong encoding": (WORDS.encode("latin-1"), {"encoding": "utf-8"}, "cannot be read as utf-8 .*line 1"),
    "no encoding": (PLAIN, {"encoding": "utf-9"}, "no encoding 'utf-9'"),
    "wrong separator": (PLAIN, {"sep": ";"}, "single column, 'a,b,t'"),
    "no separator": (PLAIN, {"sep": "::"}, "sep='::' is no separator"),
    "empty": ("", {}, "cannot be read as a table: it is empty"),
    "white": ("\n \n", {}, "it is empty"),
    "a header alone": ("a,b,t\n", {}, "no rows"),
    "a short line": (PLAIN + "Total: 60\n", {}, "line 62 has 1 fields and the header has 3"),
    "a long line": (PLAIN + "1,2,3,4\n", {}, r"line 62 has more fields than its header \(4 instead of 3\)"),
    "long lines": (PLAIN.replace("a,b,t", "b,t", 1), {}, "its rows have more fields than its header"),
    "an open quotation": (PLAIN + '"open,1,y\n', {}, "after line 62 is never closed"),
    "a workbook": (b"PK\x03\x04 and so on", {}, "a workbook of a spreadsheet program"),
    "Parquet": (b"PAR1 and so on", {}, "a Parquet file"),
    "a pickle": (b"\x80\x04 and so on", {}, "a pickle"),
    "zeros": (b"a,b\x00\x00,t\n1,2,3\n", {}, "bytes that no text has"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_safely_is_refused_with_the_place_and_the_option(tmp_path, name):
    content, options, pattern = REFUSED[name]
    path = tmp_path / "t.csv"
    raw = content if isinstance(content, bytes) else content.encode()
    path.write_bytes(raw)
    with pytest.raises(TableError, match=pattern) as caught:
        load_table(path, **options)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, DataNotFoundError)
    assert not re.search("(?i)damaged|delete|remove", str(caught.value))
    assert path.read_bytes() == raw


@pytest.mark.parametrize(
    ("ending", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress), (".zip", None)]
)
def test_compressed_tables(tmp_path, ending, pack):
    path = tmp_path / f"t.csv{ending}"
    if pack is None:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("t.csv", PLAIN)
    else:
        path.write_bytes(pack(PLAIN.encode()))
    assert load_table(path).data["a"].tolist() == DECIMALS
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(TableError, match="cannot be read"):
        load_table(path)


def test_a_column_that_gives_the_label_away_is_named(tmp_path):
    content = table(lambda i: f"{i % 7},{i * 13 % 2 if i != 9 else 5},{label(i)}", "a,is_t,t", 300)
    _, said = load(tmp_path, content)
    assert [s for s in said if "alone tells" in s] == [s for s in said if "'is_t' alone tells the label 't'" in s] != []
    _, said = load(tmp_path, content, drop="is_t")
    assert not said


@pytest.mark.parametrize("kind", ["number", "category", "gap"])
@pytest.mark.parametrize("noise", [0.0, 0.3, 1.0])
def test_the_auc_of_a_column_is_near_that_of_a_tree(kind, noise):
    rng = np.random.default_rng(0)
    y = pd.Series(rng.integers(0, 2, 2000))
    flipped = np.where(rng.random(2000) < noise / 2, 1 - y, y)
    column = {
        "number": flipped + rng.normal(0, 0.1, 2000),
        "category": pd.Categorical(np.where(flipped == 1, "u", "v")),
        "gap": np.where(flipped == 1, np.nan, rng.normal(size=2000)),
    }[kind]
    X = pd.DataFrame({"c": column})
    codes = X["c"].cat.codes if kind == "category" else X["c"].fillna(-99)
    tree = DecisionTreeClassifier(max_leaf_nodes=8, min_samples_leaf=30)
    expected = roc_auc_score(y, cross_val_predict(tree, codes.to_frame(), y, cv=3, method="predict_proba")[:, 1])
    found = list(leaking_columns(X, y))
    assert bool(found) == (expected > 0.98)
    if found:
        assert found[0] == ("c", pytest.approx(expected, abs=0.01))


def test_an_identifier_is_no_leak_and_several_classes_are_compared():
    y = pd.Series(np.arange(300) % 3)
    X = pd.DataFrame({"id": [f"u{i}" for i in range(300)], "same": y.map(str), "noise": np.arange(300) % 7})
    assert [name for name, _ in leaking_columns(X, y)] == ["same"]


WORD = (
    st.text(string.ascii_lowercase + "äß ;,\"'", min_size=2, max_size=6)
    .map(str.strip)
    .filter(lambda word: len(word) > 1)
)


@st.composite
def frames(draw):
    """A table of numbers, whole numbers and words with gaps, and a label of two words."""
    n = draw(st.integers(8, 25))
    names = draw(st.lists(st.text("abcdeföü_", min_size=2, max_size=5), min_size=2, max_size=4, unique=True))
    columns = {}
    for name in names:
        kind = draw(st.sampled_from(["float", "int", "word"]))
        if kind == "float":
            values = draw(st.lists(st.floats(-1e6, 1e6, allow_subnormal=False) | st.none(), min_size=n, max_size=n))
            columns[name] = np.array(values, dtype=float)
        elif kind == "int":
            columns[name] = np.array(draw(st.lists(st.integers(-(10**6), 10**6), min_size=n, max_size=n)))
        else:
            levels = draw(st.lists(WORD, min_size=2, max_size=4, unique=True))
            levels = [level + "x" for level in levels]  # no mark of a gap, and no month
            columns[name] = draw(st.lists(st.sampled_from(levels), min_size=n, max_size=n))
    frame = pd.DataFrame(columns)
    frame.insert(draw(st.integers(0, len(names))), "label", [("good", "bad")[i % 2] for i in range(n)])
    return frame


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    frame=frames(),
    sep=st.sampled_from([",", ";", "\t", "|"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    decimal=st.sampled_from([".", ","]),
    line=st.sampled_from(["\n", "\r\n"]),
    told=st.booleans(),
)
def test_a_table_that_is_written_is_read_again(tmp_path, frame, sep, encoding, quoting, decimal, line, told):
    if decimal == "," and sep == ",":
        decimal = "."
    path = tmp_path / "written.csv"
    text = frame.to_csv(index=False, sep=sep, quoting=quoting, decimal=decimal, lineterminator=line)
    path.write_bytes(text.encode(encoding))
    # of 25 rows a separator inside the words may be as regular as the real one: then it has to be told
    marks = set(";,|\t") & set("".join(map(str, frame.select_dtypes(exclude="number").to_numpy().ravel())))
    options = {"sep": sep} if told or marks else {}
    if encoding == "latin-1" and told:
        options["encoding"] = encoding
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        read = load_table(path, "label", **options)
    assert read.target.tolist() == frame["label"].tolist()
    assert list(read.data.columns) == [name for name in frame.columns if name != "label"]
    for name in read.data.columns:
        values, expected = read.data[name], frame[name]
        if pd.api.types.is_numeric_dtype(expected):
            assert np.array_equal(values.to_numpy(dtype=float), expected.to_numpy(dtype=float), equal_nan=True)
        else:
            assert values.tolist() == expected.tolist()


def test_a_plain_file_has_the_dtypes_and_values_of_pandas(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({
        "float": rng.normal(size=200), "gaps": np.where(rng.random(200) < 0.2, np.nan, rng.integers(0, 9, 200)),
        "int": rng.integers(-(10**12), 10**12, 200), "bool": rng.random(200) < 0.5, "big": 2**60 + rng.integers(0, 99, 200),
        "home": rng.choice(["own", "rent"], 200), "label": rng.choice(["u", "v"], 200),
    })  # fmt: skip
    text = frame.to_csv(index=False)
    read, said = load(tmp_path, text)
    assert said == []
    expected = pd.read_csv(io.StringIO(text), float_precision="round_trip").astype(
        {"home": "category", "label": "category"}
    )
    pd.testing.assert_frame_equal(read.frame, expected)
