"""Every figure of README.md and docs stands on a CSV of docs/results, and every generated table is what its CSV makes.

After a CSV has been replaced: ``python -m tests.docs.update``.
"""

import re

import pandas as pd
import pytest

from . import pages, queries, tables, versions
from .constants import CONSTANTS


@pytest.mark.parametrize("name", pages.PAGES)
def test_every_figure_and_table_of_a_page_stands_on_a_csv_and_updating_changes_nothing(name):
    """In one test, because a page makes its tables once."""
    page = pages.Page((pages.ROOT / name).read_text(encoding="utf-8"), name)
    assert page.problems() == []
    assert page.updated() == page.text


def test_every_csv_has_its_version_and_every_version_its_csv():
    assert versions.stale() == []
    named = set(pd.read_csv(versions.VERSIONS)["name"])
    assert named == {path.stem for path in queries.RESULTS.glob("*.csv")} - {"versions"}


def test_every_table_is_used_and_every_page_of_an_older_version_says_so_in_its_first_line():
    text = {name: (pages.ROOT / name).read_text(encoding="utf-8") for name in pages.PAGES}
    made = {name for name, value in vars(tables).items() if callable(value) and value.__module__ == tables.__name__}
    public = {name for name in made if not name.startswith("_")}
    used = {match for page in text.values() for match in re.findall(r"<!-- table: (\w+) -->", page)}
    assert used == public
    lines = pd.read_csv(versions.VERSIONS).set_index("name")["state"]
    pages_of = {"README": "results", "r2et-paper": "r2et-tests"}
    for page in (
        "README",
        "bracket",
        "r2et-paper",
        "r2et-shapes",
        "atex-images",
        "atex-efficacy",
        "all-defenses",
        "columns",
        "target",
    ):
        csv = pages_of.get(page, page)
        title, first, *_ = (
            line for line in text[f"docs/results/{page}.md"].splitlines() if line and not line.startswith("<!--")
        )
        assert title.startswith("# ")
        assert first == versions.version_line(csv)
        assert ("older version" in first) == (lines[csv] == versions.OLDER)


def test_a_row_of_r2et_says_whose_form_it_is_and_only_the_paper_s_has_the_paper_s_figures():
    for page in ("r2et-paper", "r2et-shapes"):
        for line in (pages.ROOT / f"docs/results/{page}.md").read_text(encoding="utf-8").splitlines():
            label, _, values = line.removeprefix("| ").partition(" | ")
            if line.startswith("| R2ET"):
                assert label.endswith((", normalized", ", Eq. 6", " (paper)")) or label == "R2ET-d", line
                # in brackets stands what the paper prints
                assert "(" not in values or label.endswith((", Eq. 6", " (paper)")), line


@pytest.mark.parametrize("pattern", CONSTANTS)
def test_every_constant_has_a_reason_and_a_use(pattern):
    assert CONSTANTS[pattern]
    text = "\n".join((pages.ROOT / name).read_text(encoding="utf-8") for name in pages.PAGES)
    assert re.search(pattern, text, re.MULTILINE)
