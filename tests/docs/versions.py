"""Which version of the library made each CSV of docs/results.

``docs/results/versions.csv`` has a line for every CSV: the version, the date, the first digits of the file's SHA-256
and the command that makes it. A file that has changed since its line was written was made by the code as it is.
"""

from __future__ import annotations

import datetime
import hashlib
from pathlib import Path

import pandas as pd

import robustxai
from robustxai._files import write_text

__all__ = ["digest", "refresh", "stale", "version_line"]

RESULTS = Path(__file__).parents[2] / "docs" / "results"
VERSIONS = RESULTS / "versions.csv"
OLDER = "older"


def digest(name: str) -> str:
    """First digits of the SHA-256 of a CSV."""
    return hashlib.sha256((RESULTS / f"{name}.csv").read_bytes()).hexdigest()[:12]


def stale() -> list[str]:
    """Names of CSV files whose line is missing or of another content."""
    lines = pd.read_csv(VERSIONS, dtype=str).set_index("name")["sha256"].to_dict()
    names = sorted(path.stem for path in RESULTS.glob("*.csv") if path != VERSIONS)
    return [name for name in names if lines.get(name) != digest(name)]


def refresh(today: datetime.date | None = None) -> None:
    """Write down, for every CSV that has changed, that the library as it is has made it today."""
    versions = pd.read_csv(VERSIONS, dtype=str, keep_default_na=False).set_index("name")
    for name in stale():
        if name not in versions.index:
            raise ValueError(f"{name}.csv has no line in versions.csv: add one with its command.")
        day = str(today or datetime.date.today())
        versions.loc[name, ["version", "date", "sha256", "state"]] = [
            robustxai.__version__,
            day,
            digest(name),
            "current",
        ]
    write_text(VERSIONS, versions.reset_index().to_csv(index=False, lineterminator="\n"))


def version_line(name: str) -> str:
    """Say of which version and day the tables of a page are; the first line of its text."""
    line = pd.read_csv(VERSIONS, dtype=str).set_index("name").loc[name]
    day = datetime.date.fromisoformat(line["date"])
    date = f"{day.day} {day:%B %Y}"
    if line["state"] == OLDER:
        return (
            f"**The tables of this page are of an older version** (robustxai {line['version']} of {date}) and have not "
            "been rerun with the present code, which may give other figures."
        )
    return f"The tables of this page were made by robustxai {line['version']} on {date}."
