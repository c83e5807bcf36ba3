"""Measure log loss and AUC against the number of epochs, on small and large tables."""

from __future__ import annotations

import argparse
from pathlib import Path

from robustxai._files import written_at_once
from robustxai.benchmark import run_cells
from robustxai.experiments.default_epochs._cell import SIZES, cells_of, run_epochs_cell
from robustxai.experiments.default_epochs._tables import epochs_markdown, save_figure


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m robustxai.experiments.default_epochs", description=__doc__)
    parser.add_argument("out", type=Path, help="folder for the results")
    parser.add_argument("--data", default=",".join(SIZES), help="tables, separated by commas (default: all)")
    parser.add_argument("--seeds", type=int, default=3, help="draws of the training rows (default: 3)")
    parser.add_argument("--max-rows", type=int, default=10**9, help="largest training set (default: no limit)")
    parser.add_argument("--n-jobs", type=int, default=1, help="processes (default: 1)")
    options = parser.parse_args(arguments)
    cells = cells_of(tuple(options.data.split(",")), options.seeds, options.max_rows)
    table = run_cells(cells, options.out, run=run_epochs_cell, n_jobs=options.n_jobs)
    with written_at_once(options.out / "default-epochs.csv", "w") as file:
        table.to_csv(file, index=False, lineterminator="\n")
    save_figure(table, options.out / "default-epochs.png")
    print(epochs_markdown(table))


if __name__ == "__main__":
    main()
