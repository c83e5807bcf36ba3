"""Contributions of raw columns: models against each other, attacked and certified under budgets of the table."""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path

from robustxai._files import write_csv
from robustxai.benchmark import run_cells
from robustxai.experiments.columns._cell import MODELS, ColumnsCell, run_columns_cell
from robustxai.experiments.columns._tables import columns_markdown


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m robustxai.experiments.columns", description=__doc__)
    parser.add_argument("out", type=Path, help="folder for the results")
    parser.add_argument("--data", default="adult,bank,compas", help="tables, separated by commas")
    parser.add_argument("--defenses", default=",".join(MODELS), help="models, separated by commas")
    parser.add_argument("--seeds", type=int, default=1, help="splits (default: 1)")
    parser.add_argument("--max-switches", type=int, default=1, help="switches of categories of a row (default: 1)")
    parser.add_argument("--n-jobs", type=int, default=1, help="processes (default: 1)")
    options = parser.parse_args(arguments)
    grid = product(range(options.seeds), options.data.split(","), options.defenses.split(","))
    cells = [ColumnsCell(data, defense, seed, max_switches=options.max_switches) for seed, data, defense in grid]
    table = run_cells(cells, options.out, run=run_columns_cell, n_jobs=options.n_jobs)
    write_csv(table, options.out / "columns.csv")
    print(columns_markdown(table))


if __name__ == "__main__":
    main()
