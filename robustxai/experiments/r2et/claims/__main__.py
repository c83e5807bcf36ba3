"""Measure the numerical and the statistical stability of R2ET."""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from robustxai._files import write_csv
from robustxai.benchmark import run_cells
from robustxai.experiments.r2et.claims._cells import cells_of, run_numerical_cell, run_statistical_cell
from robustxai.experiments.r2et.claims._tables import claims_markdown, save_figure


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m robustxai.experiments.r2et.claims", description=__doc__)
    parser.add_argument("out", type=Path, help="folder for the results")
    parser.add_argument("--data", default="compas,adult", help="tables, separated by commas (default: compas,adult)")
    parser.add_argument("--seeds", type=int, default=2, help="splits, each with its own trainings (default: 2)")
    parser.add_argument("--n-jobs", type=int, default=1, help="processes (default: 1)")
    options = parser.parse_args(arguments)
    numerical, statistical = cells_of(tuple(options.data.split(",")), options.seeds)
    first = run_cells(numerical, options.out, run=run_numerical_cell, n_jobs=options.n_jobs)
    second = run_cells(statistical, options.out, run=run_statistical_cell, n_jobs=options.n_jobs)
    save_figure(first, second, options.out / "r2et-claims.png")
    table = pd.concat([first.drop(columns=["first_critical", "thickness"]), second], ignore_index=True)
    write_csv(table, options.out / "r2et-claims.csv")
    print(claims_markdown(table))


if __name__ == "__main__":
    main()
