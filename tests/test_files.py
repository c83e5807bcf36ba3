import os
import stat

import pandas as pd
import pytest

from robustxai._files import file_name, write_csv, write_text, written_at_once


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
