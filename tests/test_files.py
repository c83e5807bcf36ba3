import ast
import errno
import os
import stat
from pathlib import Path

import pandas as pd
import pytest

import robustxai
from robustxai import _files
from robustxai._files import (
    file_name,
    read_sealed,
    seal,
    unseal,
    write_csv,
    write_sealed,
    write_text,
    written_at_once,
)
from robustxai.benchmark import write_tables
from robustxai.cli import _results
from robustxai.exceptions import AlteredFileError
from tests.damages import damages, fill_the_disk


@pytest.mark.parametrize("mask", [0o022, 0o002, 0o077, 0o000])
def test_permissions_are_those_of_the_umask(tmp_path, mask):
    before = os.umask(mask)
    try:
        write_text(tmp_path / "new" / "a.txt", "ä\n")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new" / "a.txt").stat().st_mode) == 0o666 & ~mask
    assert (tmp_path / "new" / "a.txt").read_bytes() == "ä\n".encode()


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_file_that_cannot_be_finished_leaves_the_one_before(tmp_path, error):
    path = tmp_path / "results.csv"
    write_csv(pd.DataFrame({"a": [1.123456789]}), path)

    class Torn:
        def to_csv(self, file, **options):
            file.write("a\n1")
            raise error

    with pytest.raises(type(error)):
        write_csv(Torn(), path)
    assert path.read_text() == "a\n1.12346\n"
    assert [p.name for p in tmp_path.iterdir()] == ["results.csv"]


def test_a_link_stays_a_link(tmp_path):
    target, link = tmp_path / "there.txt", tmp_path / "link.txt"
    target.write_text("old")
    link.symlink_to(target)
    write_text(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"


def test_bytes_and_names(tmp_path):
    with written_at_once(tmp_path / "a") as file:
        file.write(b"\r\n\x00")
    assert (tmp_path / "a").read_bytes() == b"\r\n\x00"
    assert file_name("a/b\\c") == "a--b--c"


# ------------------------------------------------------------------------------------------- written whole


class _Display:
    """As much of a display as saving its figure needs."""

    def __init__(self, seed):
        from matplotlib.figure import Figure

        self.figure_ = Figure(figsize=(2, 1))
        self.figure_.subplots().plot([0, 1, seed])


def _rows(seed):
    return pd.DataFrame({"data": "t", "defense": ["a", "b"], "seed": 0, "k": 1, "epsilon": 0.5, "norm": "2"}).assign(
        n_features=3, roc_auc=[0.1 * seed, 0.25]
    )


#: Kind of file -> how it is written: folder, seed -> its path.
WRITERS = {
    "text": lambda folder, seed: write_text(folder / "file", f"{seed}" * 500),
    "csv": lambda folder, seed: write_csv(pd.DataFrame({"a": [seed] * 500}), folder / "file"),
    "sealed": lambda folder, seed: write_sealed(folder / "file", bytes([seed]) * 500, "name"),
    "figure": lambda folder, seed: _results.draw(_Display(seed), "title", folder / "file"),
    "tables": lambda folder, seed: write_tables(_rows(seed), folder),
    "results": lambda folder, seed: _results.write_results(_rows(seed), "text" * 99, folder, "stem"),
}


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("room", [0, 1, 40, 65])
@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_a_full_disk_leaves_the_file_of_before_and_nothing_else(tmp_path, monkeypatch, write, room):
    write(tmp_path, 1)
    before = contents(tmp_path)
    with monkeypatch.context() as patch:
        fill_the_disk(patch, room)
        with pytest.raises(OSError, match="No space left on device; this could not be written") as error:
            write(tmp_path, 2)
    assert error.value.errno == errno.ENOSPC
    assert Path(error.value.filename).parent == tmp_path
    assert contents(tmp_path) == before
    write(tmp_path, 2)
    assert contents(tmp_path).keys() == before.keys()
    assert contents(tmp_path) != before


@pytest.mark.parametrize("function", ["open", "fsync", "replace"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EIO, errno.EDQUOT, errno.EROFS])
@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_whatever_the_system_refuses_leaves_the_file_of_before(tmp_path, monkeypatch, write, number, function):
    write(tmp_path, 1)
    before = contents(tmp_path)

    def refuse(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(_files.os, function, refuse)
        with pytest.raises(OSError, match="what was there before is untouched") as error:
            write(tmp_path, 2)
    assert error.value.errno == number
    assert ".part" not in str(error.value)
    assert contents(tmp_path) == before


def test_a_file_system_that_cannot_sync_is_no_obstacle(tmp_path, monkeypatch):
    def refuse(handle):
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(_files.os, "fsync", refuse)
    write_text(tmp_path / "file", "text")
    assert (tmp_path / "file").read_text() == "text"


def test_a_folder_in_the_place_is_named_before_anything_is_computed(tmp_path):
    (tmp_path / "file" / "inside").mkdir(parents=True)
    with pytest.raises(IsADirectoryError, match=r"move it away.*file'"), written_at_once(tmp_path / "file"):
        raise AssertionError("nothing is written")
    assert (tmp_path / "file" / "inside").is_dir()
    assert len(list(tmp_path.iterdir())) == 1


def test_errors_about_something_else_keep_their_words(tmp_path):
    with pytest.raises(FileNotFoundError) as error, written_at_once(tmp_path / "file"):
        raise FileNotFoundError(errno.ENOENT, "No such file", "elsewhere")
    assert error.value.filename == "elsewhere"
    with pytest.raises(ConnectionError, match=r"^nobody answers$"), written_at_once(tmp_path / "file"):
        raise ConnectionError("nobody answers")
    assert not list(tmp_path.iterdir())


#: Calls that write to the file, or to the path, that they are given.
_WRITING = {"dump", "save", "savefig", "savez", "savez_compressed", "to_csv"}
#: Calls that can only write to a path.
_TO_PATHS = {"NamedTemporaryFile", "mkstemp", "to_excel", "to_parquet", "to_pickle", "tofile"}
#: Methods that write to the path that they are given, and return text without one.
_TEXTS = {"to_html", "to_json"}


#: A pickler that is made of a buffer, a function that returns bytes, and the library's own, which writes at once.
_INTO_MEMORY = {"pickler.dump", "safetensors.torch.save", "robustxai.save"}


def faults(call):
    """What is wrong with a call that writes, or reads text."""
    function = call.func
    method = isinstance(function, ast.Attribute)
    name = function.attr if method else getattr(function, "id", "")
    arguments = [ast.unparse(argument) for argument in call.args]
    options = {option.arg: ast.unparse(option.value) for option in call.keywords}
    into_memory = {"file", "buffer"} & set(arguments) or ast.unparse(function) in _INTO_MEMORY
    if name in _WRITING and arguments and not into_memory:
        yield "may write to a path"
    if (
        name in _TO_PATHS
        or (name in _TEXTS and method and (arguments or {"buf", "path_or_buf"} & set(options)))
        or (name in ("write_text", "write_bytes") and method)
    ):
        yield "writes to a path"
    if name in ("open", "fdopen") and any(mode[:2] in ("'w", "'a", "'x") for mode in (*arguments, *options.values())):
        yield "writes to a path"
    if name == "read_text" and method and "encoding" not in options:
        yield "reads text in the encoding of the machine"


def test_nothing_writes_a_file_in_another_way():
    """What writes to a path by itself leaves half a file on a full disk, or text in the machine's encoding."""
    folder = Path(robustxai.__file__).parent
    sources = [path for path in folder.rglob("*.py") if path != Path(_files.__file__)]
    found = [
        f"{path.relative_to(folder)}: {ast.unparse(node)} {fault}"
        for path in sources
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        for fault in faults(node)
    ]
    assert len(sources) > 100
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        "frame.to_csv(out / 'a.csv', index=False)",
        "figure.savefig(path, dpi=110)",
        "joblib.dump(value, path)",
        "torch.save(state, self.path_)",
        "np.savez(path, a=1)",
        "open(path, 'w')",
        "path.open(mode='wb')",
        "path.write_text(text, encoding='utf-8')",
        "path.read_text()",
    ],
)
def test_that_test_knows_the_other_ways(line):
    assert list(faults(ast.parse(line).body[0].value))


