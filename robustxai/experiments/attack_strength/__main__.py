"""Attack strength: one search per pair of units against the ensemble, on the same models and rows."""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path

from robustxai._files import write_csv
from robustxai.benchmark import run_cells
from robustxai.experiments.attack_strength._cell import StrengthCell, run_strength_cell
from robustxai.experiments.attack_strength._tables import strength_markdown


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m robustxai.experiments.attack_strength", description=__doc__)
    parser.add_argument("out", type=Path, help="folder for the results")
    parser.add_argument("--data", default="compas,adult,bank", help="tables, separated by commas")
    parser.add_argument("--defenses", default="r2et,vanilla", help="defenses, separated by commas")
    parser.add_argument("--seeds", type=int, default=1, help="splits (default: 1)")
    parser.add_argument("--n-outsiders", type=int, default=8, help="strongest outsiders in the pairs (default: 8)")
    parser.add_argument("--n-jobs", type=int, default=1, help="processes (default: 1)")
    options = parser.parse_args(arguments)
    grid = product(range(options.seeds), options.data.split(","), options.defenses.split(","))
    count = options.n_outsiders
    cells = [StrengthCell(data, defense, seed, n_outsiders=count) for seed, data, defense in grid]
    table = run_cells(cells, options.out, run=run_strength_cell, n_jobs=options.n_jobs)
    write_csv(table, options.out / "attack-strength.csv")
    print(strength_markdown(table))


if __name__ == "__main__":
    main()
