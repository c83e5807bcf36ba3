"""Where output goes: tables to one stream, all else to the other."""

from __future__ import annotations

import io
import sys

from rich.console import Console

__all__ = ["console", "messages", "speak_utf8"]


#: Output: tables and the names of written files.
console = Console()
#: Progress, notes and errors: they reach the terminal with `robustxai ... > table.txt` too.
messages = Console(stderr=True)


def speak_utf8() -> None:
    """Write UTF-8 to pipes and files regardless of the locale; a terminal gets the characters that it can show.

    Arguments that the locale cannot decode hold surrogates, which are written as the original bytes.
    """
    for stream in (sys.stdout, sys.stderr):
        if not isinstance(stream, io.TextIOWrapper):
            continue  # replaced by a notebook or a test
        if stream.isatty() and not stream.encoding.lower().startswith("utf"):
            stream.reconfigure(errors="replace")
        else:
            stream.reconfigure(encoding="utf-8", errors="surrogateescape")