# ------------------------------------------------------------------------------------------- read as written


@pytest.mark.parametrize("tail", [b"", b'"}'])
def test_a_seal_covers_every_byte(tail):
    head = bytes(range(256))
    raw = seal(head, tail)
    assert unseal(raw, tail) == head
    for place in range(len(raw)):
        for change in (1, 32, 255):
            with pytest.raises(ValueError, match="altered"):
                unseal(raw[:place] + bytes([raw[place] ^ change]) + raw[place + 1 :], tail)
    for end in range(len(raw)):
        with pytest.raises(ValueError, match="altered"):
            unseal(raw[:end], tail)


@pytest.mark.parametrize("content", [b"", b"some content", bytes(5_000)])
def test_a_sealed_file_is_what_was_written_or_refused(tmp_path, content):
    path = tmp_path / "file"
    write_sealed(path, content, "this")
    write_sealed(tmp_path / "other", content, "that")
    assert read_sealed(path, "this", "") == content
    good, n_refused = path.read_bytes(), 0
    for name, damaged in damages(good, foreign=(tmp_path / "other").read_bytes()):
        if damaged == good:
            continue
        path.write_bytes(damaged)
        with pytest.raises(AlteredFileError, match=r"file cannot be used: .*Delete it\."):
            print(name, read_sealed(path, "this", "Delete it."))
        n_refused += 1
    assert n_refused > 250


def test_what_cannot_be_read_is_refused_and_what_is_not_there_is_said(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError):
        read_sealed(tmp_path / "file", "this", "")
    (tmp_path / "file").mkdir()
    with pytest.raises(AlteredFileError, match=r"A folder is in the place of a file; move it away\. Delete it"):
        read_sealed(tmp_path / "file", "this", "Delete it.")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(AlteredFileError, match="Something else is in the place"):
        read_sealed(tmp_path / "pipe", "this", "")
    with pytest.raises(FileExistsError, match="Something else is in the place"):
        write_text(tmp_path / "pipe", "text")
    (tmp_path / "file").rmdir()
    write_sealed(tmp_path / "file", b"content", "this")

    def denied(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", denied)
    with pytest.raises(AlteredFileError, match=r"file cannot be used: Permission denied\. Delete it"):
        read_sealed(tmp_path / "file", "this", "Delete it.")
