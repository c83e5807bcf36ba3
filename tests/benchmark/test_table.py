import math
import re

import numpy as np
import pandas as pd
import pytest

from robustxai.benchmark import comparison_markdown, summarize, to_markdown, write_tables
from robustxai.benchmark._table import COLUMNS

#: Columns that trees have not, and their headings.
STABILITY = {
    "precision_at_k": "P@5 worst",
    "precision_at_k_auto": "P@5 attacked (auto)",
    "certified_precision_at_k": "P@5 certified",
    "first_flip": "first flip",
}


@pytest.fixture
def cells():
    rng = np.random.default_rng(0)
    rows = [
        {"data": data, "defense": defense, "seed": seed, "k": 5, "epsilon": 0.25, "norm": "inf", "n_features": n}
        | ({name: rng.uniform() for name in STABILITY} if defense != "trees" else {})
        | {"roc_auc": rng.uniform(), "fit_seconds": rng.uniform()}
        for data, n in (("b", 4), ("a", 7))
        for seed in range(3)
        for defense in ("z", "trees", "y")
    ]
    return pd.DataFrame(rows)


def naive(cells, data, defense, metric):
    values = [r[metric] for _, r in cells.iterrows() if (r["data"], r["defense"]) == (data, defense)]
    mean = sum(values) / len(values)
    return mean, math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1))


def test_mean_and_standard_deviation_over_seeds(cells):
    table = summarize(cells)
    assert list(table.index) == [(data, defense) for data in "ba" for defense in ("z", "trees", "y")]
    metrics = ["roc_auc", *STABILITY, "fit_seconds"]
    assert list(table.columns) == [(metric, part) for metric in metrics for part in ("mean", "sd")]
    for data, defense in table.index:
        for metric in metrics:
            expected = naive(cells, data, defense, metric)
            np.testing.assert_allclose(table.loc[data, defense][metric], expected, rtol=1e-12)


def test_one_seed_has_no_spread(cells):
    table = summarize(cells[cells["seed"] == 0])
    assert table.xs("sd", level=1, axis=1).isna().all(axis=None)
    assert "±" not in to_markdown(cells[cells["seed"] == 0])


def test_the_markdown_holds_every_number_and_its_spread(cells):
    text = to_markdown(cells)
    blocks = text.split("### ")[1:]
    assert [block.splitlines()[0] for block in blocks] == [
        "b (4 features, epsilon 0.25 in linf, 3 seeds)",
        "a (7 features, epsilon 0.25 in linf, 3 seeds)",
    ]
    for data, block in zip("ba", blocks):
        lines = block.splitlines()[2:]
        header = [cell.strip() for cell in lines[0].strip("|").split("|")]
        assert header == ["defense", "AUC", *STABILITY.values(), "fit s"]
        assert lines[1].count("|") == len(header) + 1
        for line, defense in zip(lines[2:], ("z", "trees", "y")):
            values = [cell.strip() for cell in line.strip("|").split("|")]
            expected = [defense]
            for metric in ("roc_auc", *STABILITY, "fit_seconds"):
                mean, sd = naive(cells, data, defense, metric)
                digits = COLUMNS[metric][1]
                expected.append("-" if math.isnan(mean) else f"{mean:.{digits}f} ± {sd:.{digits}f}")
            assert values == expected


@pytest.mark.parametrize("reference", [None, "y"])
def test_paired_differences_follow_the_tables(cells, reference):
    named = cells.replace({"defense": {"z": "r2et"}})
    chosen = reference or "r2et"
    tables, compared = to_markdown(named, reference=reference).split(f"### Against {chosen}\n\n")
    assert compared == comparison_markdown(named, chosen)
    assert tables.rstrip() == to_markdown(cells).replace("| z |", "| r2et |").rstrip()


def test_the_files_hold_the_cells_and_the_tables(cells, tmp_path):
    csv, markdown = write_tables(cells, tmp_path / "new" / "folder")
    assert (csv.name, markdown.name) == ("results.csv", "results.md")
    read = pd.read_csv(csv, dtype={"norm": str})  # or "inf" is read as a number
    assert list(read.columns) == list(cells.columns)
    pd.testing.assert_frame_equal(read, cells, rtol=1e-5)
    assert markdown.read_text(encoding="utf-8") == to_markdown(cells)


def test_a_table_of_trees_alone_has_no_empty_columns(cells):
    trees = cells[cells["defense"] == "trees"]
    assert "P@" not in to_markdown(trees)
    assert to_markdown(trees.drop(columns=list(STABILITY))) == to_markdown(trees)


def test_a_defense_without_a_certificate_has_a_dash(cells):
    cells.loc[cells["defense"] == "y", "certified_precision_at_k"] = np.nan
    lines = to_markdown(cells).splitlines()
    column = lines[2].split(" | ").index("P@5 certified")
    certified = {line.split(" | ")[0]: line.split(" | ")[column] for line in lines[4:7]}
    assert certified["| y"] == certified["| trees"] == "-"
    assert re.fullmatch(r"0\.\d{3} ± 0\.\d{3}", certified["| z"])
