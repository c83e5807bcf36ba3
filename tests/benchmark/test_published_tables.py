"""What README.md and docs/results say is what the committed CSV files hold.

After a run has replaced a CSV: ``to_markdown``, ``bracket_markdown`` and ``bracket_summary`` of it make the lines.
"""

from pathlib import Path

import pandas as pd
import pytest

from robustxai.benchmark import (
    atex_images_markdown,
    bracket_markdown,
    bracket_summary,
    shapes_markdown,
    summarise,
    to_markdown,
)

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "docs" / "results"
#: Lines of the README -> defence.
LABELS = {
    "logistic regression": "logistic_regression",
    "gradient-boosted trees": "gradient_boosting",
    "Vanilla (ReLU)": "vanilla",
    "weight decay": "weight_decay",
    "Softplus": "softplus",
    "Softplus, weight decay": "softplus_weight_decay",
    "estimated Hessian": "estimated_hessian",
    "R2ET": "r2et",
    "certified R2ET": "certified_r2et",
}


def lines_of(text):
    return {line for line in text.splitlines() if line}


def readme_table(after):
    """The first table behind these words: label to cells."""
    lines = (ROOT / "README.md").read_text(encoding="utf-8").split(after, 1)[1].splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("|"))
    table = {}
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        label, *values = (cell.strip() for cell in line.strip("|").split("|"))
        table[label.strip("*")] = values
    return table


@pytest.fixture(scope="module")
def bracket():
    return pd.read_csv(RESULTS / "bracket.csv")


@pytest.fixture(scope="module")
def results():
    return pd.read_csv(RESULTS / "results.csv", dtype={"norm": str})


def test_the_tables_of_the_benchmark(results):
    page = lines_of((RESULTS / "README.md").read_text(encoding="utf-8"))
    assert lines_of(to_markdown(results)) - page == set()
    # and no line of an older run beside them
    named = {line for line in page if line.startswith(tuple(f"| {defence} |" for defence in LABELS.values()))}
    assert named - lines_of(to_markdown(results)) == set()


def test_the_tables_of_the_bracket(bracket):
    page = lines_of((RESULTS / "bracket.md").read_text(encoding="utf-8"))
    assert lines_of(bracket_markdown(bracket)) - page == set()
    named = {line for line in page if line.startswith(tuple(f"| {defence} |" for defence in LABELS.values()))}
    assert named - lines_of(bracket_markdown(bracket)) == set()


def test_the_table_of_the_readme(results):
    table = readme_table("## Results")
    assert table.pop("") == ["AUC", "P@8"] * 3
    means = summarise(results)
    del table["---"]
    assert {LABELS[label] for label in table if label} == set(results["defence"])
    for label, cells in table.items():
        expected = []
        for data in ("adult", "bank", "compas"):
            row = means.loc[(data, LABELS[label])]
            for metric, digits in (("roc_auc", 4), ("precision_at_k", 3)):
                mean, sd = row[metric]
                expected.append("-" if pd.isna(mean) else f"{mean:.{digits}f} ± {sd:.{digits}f}")
        assert cells == expected, label


def test_the_bracket_of_the_readme(bracket):
    table = readme_table("### The bracket")
    adult = bracket[bracket["data"] == "adult"]
    shown = {LABELS[label]: label for label in table if label in LABELS}
    assert shown.keys() >= {"logistic_regression", "vanilla", "softplus", "r2et", "certified_r2et"}
    for line in bracket_summary(adult, shown).splitlines():
        label, *values = (cell.strip() for cell in line.strip("|").split("|"))
        assert table[label] == values, label
    assert table[""] == ["AUC", "epsilon 0.1", "epsilon 0.25", "epsilon 0.5"]
    for label in shown.values():
        for ends in table[label][1:]:
            certified, attacked = map(float, ends.split(" to "))
            assert 0 <= certified <= attacked <= 1


@pytest.mark.parametrize(
    ("stem", "markdown"), [("r2et-shapes", shapes_markdown), ("atex-images", atex_images_markdown)]
)
def test_images_and_graphs(stem, markdown):
    text = (RESULTS / f"{stem}.md").read_text(encoding="utf-8")
    tables = lines_of(markdown(pd.read_csv(RESULTS / f"{stem}.csv")))
    assert len(tables) > 8
    assert tables <= lines_of(text)
