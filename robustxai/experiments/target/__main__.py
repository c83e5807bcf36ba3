"""Train to a target of attacked stability on tables, beside logistic regression and unconstrained networks."""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path

from robustxai._files import write_csv, write_text
from robustxai.experiments.target._cell import MODELS
from robustxai.experiments.target._figures import draw_frontiers
from robustxai.experiments.target._study import TargetStudy
from robustxai.experiments.target._tables import target_page


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m robustxai.experiments.target", description=__doc__)
    parser.add_argument("out", type=Path, help="folder for the results; the same one resumes")
    parser.add_argument("--data", default=",".join(map(str, TargetStudy.data)), help="tables, separated by commas")
    parser.add_argument("--defenses", default=",".join(MODELS), help="models, separated by commas (default: all)")
    parser.add_argument("--seeds", type=int, default=TargetStudy.seeds, help="splits (default: %(default)s)")
    parser.add_argument("--n-rows", type=int, default=TargetStudy.n_rows, help="attacked rows (default: %(default)s)")
    parser.add_argument("--n-jobs", type=int, default=1, help="processes (default: %(default)s)")
    options = parser.parse_args(arguments)
    data, defenses = tuple(options.data.split(",")), tuple(options.defenses.split(","))
    study = TargetStudy(data, defenses, options.seeds, n_rows=options.n_rows)
    table = study.run(options.out, n_jobs=options.n_jobs)
    write_csv(table, options.out / "target.csv")
    write_text(options.out / "target.md", target_page(table))
    print(target_page(table))
    if importlib.util.find_spec("matplotlib") is not None:
        draw_frontiers(table, options.out)


if __name__ == "__main__":
    main()
