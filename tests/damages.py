"""What happens to files: bytes that change, files that are cut or mixed up, disks that are full."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator

import numpy as np

from robustxai import _files


def damages(content: bytes, *, seed: int = 0, foreign: bytes | None = None) -> Iterator[tuple[str, bytes]]:
    """Names and contents: 200 flips of a byte, 50 cuts, 10 blocks of zeros, and a few others."""
    rng = np.random.default_rng(seed)
    for number in range(200):
        place, change = int(rng.integers(len(content))), int(rng.integers(1, 256))
        # the first and the last bytes are where formats keep what no checksum of their own covers
        place = number if number < 15 else len(content) - 1 - (number - 15) if number < 30 else place
        place %= len(content)
        yield f"flip {place} by {change}", content[:place] + bytes([content[place] ^ change]) + content[place + 1 :]
    for cut in {*(int(n) for n in rng.integers(len(content), size=47)), len(content) - 1, 1}:
        yield f"cut at {cut}", content[:cut]
    for start in rng.integers(len(content), size=10):
        end = min(int(start) + 512, len(content))
        yield f"zeros {start} to {end}", content[:start] + bytes(end - int(start)) + content[end:]
    for more in (b"\n", b"\0", b" ", b"}", b"\0" * 512, content):
        yield f"appended {more[:5]!r}", content + more
        yield f"put in front {more[:5]!r}", more + content
    middle = len(content) // 2
    yield "halves in the other order", content[middle:] + content[:middle]
    yield "a byte left out", content[:middle] + content[middle + 1 :]
    yield "empty", b""
    for text in ("[]", "{}", "null", "1", '"text"', '{"data": 1}', '[{"seed": 0}]', "nan", "\ufeff{}", "<html>"):
        yield f"text {text}", text.encode()
    if foreign is not None:
        yield "the file of another", foreign


class _FullDisk(io.FileIO):
    """A file on a disk with room for so many bytes."""

    def __init__(self, handle: int, mode: str, room: int) -> None:
        super().__init__(handle, mode)
        self.room = room

    def write(self, data):  # type: ignore[override]
        if self.room <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = super().write(bytes(data)[: self.room])
        self.room -= written
        return written


def fill_the_disk(monkeypatch, room: int) -> None:
    """From now on every file that the library writes finds room for so many bytes, and no more."""

    def fdopen(handle, mode, **text):
        file = io.BufferedWriter(_FullDisk(handle, mode, room), buffer_size=16)
        return file if "b" in mode else io.TextIOWrapper(file, **text)

    monkeypatch.setattr(_files.os, "fdopen", fdopen)
