"""Text of a user's file: decompressed, decoded, and refused with a message if it is not text."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from pathlib import Path

from charset_normalizer import from_bytes

from robustxai._table_bytes import table_bytes
from robustxai.exceptions import TableError

__all__ = ["Say", "read_text"]

#: Function that reports an observation.
Say = Callable[[str], None]

#: First bytes of files that are not text, and the advice for each.
_FORMATS = {
    b"PK\x03\x04": "a zip archive or a workbook of a spreadsheet program; export the sheet as CSV",
    b"\xd0\xcf\x11\xe0": "a workbook of an old spreadsheet program; export the sheet as CSV",
    b"ARROW1": "an Arrow file; write it as CSV with pandas.read_feather(path).to_csv(new, index=False)",
    b"\x89HDF": "an HDF5 file; write the table in it as CSV",
    b"SQLite format 3": "a database; write the table in it as CSV",
    b"%PDF": "a PDF document; export the table in it as CSV",
    b"\x1f\x8b": "compressed by gzip without the ending .gz; give it this ending",
    b"\x80\x04": "a pickle; write it as CSV with pandas.read_pickle(path).to_csv(new, index=False)",
    b"\x80\x05": "a pickle; write it as CSV with pandas.read_pickle(path).to_csv(new, index=False)",
}

#: Longest first, because the mark of UTF-16 is a prefix of that of UTF-32.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

#: Candidates where most letters are not ASCII.
_OTHER_SCRIPTS = [
    "cp1251", "koi8_r", "cp1253", "cp1255", "cp1256", "shift_jis", "euc_jp", "gb18030", "big5", "euc_kr", "cp874",
]  # fmt: skip


def read_text(path: Path, encoding: str | None, say: Say) -> str:
    """Return the text of a file.

    Without `encoding`, a byte order mark decides; then UTF-8 is tried, UTF-16 where every other byte is 0, and last
    what a text in one byte per letter mostly is: cp1252, which latin-1 is a part of. Where most letters are beyond
    ASCII, as in Russian or Japanese, the library charset-normalizer guesses instead. A guess is said.

    Raises
    ------
    TableError
        The file cannot be opened, is no text, or cannot be decoded.
    """
    raw = table_bytes(path)
    if not raw.strip(b"\x00\r\n\t "):
        raise TableError(
            f"{path} cannot be read as a table: it is empty. Give the path of a file with a header and rows."
        )
    for beginning, what in _FORMATS.items():
        if raw.startswith(beginning):
            raise TableError(f"{path} cannot be read as a table: it is {what}.")
    text = _decoded(path, raw, encoding) if encoding is not None else _guessed(path, raw, say)
    if "\x00" in text:
        raise TableError(
            f"{path} cannot be read as a table: it holds bytes that no text has. Export it as CSV, or name its "
            "encoding "
            "(encoding=, --encoding)."
        )
    return text.removeprefix("\ufeff")


def _decoded(path: Path, raw: bytes, encoding: str) -> str:
    try:
        codecs.lookup(encoding)
    except LookupError:
        raise TableError(
            f"There is no encoding {encoding!r}. Use a name such as utf-8, cp1252 or utf-16, or leave it out to have "
            "it found."
        ) from None
    try:
        return raw.decode(encoding)
    except UnicodeError as error:
        place = f", line {raw[: error.start].count(10) + 1}" if isinstance(error, UnicodeDecodeError) else ""
        raise TableError(
            f"{path} cannot be read as {encoding} ({error}{place}). Leave encoding out (--encoding) to have it found."
        ) from error


def _guessed(path: Path, raw: bytes, say: Say) -> str:
    for mark, name in _MARKS:
        if raw.startswith(mark):
            return _decoded(path, raw, name)
    sample = raw[:4096]
    for name, zeros, others in (("utf-16-le", sample[1::2], sample[::2]), ("utf-16-be", sample[::2], sample[1::2])):
        if zeros.count(0) > 0.6 * len(zeros) and others.count(0) < 0.2 * len(others):
            say(f"The text is read as {name} without a byte order mark; encoding= (--encoding) names another.")
            return _decoded(path, raw, name)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        pass
    name = _one_byte(raw)
    # five bytes are undefined in cp1252; latin-1 defines every byte
    try:
        text = raw.decode(name)
    except UnicodeDecodeError:
        name = "latin-1"
        text = raw.decode(name)
    words = re.findall(r"[^\W\d_]*[^\x00-\x7f]+[^\W\d_]*", text[:1_000_000])
    example = f", such as {words[0]!r}" if words else ""
    say(f"The text is not UTF-8 and is read as {name}{example}; encoding= (--encoding) names another.")
    return text


def _one_byte(raw: bytes) -> str:
    """Return the most likely encoding of bytes that are not UTF-8."""
    letters = re.sub(rb"[\x00-\x40\x5b-\x60\x7b-\x7f]", b"", raw[:1_000_000])
    beyond = sum(byte > 127 for byte in letters)
    if beyond < 0.5 * len(letters):
        return "cp1252"
    best = from_bytes(raw[:100_000], cp_isolation=_OTHER_SCRIPTS).best()
    return "cp1252" if best is None else best.encoding
