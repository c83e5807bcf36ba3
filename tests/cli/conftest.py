import sys

import numpy as np
import pandas as pd
import pytest

from robustxai import cli


@pytest.fixture
def main(monkeypatch, capsys):
    """Runs the program in this process: (exit code, standard output, standard error)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["robustxai", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        printed = capsys.readouterr()
        return stop.value.code or 0, printed.out, printed.err

    return run


def applicants(n=240):
    """Two numbers, an amount with gaps, categories, an id and the label."""
    r = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "id": [f"u{i}" for i in range(n)],
            "age": r.integers(18, 81, n),
            "income": r.lognormal(10, 0.5, n).round(2),
            "debts": r.integers(0, 12, n),
            "home": r.choice(["own", "rent", "free"], n),
        }
    )
    X.loc[::9, "income"] = np.nan
    score = X["age"] / 20 - X["debts"] / 3 + 2 * (X["home"] == "own") + r.normal(0, 0.5, n)
    return X.assign(paid=np.where(score > score.median(), "yes", "no"))


@pytest.fixture(scope="package")
def folder(tmp_path_factory):
    """A folder with the table data.csv and the model that was trained on it."""
    from typer.testing import CliRunner

    place = tmp_path_factory.mktemp("own table")
    applicants().to_csv(place / "data.csv", index=False)
    arguments = ["fit", place / "data.csv", "--target", "paid", "--drop", "id", "--out", place / "model"]
    arguments += [
        "--k",
        "2",
        "--budget",
        "age=2",
        "--immutable",
        "home,income",
        "--n-rows",
        "4",
        "--defense",
        "additive",
    ]
    result = CliRunner().invoke(cli.app, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    (place / "said").write_text(result.output, encoding="utf-8")
    return place
