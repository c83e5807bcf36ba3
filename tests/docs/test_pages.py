"""The reader of the pages: what is a figure, how it is written, what is found wrong and what is rewritten."""

import datetime

import pandas as pd
import pytest

from . import pages, queries, versions
from .pages import Page, numbers, written_like


@pytest.fixture
def table(monkeypatch):
    """A CSV of two defenses and two seeds in the place of results.csv."""
    frame = pd.DataFrame(
        {
            "data": "adult",
            "defense": ["a", "a", "b", "b"],
            "seed": [0, 1, 0, 1],
            "roc_auc": [0.8, 0.9, 0.5, 0.6],
            "precision_at_k": [0.25, 0.26, 1.0, 1.0],
        }
    )
    monkeypatch.setattr(queries, "csv", lambda name: frame)
    return frame


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("AUC 0.85, P@8 .979", ["0.85", ".979"]),
        ("+0.4 points, (-0.7) and -0.1", ["+0.4", "-0.7", "-0.1"]),
        ("1,000 rows, 32,000 pairs, 35 %", ["1,000", "32,000", "35"]),
        ("0.72 to 0.84; 2.26 x", ["0.72", "0.84", "2.26"]),
        ("`k=8` and [a page](b_9.md) <!-- 6 --> https://x.org/5", []),
        ("R2ET in l2, float32, ResNet9, CIFAR-10 of 28 x 28 and 28-64-32", []),
        ("P@8 at epsilon 0.25 of the top 8, Table 3, Eq. 6, Section 4.4, 2023, seed 0, a 75 : 25 split", []),
        ("ends with 3. Then 4.", ["3", "4"]),
        ("| 0.5 | 1.000 to 1.000 |", ["0.5", "1.000", "1.000"]),
    ],
)
def test_what_is_a_figure(text, expected):
    assert [match.group() for match in numbers(text)] == expected


@pytest.mark.parametrize(
    ("value", "model", "expected"),
    [
        (0.97949, "0.98", "0.98"),
        (0.97949, ".979", ".979"),
        (1.0, ".979", "1.000"),
        (35.4, "70", "35"),
        (-0.68, "+0.4", "-0.7"),
        (0.68, "-0.7", "+0.7"),
        (-0.001, "0.10", "0.00"),
        (31999.6, "1,000", "32,000"),
        (1e6, "100", "1000000"),
    ],
)
def test_a_value_is_written_as_its_model_is(value, model, expected):
    assert written_like(value, model) == expected


PAGE = """# A page

The AUC is 0.85 and the worst P@8 0.255, on 2 seeds.
<!-- figures
benchmark("auc", "adult", "a")
benchmark("worst", "adult",
          "a")
seeds("results")
holds: benchmark("auc", "adult", "a") > benchmark("auc", "adult", "b")
-->

* From 0.55 to 0.85.
  <!-- figures
  span(benchmark("auc", "adult", ("a", "b")))
  -->
* No figure.

```python
>>> 1 + 1
2

```
"""


def test_a_page_whose_figures_are_right_has_no_problem(table):
    assert Page(PAGE).problems() == []
    assert Page(PAGE).updated() == PAGE


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("0.85 and", "0.86 and", "says 0.86"),
        ("From 0.55", "From 0.5", None),
        ("No figure.", "No figure but 0.7.", "0.7 stands on no query"),
        ("on 2 seeds", "on some seeds", "2 figures"),
        ("0.85 and", "0.85, in fact 0.85, and", "4 figures"),
        ('benchmark("auc", "adult", "a")\n', 'benchmark("auc", "adult", "c")\n', "cannot be computed"),
        ("holds: benchmark", "holds: -benchmark", "no longer true"),
    ],
)
def test_what_is_wrong_is_found(table, old, new, problem):
    assert PAGE.count(old) >= 1
    problems = Page(PAGE.replace(old, new, 1), "p.md").problems()
    if problem is None:  # fewer decimals are as true
        assert [p for p in problems if "0.5," in p] == problems
    else:
        assert len(problems) == 1
        assert problem in problems[0]
        assert problems[0].startswith("p.md:")


def test_an_update_takes_new_results_into_the_text_and_reports_what_is_no_longer_true(table):
    table.loc[:1, "roc_auc"] = [0.41, 0.43]
    new = Page(PAGE).updated()
    assert "The AUC is 0.42 and the worst P@8 0.255, on 2 seeds." in new
    assert "* From 0.42 to 0.55." in new
    (problem,) = Page(new).problems()
    assert "no longer true" in problem
    table.loc[:1, "roc_auc"] = [0.8, 0.9]
    assert Page(new).updated() == PAGE


def test_a_generated_table_is_compared_and_rewritten(monkeypatch):
    monkeypatch.setattr(pages.tables, "small", lambda: "| 1 |", raising=False)
    text = "A\n\n<!-- table: small -->\n\n| 2 |\n\n<!-- end table -->\n\nB\n"
    assert (
        Page(text).problems() == ["page:3: the table small is not what its CSV makes."]
        or len(Page(text).problems()) == 1
    )
    new = Page(text).updated()
    assert "| 1 |" in new
    assert "| 2 |" not in new
    assert Page(new).problems() == []
    assert Page(new).updated() == new


def test_what_cannot_be_computed_is_reported_and_left_as_it_is(table):
    text = (
        "A 5.\n<!-- figures\n1 / 0\n-->\n\nB 6.\n<!-- figures\n7\n-->\n\n<!-- table: no_such -->\n<!-- end table -->\n"
    )
    new = Page(text).updated()
    assert new == text.replace("B 6.", "B 7.")
    made, divided = Page(new).problems()
    assert "no_such cannot be made" in made
    assert "1 / 0 cannot be computed" in divided


def test_queries_refuse_what_no_row_has(table):
    with pytest.raises(ValueError, match="no row"):
        queries.means("results", "auc", data="adult", defense="c")


def test_a_new_csv_is_written_down_with_its_day(tmp_path, monkeypatch):
    monkeypatch.setattr(versions, "RESULTS", tmp_path)
    monkeypatch.setattr(versions, "VERSIONS", tmp_path / "versions.csv")
    (tmp_path / "a.csv").write_text("x\n1\n")
    lines = {"name": ["a"], "version": ["0.0.1"], "date": ["2020-01-02"], "sha256": [versions.digest("a")]}
    pd.DataFrame({**lines, "state": "older", "command": "make a"}).to_csv(tmp_path / "versions.csv", index=False)
    assert versions.stale() == []
    assert "older version" in versions.version_line("a")
    assert "2 January 2020" in versions.version_line("a")
    (tmp_path / "a.csv").write_text("x\n2\n")
    assert versions.stale() == ["a"]
    versions.refresh(datetime.date(2026, 11, 26))
    assert versions.stale() == []
    assert versions.version_line("a").endswith("on 26 November 2026.")
    (tmp_path / "b.csv").write_text("x\n")
    with pytest.raises(ValueError, match=r"b\.csv has no line"):
        versions.refresh()
