import io
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from typer.testing import CliRunner

from robustxai import cli
from robustxai.benchmark import (
    ATTACKS,
    DATA,
    DEFENSES,
    STANDARD_ATTACKS,
    STANDARD_DEFENSES,
    STANDARD_EXPLAINERS,
    _scheduler,
)
from robustxai.benchmark._table import COLUMNS
from robustxai.cli import _benchmark, _bracket, _paper, _results, _streams
from robustxai.datasets import _base
from robustxai.experiments.bracket import _tables
from robustxai.experiments.columns import ColumnsStudy
from robustxai.experiments.r2et import Study
from tests.benchmark.test_user_table import write

SMALL = ["--attacks", "random", "--seeds", "1", "--max-iter", "5", "--n-rows", "50"]


@pytest.fixture
def main(monkeypatch, capsys):
    """Runs the program in this process: (exit code, what it printed)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["robustxai", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        printed = capsys.readouterr()
        return stop.value.code or 0, printed.out + printed.err

    return run


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """A machine with neither data nor a network."""
    empty = tmp_path / "empty"
    empty.mkdir()
    for variable in (_base.ENVIRONMENT_VARIABLE, "XDG_CACHE_HOME", "HOME"):
        monkeypatch.setenv(variable, str(empty))

    def unreachable(**kwargs):
        raise OSError("no network here")

    monkeypatch.setattr(_base, "fetch_openml", unreachable)


def cell_times(out):
    return {path.name: path.stat().st_mtime_ns for path in (out / "cells").glob("*.json")}


def one_sentence(text):
    """The last line is the error; nothing of a traceback above it."""
    assert "Traceback" not in text
    last = text.strip().splitlines()[-1]
    assert last.startswith("error: ")
    return last.removeprefix("error: ")


def test_help_names_every_data_set_defense_and_attack():
    result = CliRunner(env={"COLUMNS": "200"}).invoke(cli.app, ["benchmark", "--help"])
    assert result.exit_code == 0
    for name in (*DATA, *DEFENSES, *ATTACKS, "FILE.csv"):
        assert name in result.output
    assert CliRunner().invoke(cli.app, ["demo", "--help"]).exit_code == 0


def test_the_module_is_a_program_that_resumes(tmp_path):
    """With a file of letters beyond ASCII beside the data, in a process that is told to know none."""
    out = tmp_path / "results"
    data = f"breast_cancer,{write(tmp_path / 'Größe' / 'Übung.csv')}"
    command = [sys.executable, "-m", "robustxai.cli", "benchmark", "--data", data, "--k", "2"]
    command += ["--defenses", "logistic_regression,vanilla", *SMALL, "--out", str(out)]
    ascii_only = {"PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}
    first = subprocess.run(command, capture_output=True, encoding="utf-8", env={**os.environ, **ascii_only})
    assert first.returncode == 0, first.stderr
    assert "logistic_regression" in first.stdout
    assert "Übung: epsilon 0.5" in first.stdout
    assert "Traceback" not in first.stdout + first.stderr
    before = cell_times(out)
    assert len(before) == 4
    for cell in (out / "cells").iterdir():
        assert json.loads(cell.read_text(encoding="utf-8"))["n_features"] == (4 if "Übung" in cell.name else 30)
    cells = pd.read_csv(out / "results.csv", dtype={"norm": str}, encoding="utf-8")
    assert set(cells["data"]) == {"breast_cancer", "Übung"}
    assert "\n### Übung (4 features" in (out / "results.md").read_text(encoding="utf-8")
    assert (out / "frontier-Übung.png").exists()

    command[command.index(data)] = "breast_cancer"
    runner = CliRunner().invoke(cli.app, command[3:])  # once more, in this process
    assert runner.exit_code == 0
    assert cell_times(out) == before
    table, again = (
        [line.split() for line in text.splitlines() if line.strip().startswith(("logistic", "vanilla"))][:2]
        for text in (first.stdout, runner.output)
    )
    assert table == again

    cells = pd.read_csv(out / "results.csv", dtype={"norm": str})
    assert set(cells["defense"]) == {"logistic_regression", "vanilla"}
    assert (out / "results.md").read_text(encoding="utf-8").startswith("### breast_cancer (30 features, epsilon 0.5")
    assert (out / "frontier-breast_cancer.png").read_bytes().startswith(b"\x89PNG")
    printed = {name: values[:4] for name, *values in table}
    assert len(printed) == 2
    shown = {"roc_auc": 4, "precision_at_k": 3, "between_rows_precision": 3, "certified_precision_at_k": 3}
    for _, row in cells.iterrows():
        assert printed[row["defense"]] == [f"{row[name]:.{digits}f}" for name, digits in shown.items()]


def test_options_reach_the_experiment_as_lists_or_repeated(monkeypatch, tmp_path):
    seen = []

    def record(experiment, out, **options):
        seen.append((experiment, options))
        raise ValueError("that is all")

    monkeypatch.setattr(_benchmark, "run_experiment", record)
    names = [["--defenses", "vanilla,r2et"], ["--defenses", "vanilla", "--defenses", "r2et"]]
    rest = ["--seeds", "3", "--k", "4", "--epsilon", "0.1", "--norm", "inf", "--max-iter", "7", "--n-rows", "9"]
    for defenses in names:
        arguments = ["benchmark", "--data", "adult,bank", *defenses, *rest, "--n-jobs", "2", "--out", str(tmp_path)]
        CliRunner().invoke(cli.app, arguments)
    (first, options), (second, _) = seen
    assert first == second
    assert (first.data, first.defenses, first.attacks) == (("adult", "bank"), ("vanilla", "r2et"), STANDARD_ATTACKS)
    assert (first.seeds, first.k, first.epsilon, first.norm) == (3, 4, 0.1, "inf")
    assert (first.max_iter, first.n_rows) == (7, 9)
    assert (options["n_jobs"], options["fresh"]) == (2, False)
    assert first.certify
    CliRunner().invoke(cli.app, ["benchmark", "--data", "adult", "--no-certify", "--out", str(tmp_path)])
    assert not seen[-1][0].certify
    assert (first.explainers, first.training_explainers) == (("gradient",), ())
    some = ["--explainer", "all", "--defenses", "all", "--training-explainer", "own", "--n-train", "9"]
    some += ["--out", str(tmp_path)]
    CliRunner().invoke(cli.app, ["benchmark", "--data", "adult", *some])
    assert seen[-1][0].explainers == STANDARD_EXPLAINERS
    assert seen[-1][0].defenses == tuple(DEFENSES)
    assert (seen[-1][0].training_explainers, seen[-1][0].n_train) == (("own",), 9)


def test_the_address_of_a_scheduler_reaches_the_run_and_the_demo_has_none(monkeypatch, tmp_path):
    seen = []

    def record(experiment, out, **options):
        seen.append(options["scheduler"])
        raise ValueError("that is all")

    monkeypatch.setattr(_benchmark, "run_experiment", record)
    for arguments in (["--scheduler", "tcp://host:8786"], []):
        CliRunner().invoke(cli.app, ["benchmark", "--data", "adult", *arguments, "--out", str(tmp_path)])
    CliRunner().invoke(cli.app, ["demo", "--out", str(tmp_path)])
    assert seen == ["tcp://host:8786", None, None]


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("tcp://127.0.0.1:1", "No Dask scheduler answers at tcp://127.0.0.1:1. Start one there with 'dask scheduler'"),
        ("localhost", "scheduler='localhost' is not an address like tcp://host:8786"),
    ],
)
def test_a_scheduler_that_does_not_answer_is_one_sentence_and_exit_code_2(
    main, monkeypatch, tmp_path, address, message
):
    pytest.importorskip("distributed")
    monkeypatch.setattr(_scheduler, "_PATIENCE", 0.3)
    arguments = ["--data", "breast_cancer", "--defenses", "vanilla", *SMALL, "--scheduler", address]
    code, text = main("benchmark", *arguments, "--out", tmp_path)
    assert code == 2
    assert one_sentence(text).startswith(message)
    assert not list(tmp_path.glob("cells/*"))


@pytest.mark.parametrize("command", [["bracket"], ["paper", "r2et"], ["paper", "atex"]])
def test_every_study_goes_to_the_scheduler(main, monkeypatch, tmp_path, command):
    pytest.importorskip("distributed")
    monkeypatch.setattr(_scheduler, "_PATIENCE", 0.3)
    arguments = ["--data", "compas", "--seeds", "1", "--scheduler", "tcp://127.0.0.1:1", "--out", tmp_path]
    code, text = main(*command, *arguments)
    assert code == 2
    assert "No Dask scheduler answers at tcp://127.0.0.1:1" in one_sentence(text)


def test_a_scheduler_without_dask_is_one_sentence_that_names_the_extra(main, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "distributed", None)
    arguments = ["--data", "breast_cancer", "--defenses", "vanilla", *SMALL, "--scheduler", "tcp://host:8786"]
    code, text = main("benchmark", *arguments, "--out", tmp_path)
    assert code == 2
    assert "pip install 'robustxai[distributed]'" in one_sentence(text)


@pytest.mark.parametrize(
    "given", [["-9,?"], ["-9", "--na-values", "?"], ["-9", "--na-values", "?", "--na-values", ""]], ids=len
)
def test_a_negative_number_is_a_value_and_no_option(monkeypatch, tmp_path, given):
    seen = []
    monkeypatch.setattr(
        _benchmark, "run_experiment", lambda experiment, out, **options: seen.append(experiment) or 1 / 0
    )
    arguments = ["benchmark", "--data", "mine.csv", "--na-values", *given, "--out", str(tmp_path)]
    CliRunner().invoke(cli.app, arguments)
    assert [table.na_values for table in seen[0].data] == [("-9", "?")]


def test_the_demo_is_the_whole_table_on_the_shipped_data(monkeypatch, tmp_path):
    seen = []

    def record(experiment, out, **options):
        seen.append((experiment, options))
        raise ValueError("that is all")

    monkeypatch.setattr(_benchmark, "run_experiment", record)
    result = CliRunner().invoke(cli.app, ["demo", "--out", str(tmp_path)])
    assert isinstance(result.exception, ValueError)
    ((experiment, options),) = seen
    assert experiment.data == ("breast_cancer",)
    assert experiment.defenses == STANDARD_DEFENSES
    assert {*experiment.attacks, "auto"} == set(STANDARD_ATTACKS)
    assert "auto" not in experiment.attacks  # or it would take twice as long
    assert experiment.certify
    assert options["fresh"]
    assert "[0, 1]" in result.output
    assert f"at most {experiment.epsilon:g} in l2" in result.output


def test_the_table_in_the_terminal_has_both_ends_of_the_bracket_in_80_columns():
    rows = [
        dict.fromkeys(COLUMNS, 0.25) | {"defense": defense, "data": "adult", "seed": 0, "k": 8, "epsilon": 0.5}
        for defense in ("softplus_weight_decay", "r2et")
    ]
    cells = pd.DataFrame(rows)
    cells.loc[0, "certified_precision_at_k"] = np.nan
    screen = Console(width=80, file=io.StringIO())
    screen.print(_results.rich_table("adult", cells))
    text = screen.file.getvalue()
    for word in ("worst", "attacked", "(auto)", "certified"):
        assert word in text
    printed = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.strip()}
    without, with_it = printed["softplus_weight_decay"], printed["r2et"]
    assert len(without) == len(with_it) == len(_results.SHOWN)
    place = _results.SHOWN.index("certified_precision_at_k")
    assert (without[place], with_it[place]) == ("-", "0.250")
    assert "…" not in text


def test_a_csv_of_trees_alone_has_a_table_and_no_figure(tmp_path, main):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(120, 3)), columns=list("abc"))
    frame["label"] = np.where(frame["a"] > 0, "up", "down")
    path = tmp_path / "mine [a].csv"
    frame.to_csv(path, index=False)
    out = tmp_path / "out [b]"
    code, text = main("benchmark", "--data", path, "--defenses", "gradient_boosting", *SMALL, "--out", out)
    assert code == 0
    assert "mine [a]: epsilon 0.5" in text
    assert f"Written: {out / 'results.csv'}, {out / 'results.md'}" in text
    assert not list(out.glob("*.png"))


def test_without_matplotlib_there_is_no_figure_and_a_word_about_it(tmp_path, main, monkeypatch):
    monkeypatch.setattr(_results.importlib.util, "find_spec", lambda name: None)
    arguments = ("--data", "breast_cancer", "--defenses", "logistic_regression", *SMALL, "--out", tmp_path)
    code, text = main("benchmark", *arguments)
    assert code == 0
    assert "pip install 'robustxai[plot]'" in text
    assert not list(tmp_path.glob("*.png"))
    assert (tmp_path / "results.md").exists()


# ------------------------------------------------------------------------------------------------ bad input


def test_the_image_experiment_has_a_figure_per_data_set(monkeypatch, tmp_path):
    drawn = []

    class Display:
        figure_ = None

        @classmethod
        def from_curves(cls, curves, epsilons, **options):
            drawn.append((curves, epsilons, options))
            return cls()

    rows = pd.DataFrame({"data": ["mnist", "mnist", "other"], "arm": ["atex", "atex", "plain"], "seed": [0, 1, 0]})
    rows = rows.assign(accuracy=[0.9, 0.8, 0.7])
    for number, epsilon in enumerate((0.02, 0.04, 0.08)):
        rows[f"top_k_intersection_strongest_{epsilon}"] = rows["seed"] + number / 10
    monkeypatch.setattr(_paper, "can_plot", lambda: True)
    monkeypatch.setattr(_paper, "draw", lambda display, title, path: path)
    monkeypatch.setattr(_paper, "StabilityCurveDisplay", Display)
    paths = _paper._image_curves(rows, tmp_path)
    assert [path.name for path in paths] == ["atex-images-mnist.png", "atex-images-other.png"]
    (curves, epsilons, options), _ = drawn
    np.testing.assert_allclose(curves["atex"], [[0.0, 0.1, 0.2], [1.0, 1.1, 1.2]])
    assert epsilons == (0.02, 0.04, 0.08)
    assert options["scores"] == {"atex": pytest.approx(0.85)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "adlut"], "There is no data set 'adlut'. Did you mean 'adult'?"),
        (["--defenses", "vanila"], "There is no defense 'vanila'. Did you mean 'vanilla'?"),
        (["--attacks", "er,boundry"], "There is no attack 'boundry'. Did you mean 'boundary'?"),
        (["--epsilon", "-1"], "epsilon must be a finite number >= 0, got -1.0."),
        (["--seeds", "0"], "seeds must be a finite number >= 1, got 0."),
        (["--norm", "3"], "norm='3' is not supported; use 2 or inf."),
        (["--data", "no [/such] file.csv"], "There is no file no [/such] file.csv."),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(main, tmp_path, arguments, message):
    if "--data" not in arguments:
        arguments = ["--data", "breast_cancer", *arguments]
    code, text = main("benchmark", *arguments, "--out", tmp_path)
    assert code == 2
    assert one_sentence(text).startswith(message)
    assert not list(tmp_path.glob("cells/*"))


def test_contributions_of_columns_have_options_of_their_own(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(ColumnsStudy, "run", lambda self, out, **options: seen.append((self, options)) or 1 / 0)
    columns = ["benchmark", "--units", "columns", "--data", "adult", "--out", str(tmp_path)]
    CliRunner().invoke(cli.app, columns)
    more = ["--defenses", "r2et,vanilla", "--seeds", "2", "--k", "3", "--share", "0.1", "--max-switches", "0"]
    CliRunner().invoke(cli.app, [*columns, *more, "--n-rows", "9", "--n-jobs", "2"])
    (first, _), (second, options) = seen
    assert first == ColumnsStudy(("adult",))
    assert second == ColumnsStudy(("adult",), ("r2et", "vanilla"), 2, k=3, share=0.1, max_switches=0, n_rows=9)
    assert options["n_jobs"] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epsilon", "0.5"], "--epsilon has no meaning with --units columns: numbers have budgets by --share."),
        (["--attacks", "er"], "--attacks has no meaning with --units columns"),
        (["--no-certify"], "--no-certify has no meaning with --units columns"),
        (["--training-explainer", "own"], "--training-explainer has no meaning with --units columns"),
        (["--units", "features", "--share", "0.05"], "--share has no meaning with --units features"),
        (["--units", "feature"], "There is no unit 'feature'. Did you mean 'features'?"),
        (["--defenses", "r2te"], "There is no defense 'r2te'. Did you mean 'r2et'?"),
        (["--share", "2"], "share must be"),
    ],
)
def test_bad_input_to_columns_is_one_sentence_and_exit_code_2(main, tmp_path, arguments, message):
    code, text = main("benchmark", "--units", "columns", "--data", "adult", *arguments, "--out", tmp_path)
    assert code == 2
    assert one_sentence(text).startswith(message)
    assert not list(tmp_path.glob("cells/*"))


def test_contributions_of_the_columns_of_a_file_are_run_written_and_resumed(monkeypatch, capsys, tmp_path):
    r = np.random.default_rng(0)
    frame = pd.DataFrame({"age": r.integers(18, 80, 200), "home": r.choice(list("abc"), 200)})
    frame = frame.assign(debt=r.integers(0, 40, 200), t=(frame["age"] > 40).astype(int))
    frame.to_csv(tmp_path / "mine.csv", index=False)
    small = ["--defenses", "logistic_regression,gradient_boosting", "--seeds", "1", "--k", "1", "--n-rows", "5"]
    arguments = ["--units", "columns", "--data", tmp_path / "mine.csv", *small, "--out", tmp_path / "out"]
    monkeypatch.setattr(sys, "argv", ["robustxai", "benchmark", *map(str, arguments)])
    cli.app(standalone_mode=False)
    printed = capsys.readouterr().out
    times, rows = cell_times(tmp_path / "out"), pd.read_csv(tmp_path / "out" / "results.csv")
    assert rows["data"].tolist() == ["mine"] * 2
    assert rows.set_index("defense")["certified_precision_at_k"].isna().to_dict() == {
        "logistic_regression": False,
        "gradient_boosting": True,
    }
    text = (tmp_path / "out" / "results.md").read_text(encoding="utf-8")
    assert "| mine | gradient boosting |" in text
    assert "| mine | gradient boosting |" in printed
    cli.app(standalone_mode=False)
    assert cell_times(tmp_path / "out") == times
    assert (tmp_path / "out" / "results.md").read_text(encoding="utf-8") == text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["r2te"], "There is no paper 'r2te'. Did you mean 'r2et'?"),
        (["r2et", "--tables", "5"], "The paper has no table '5' on tabular data; valid: 1, 2, 3, 4."),
        (["r2et", "--figures", "2"], "The paper has no figure '2' on tabular data; valid: 3."),
        (["r2et", "--data", "mnits"], "There is no data set 'mnits'."),
        (["r2et", "--n-splits", "0"], "n_splits must be a finite number >= 1, got 0."),
        (["atex", "--tables", "1"], "--tables and --figures are parts of the r2et paper"),
        (["atex", "--data", "adlut"], "There is no data set 'adlut'. Did you mean 'adult'?"),
        (["r2et", "--data", "fashion_mnist"], "There is no data set 'fashion_mnist'."),
        (["atex", "--data", "abide"], "There is no data set 'abide'."),
        (["atex", "--data", "mnist", "--figures", "3"], "The paper has no figure '3' on images; valid: 2, 4."),
        (["r2et", "--data", "mnist", "--size", "smal"], "size"),
        (["r2et", "--explainer", "gradints"], "There is no explainer 'gradints'. Did you mean 'gradient'?"),
        (["r2et", "--data", "mnist", "--explainer", "smooth_grad"], "--explainer is for tables"),
        (["atex", "--data", "mnist", "--size", "smal"], "There is no size 'smal'. Did you mean 'small'?"),
    ],
)
def test_bad_input_to_paper_is_one_sentence_and_exit_code_2(main, tmp_path, arguments, message):
    code, text = main("paper", *arguments, "--out", tmp_path)
    assert code == 2
    assert one_sentence(text).startswith(message)
    assert not list(tmp_path.glob("cells/*"))


@pytest.mark.parametrize(
    ("arguments", "retrained", "flips", "numbers"),
    [
        ([], True, True, ([1, 2, 3, 4], [3])),
        (["--tables", "1,2"], False, False, ([1, 2], [])),
        (["--figures", "3"], False, True, ([], [3])),
        (["--tables", "4", "--figures", "3"], True, True, ([4], [3])),
    ],
)
def test_paper_runs_what_it_is_asked_for(monkeypatch, tmp_path, arguments, retrained, flips, numbers):
    seen, empty = [], pd.DataFrame()
    monkeypatch.setattr(
        _paper.R2ETPaper,
        "run",
        lambda self, out, **options: seen.append((self, options)) or Study(empty, empty, empty, empty),
    )
    monkeypatch.setattr(_paper, "can_plot", lambda: False)
    monkeypatch.setattr(_paper, "paper_markdown", lambda study, *given: seen.append(given) or "text")
    monkeypatch.setattr(_paper, "comparisons_markdown", lambda study: "pairs")
    arguments = [
        "paper",
        "r2et",
        "--data",
        "compas",
        "--seeds",
        "2",
        "--n-splits",
        "1",
        *arguments,
        "--out",
        str(tmp_path),
    ]
    result = CliRunner().invoke(cli.app, arguments)
    assert result.exit_code == 0, result.output
    (paper, options), given = seen
    assert paper.explainer == "gradient"
    assert (paper.data, paper.seeds, paper.n_splits) == (("compas",), 2, 1)
    assert (options["retrained"], options["flips"]) == (retrained, flips)
    assert given == numbers
    assert (tmp_path / "r2et.md").read_text() == "text\n## Paired differences\n\npairs"


def test_every_explanation_of_a_paper_has_files_of_its_own(monkeypatch, tmp_path):
    seen, tests = [], pd.DataFrame({"data": ["compas"], "value": 1})

    def run(self, out, **options):
        seen.append(self.explainer)
        return Study(pd.DataFrame(), tests, pd.DataFrame(), pd.DataFrame()) if hasattr(self, "n_splits") else tests

    monkeypatch.setattr(_paper.R2ETPaper, "run", run)
    monkeypatch.setattr(_paper.ATEXEfficacy, "run", run)
    monkeypatch.setattr(_paper, "can_plot", lambda: False)
    monkeypatch.setattr(_paper, "paper_markdown", lambda study, *given: "text")
    monkeypatch.setattr(_paper, "comparisons_markdown", lambda study: "pairs")
    monkeypatch.setattr(_paper, "efficacy_markdown", lambda results: "text")
    for name in ("r2et", "atex"):
        some = ["--data", "compas", "--explainer", "gradient,smooth_grad", "--out", str(tmp_path)]
        result = CliRunner().invoke(cli.app, ["paper", name, *some])
        assert result.exit_code == 0, result.output
    assert seen == ["gradient", "smooth_grad"] * 2
    csvs = {path.name for path in tmp_path.glob("*.csv")}
    assert csvs == {"r2et-tests.csv", "r2et-smooth_grad-tests.csv", "atex.csv", "atex-smooth_grad.csv"}


@pytest.mark.parametrize(
    ("paper", "study", "markdown", "stem", "part"),
    [
        ("r2et", "R2ETShapes", "shapes_markdown", "r2et-shapes", ()),
        ("atex", "ATEXImages", "atex_images_markdown", "atex-images", ("--tables", "1,2,3,4")),
        ("atex", "ATEXImages", "atex_images_markdown", "atex-images", ("--figures", "2")),
        ("atex", "ATEXFigure4", "efficacy_markdown", "atex-figure-4", ("--figures", "4")),
    ],
)
def test_images_and_graphs_have_experiments_of_their_own(monkeypatch, tmp_path, paper, study, markdown, stem, part):
    seen, table = [], pd.DataFrame({"data": ["mnist"], "value": [1 / 3]})

    def run(self, out, *, progress, **options):
        progress(1, 1, {"data": "mnist", "seed": 0, "arm" if paper == "atex" else "method": "vanilla"})
        seen.append((self, options))
        return table

    monkeypatch.setattr(getattr(_paper, study), "run", run)
    monkeypatch.setattr(_paper, markdown, lambda results: "text" if results is table else "another")
    monkeypatch.setattr(_paper, "can_plot", lambda: False)
    arguments = ["paper", paper, "--data", "mnist", "--seeds", "2", "--size", "full", "--out", str(tmp_path)]
    result = CliRunner().invoke(cli.app, [*arguments, *part])
    assert result.exit_code == 0, result.output
    ((given, options),) = seen
    assert (given.data, given.seeds, given.size) == (("mnist",), 2, "full")
    assert options == {"n_jobs": 1, "scheduler": None}
    assert (tmp_path / f"{stem}.md").read_text() == "text"
    assert (tmp_path / f"{stem}.csv").read_text() == "data,value\nmnist,0.333333\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "adlut"], "There is no data set 'adlut'. Did you mean 'adult'?"),
        (["--defenses", "gradient_boosting"], "gradient_boosting has no explanations of its own"),
        (["--n-rows", "0"], "n_rows must be a finite number >= 1, got 0."),
    ],
)
def test_bad_input_to_bracket_is_one_sentence_and_exit_code_2(main, tmp_path, arguments, message):
    code, text = main("bracket", *arguments, "--out", tmp_path)
    assert code == 2
    assert one_sentence(text).startswith(message)
    assert not list(tmp_path.glob("cells/*"))


def test_bracket_writes_tables_and_a_figure_per_data_set(monkeypatch, tmp_path):
    seen = []
    rows = pd.DataFrame({"data": ["bank", "compas"], "defense": "vanilla", "seed": 0, "epsilon": 0.1, "k": 8})
    rows = rows.assign(n_rows=9, n_features=20, warning="")
    columns = (*_tables._POINT_COLUMNS, *_tables._RADIUS_COLUMNS, *_tables._MODEL)
    rows = rows.assign(**{column: 0.5 for _, column, _ in columns if column != "gap"})
    monkeypatch.setattr(_bracket.Bracket, "run", lambda self, out, **options: seen.append((self, options)) or rows)
    arguments = ["bracket", "--data", "bank,compas", "--defenses", "vanilla", "--seeds", "2", "--n-rows", "9"]
    result = CliRunner().invoke(cli.app, [*arguments, "--n-jobs", "2", "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    ((study, options),) = seen
    assert study == _bracket.Bracket(("bank", "compas"), ("vanilla",), seeds=2, n_rows=9)
    assert options["n_jobs"] == 2
    text = (tmp_path / "bracket.md").read_text(encoding="utf-8")
    assert text.startswith("### bank (20 features, 1 seed, 9 rows each)")
    assert len(pd.read_csv(tmp_path / "bracket.csv")) == 2
    for name in ("bank", "compas"):
        assert (tmp_path / f"bracket-{name}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("data", "reason"), [("bank", "there is nothing to download"), ("adult", "no network here")])
def test_absent_data_are_one_sentence_that_says_what_to_do(main, nowhere, tmp_path, data, reason):
    code, text = main("benchmark", "--data", data, "--defenses", "vanilla", *SMALL, "--out", tmp_path / "out")
    assert code == 2
    sentence = one_sentence(text)
    assert sentence.startswith(f"The {data} data are not on this machine")
    assert reason in sentence
    assert "ROBUSTXAI_DATA" in sentence


def test_a_csv_that_is_no_table_names_the_file(main, tmp_path):
    path = tmp_path / "long rows.csv"
    path.write_bytes(b"a,b\n1,2,3\n")
    code, text = main("benchmark", "--data", path, *SMALL, "--out", tmp_path / "out")
    assert code == 2
    assert f"{path} cannot be read as a table: its rows have more fields than its header" in one_sentence(text)


def test_an_output_folder_that_cannot_be_made(main, tmp_path):
    path = tmp_path / "file"
    path.write_text("in the way")
    code, text = main("benchmark", "--data", "breast_cancer", *SMALL, "--out", path)
    assert code == 2
    assert str(path) in one_sentence(text)


def test_an_option_of_the_wrong_kind_is_told_by_typer(main, tmp_path):
    code, text = main("benchmark", "--data", "breast_cancer", "--seeds", "many", "--out", tmp_path)
    assert code == 2
    assert "--seeds" in text
    assert "Traceback" not in text


# ------------------------------------------------------------------------------------------------ streams


def test_tables_go_to_one_stream_and_all_else_to_the_other(monkeypatch, capsys, tmp_path):
    """`robustxai ... > table.txt` leaves errors, notes and progress on the terminal; one bad table costs no other."""
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(80, 3)), columns=list("abc"))
    frame = frame.assign(t=np.arange(80) % 2)
    frame.to_csv(tmp_path / "good.csv", index=False, sep=";")
    frame.assign(a=np.inf).to_csv(tmp_path / "bad.csv", index=False)
    arguments = ["--data", f"{tmp_path / 'bad.csv'},{tmp_path / 'good.csv'}", "--defenses", "logistic_regression"]
    arguments += [*SMALL, "--k", "1", "--no-certify", "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["robustxai", "benchmark", *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 1
    out, err = capsys.readouterr()
    assert "logistic_regression" in out
    assert "Written: " in out
    assert not any(word in out for word in ("error:", "note:", "━"))
    text = " ".join(err.split())
    for part in (
        "note: good.csv: ",
        "error: Cell logistic_regression with seed 0: ",
        "bad.csv: the column 'a' holds an infinite number",
        "error: 1 of 2 cells failed, see above",
    ):
        assert part in text
    assert "Traceback" not in err
    assert pd.read_csv(tmp_path / "out" / "results.csv")["data"].tolist() == ["good"]


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "latin-1", "cp437", "shift-jis", "cp1252:replace", "utf-8"])
def test_pipes_take_utf_8_whatever_the_machine_says(monkeypatch, encoding):
    """As on Windows, where a pipe or a file gets the code page of the machine."""
    codec, _, errors = encoding.partition(":")
    pipes = {name: io.BytesIO() for name in ("stdout", "stderr")}
    for name, pipe in pipes.items():
        stream = io.TextIOWrapper(pipe, encoding=codec, errors=errors or "strict")
        monkeypatch.setattr(sys, name, stream)
    monkeypatch.setattr(sys, "argv", ["robustxai", "benchmark", "--data", "Übung ≤ 🌱.csv", "--out", "nowhere"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 2
    _streams.console.print("P@8 ↑ ± ≤ ━ Ü 🌱 " + os.fsdecode(b"\xff"), markup=False, soft_wrap=True)
    sys.stdout.flush()
    sys.stderr.flush()
    assert "Übung ≤ 🌱.csv" in pipes["stderr"].getvalue().decode("utf-8")
    assert "P@8 ↑ ± ≤ ━ Ü 🌱 ".encode() in pipes["stdout"].getvalue()


# ------------------------------------------------------------------------------------------------ Ctrl-C


def test_ctrl_c_keeps_finished_cells_and_the_same_command_goes_on(tmp_path):
    out = tmp_path / "out"
    arguments = ["benchmark", "--data", "breast_cancer", "--defenses", "logistic_regression,softplus", *SMALL]
    arguments += ["--seeds", "2", "--out", str(out)]
    process = subprocess.Popen(
        [sys.executable, "-m", "robustxai.cli", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # where the test run itself ignores SIGINT (a background job), the child would inherit that
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        end = time.monotonic() + 120
        while not (out / "cells").exists() or not cell_times(out):
            assert process.poll() is None, process.stdout.read()
            assert time.monotonic() < end, "no cell was finished"
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        text, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "Traceback" not in text
    assert "Finished cells are kept: run the same command again to resume." in text
    kept = cell_times(out)
    assert 1 <= len(kept) < 4

    result = CliRunner().invoke(cli.app, arguments)
    assert result.exit_code == 0
    after = cell_times(out)
    assert len(after) == 4
    assert kept.items() <= after.items()


def test_ctrl_c_in_this_process(monkeypatch, main, tmp_path):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(_benchmark, "run_experiment", interrupted)
    code, text = main("benchmark", "--data", "breast_cancer", "--out", tmp_path)
    assert code == 130
    assert "run the same command again to resume" in text
    code, text = main("demo", "--out", tmp_path)  # which always starts anew
    assert code == 130
    assert "Stopped." in text
    assert "to resume" not in text
