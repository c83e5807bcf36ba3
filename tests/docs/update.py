"""Rewrite the tables and figures of README.md and docs from the CSV files of docs/results.

``python -m tests.docs.update`` from the repository's root, after a CSV has been replaced. It rewrites the generated
tables and the figures in the prose, writes down in ``docs/results/versions.csv`` which files are new, and lists the
sentences that the new figures contradict.
"""

import sys

from .pages import rewrite
from .versions import refresh


def main() -> int:
    refresh()
    problems = rewrite()
    print("\n".join(problems) or "Every figure stands on a CSV.")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
