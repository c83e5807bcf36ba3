"""The commands for a table of one's own: what they write is what the library computes, and errors are sentences."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split

import robustxai
from robustxai.cli import _budgets, _training
from robustxai.cli._fit import _has_rare
from robustxai.columns import TableThreat
from robustxai.datasets import TableSchema, load_table
from robustxai.exceptions import DivergedError
from robustxai.reasons import explain_columns
from robustxai.reasons import reasons as rank_reasons
from robustxai.saving import load
from tests.cli.conftest import applicants


@pytest.fixture(scope="module")
def raw(folder):
    """Columns of the file as the model sees them."""
    X, _ = load_table(folder / "data.csv", "paid", drop=["id"], return_X_y=True)
    return X


def sentence(printed):
    """The error, which is the last line; nothing of a traceback above it."""
    code, out, err = printed
    assert "Traceback" not in out + err
    assert out == ""
    last = err.strip().splitlines()[-1]
    assert last.startswith("error: ")
    return code, last.removeprefix("error: ")


#: A command that is right, and the option for the model of it.
FIT = ["fit", "--target", "paid", "--drop", "id"]
WITH = ["--model", "{place}/model"]

# ------------------------------------------------------------------------------------------------ what they compute


def test_fit_tells_figures_of_rows_that_did_not_train_the_model(folder):
    kept = json.loads((folder / "model" / "table.json").read_text(encoding="utf-8"))
    X, y = load_table(folder / "data.csv", "paid", drop=["id"], return_X_y=True)
    train, test = train_test_split(np.arange(len(y)), test_size=0.2, stratify=y, random_state=0)
    pipe = load(folder / "model" / "model.safetensors")
    proba = pipe.predict_proba(X.iloc[test])[:, 1]
    assert kept["held_out"]["roc_auc"] == pytest.approx(roc_auc_score(y.iloc[test] == "yes", proba))
    assert (kept["training"]["n_train"], kept["training"]["n_test"]) == (len(train), len(test))
    assert kept["held_out"]["certified_precision_at_k"] <= kept["held_out"]["precision_at_k"] <= 1
    known = {column["name"]: column for column in kept["columns"]}
    assert known["age"]["values"][:2] == [X["age"].iloc[train].min(), X["age"].iloc[train].max()]
    said = (folder / "said").read_text(encoding="utf-8")
    assert f"AUC {kept['held_out']['roc_auc']:.3f}" in said
    assert f"--model {folder / 'model'}" in said


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".parquet"])
def test_explain_writes_what_explain_columns_returns(main, folder, raw, tmp_path, ending):
    out = tmp_path / f"why{ending}"
    code, said, _ = main("explain", folder / "data.csv", "--model", folder / "model", "--out", out, "--id", "id")
    assert (code, f"Written: {out}" in said) == (0, True)
    read = {".csv": pd.read_csv, ".tsv": lambda path: pd.read_csv(path, sep="\t"), ".parquet": pd.read_parquet}
    found = read[ending](out)
    expected = explain_columns(load(folder / "model" / "model.safetensors"), raw, n_points=_training.N_POINTS)
    np.testing.assert_allclose(found[list(expected)], expected, rtol=1e-6, atol=1e-7)
    assert found["row"].tolist() == applicants()["id"].tolist()


def test_a_table_in_another_form_is_the_same_table(main, folder, tmp_path):
    """Without the label and with columns in another order, of another separator and encoding, or as Parquet."""
    table = applicants()[["home", "debts", "age", "income"]]
    table.assign(home=table["home"].str.upper()).to_csv(tmp_path / "a.txt", sep=";", index=False, encoding="utf-16")
    table.to_parquet(tmp_path / "a.parquet")
    documents = []
    for path in (folder / "data.csv", tmp_path / "a.txt", tmp_path / "a.parquet"):
        code, out, _ = main("explain", path, "--model", folder / "model", "--json", "--n-rows", 30)
        assert code == 0
        documents.append(json.loads(out)["rows"])
    assert documents[0] == documents[1] == documents[2]


def test_reasons_are_those_of_the_library_under_the_budgets_of_fit(main, folder, raw, tmp_path):
    letters = tmp_path / "letters"
    arguments = ["--model", folder / "model", "--row", 3, "--row", 8, "--json", "--letters", letters]
    code, out, _ = main("reasons", folder / "data.csv", *arguments)
    assert code == 0
    found = json.loads(out)
    schema = TableSchema.of(raw)
    threat = TableThreat.from_frame(schema.example(), {"age": 2}, immutable=["home", "income"])
    rows = raw.iloc[[2, 7]].set_axis([3, 8])
    pipe = load(folder / "model" / "model.safetensors")
    expected = rank_reasons(pipe, rows, 2, threat=threat, n_points=_training.N_POINTS).frame
    assert found["budgets"]["budget"] == ["age=2"]
    for name in ("row", "rank", "column", "status", "radius"):
        assert [one[name] for one in found["reasons"]] == expected[name].tolist()
    assert [one["predicted"] for one in found["decisions"]] == pipe.predict(rows).tolist()
    assert sorted(path.name for path in letters.iterdir()) == [f"{row}.html" for row in sorted(set(expected["row"]))]


def test_a_budget_on_the_command_line_takes_the_place_of_that_of_fit(main, folder):
    """Nothing may change: then all reasons are proven."""
    still = ["--budget", "0", "--immutable", "home,income", "--max-switches", "0"]
    code, out, _ = main("certify", folder / "data.csv", "--model", folder / "model", "--n-rows", 5, "--json", *still)
    found = json.loads(out)
    assert (code, found["mean_certified_precision_at_k"]) == (0, 1.0)
    assert [row["row"] for row in found["rows"]] == [1, 2, 3, 4, 5]
    code, out, _ = main("reasons", folder / "data.csv", "--model", folder / "model", "--row", 5, *still)
    assert code == 0
    assert "attacked:" not in out
    assert "0 attacked, 0 undecided" in out


def test_audit_takes_the_rows_that_were_held_out(main, folder, tmp_path):
    out = tmp_path / "report.html"
    arguments = ["--model", folder / "model", "--out", out, "--n-rows", 4, "--group", "home", "--json", "--no-compare"]
    code, said, err = main("audit", folder / "data.csv", *arguments)
    assert code == 0, err
    assert "the 48 rows that were held out are audited" in " ".join(err.split())
    found = json.loads(said)
    kept = json.loads((folder / "model" / "table.json").read_text(encoding="utf-8"))["held_out"]
    area = next(line for line in found["summary"] if line["measure"] == "ROC AUC")
    assert area["value"] == pytest.approx(kept["roc_auc"])
    assert {line["level"] for line in found["subgroups"]} == {"own", "rent", "free"}
    assert out.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_audit_trains_a_model_where_none_is_given(main, folder, tmp_path):
    out = tmp_path / "report.md"
    arguments = [*FIT[1:], "--defense", "logistic_regression", "--n-rows", 5, "--no-compare", "--k", 3]
    arguments += ["--budget", "0", "--max-switches", 1]
    code, said, err = main("audit", folder / "data.csv", *arguments, "--out", out)
    assert code == 0, err
    assert "P@3 of 5 rows" in said
    assert out.read_text(encoding="utf-8").startswith("# Audit of explanations")


def test_rows_of_another_file_are_all_audited_and_need_no_label(main, folder, tmp_path):
    applicants()[:30].drop(columns="paid").assign(home="castle").to_csv(tmp_path / "new.csv", index=False)
    arguments = ["--model", folder / "model", "--out", tmp_path / "r.html", "--n-rows", 4, "--json", "--no-compare"]
    code, said, err = main("audit", tmp_path / "new.csv", *arguments)
    assert code == 0, err
    assert "4 of 30" in json.loads(said)["settings"]["rows"]
    for part in ("has no column 'paid'", "Categories that the model never saw are read as missing in 'home' ('castle'"):
        assert part in " ".join(err.split())


def test_budgets_are_shares_of_the_training_rows_and_bounds_reach_to_the_asked_rows():
    schema = TableSchema.of(pd.DataFrame({"age": [20, 60], "amount": [0.5, 10.5], "home": ["own", "rent"]}))
    asked = pd.DataFrame({"age": [90], "amount": [100.0], "home": pd.Categorical(["own"], ["own", "rent"])})
    budgets = _budgets.Budgets(("10%", "age=2"), (), ("age=up",), 0)
    rules = {rule.name: rule for rule in budgets.threat(schema, asked).rules}
    assert (rules["age"].budget, rules["age"].direction, rules["age"].integer) == (2, "up", True)
    assert (rules["amount"].budget, rules["amount"].high) == (1.0, 100.0)
    assert budgets.threat(schema, asked).count(asked) == 1
    assert _budgets.Budgets.read(json.loads(json.dumps(budgets.to_json()))) == budgets
    assert _budgets.Budgets(("age=1",)).over(budgets) == _budgets.Budgets(("age=1",), (), ("age=up",), 0)


# ------------------------------------------------------------------------------------------------ bad input

ON_DATA = {
    "no target": (["fit"], "Say which column holds the label: --target NAME. {data} has the columns id, age, income"),
    "misspelled target": (["fit", "--target", "payd"], "{data} has no column 'payd'. Did you mean 'paid'?"),
    "an identifier": (["fit", "--target", "paid"], "--drop id"),
    "no such defense": ([*FIT, "--defense", "r2te"], "Did you mean 'r2et'?"),
    "trees": ([*FIT, "--defense", "gradient_boosting"], "There is no defense"),
    "all rows held out": ([*FIT, "--test-size", "1"], "--test-size must be a share"),
    "budget of no column": (
        [*FIT, "--budget", "agee=1"],
        "--budget names the column 'agee', which is not in the table. Did you mean 'age'?",
    ),
    "budget of a category": ([*FIT, "--budget", "home=1"], "--immutable home"),
    "no budget": ([*FIT, "--budget", "age=much"], "'age=much' is no budget. Write"),
    "immutable column": ([*FIT, "--immutable", "hom"], "Did you mean 'home'?"),
    "no model": (["explain", "--model", "{data}.none"], "There is no model folder {data}.none. 'robustxai fit TABLE"),
    "a foreign model": (["explain", "--model", "{place}"], "{place} is no model folder: it does not hold"),
    "no such row": (["reasons", *WITH, "--row", "999"], "There is no row '999' in {data}: --row takes a number"),
    "no such class": (["reasons", *WITH, "--favorable", "yess"], "Did you mean 'yes'?"),
    "a direction": (["reasons", *WITH, "--direction", "up"], "There is no direction 'up'"),
    "later budget": (["certify", *WITH, "--budget", "debt=1"], "Did you mean 'debts'?"),
    "output in another form": (["explain", *WITH, "--out", "why.xlsx"], "must end in .csv, .tsv or .parquet"),
    "output exists": (["explain", *WITH, "--out", "{data}"], "{data} exists. Give another --out, or --overwrite"),
    "a model exists": ([*FIT, "--out", "{place}/model"], "/model exists. Give another --out"),
    "a folder of something else": (
        [*FIT, "--out", "{place}", "--overwrite"],
        "with other things in it, which are not replaced",
    ),
    "no column for --id": (["explain", *WITH, "--id", "name"], "--id names the column 'name'"),
    "an id that is not one": (["explain", *WITH, "--id", "home"], "--id home names two rows"),
    "labels of another table": (["audit", *WITH, "--target", "home"], "is none of the classes of the model"),
}


@pytest.mark.parametrize("name", ON_DATA)
def test_wrong_use_is_a_sentence_that_helps(main, folder, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (command, *given), message = ON_DATA[name]
    data = folder / "data.csv"
    fill = lambda text: text.format(data=data, place=folder)  # noqa: E731
    before = sorted(path.name for path in folder.rglob("*"))
    code, text = sentence(main(command, data, *map(fill, given)))
    assert code == 2
    assert fill(message) in text
    assert sorted(path.name for path in folder.rglob("*")) == before
    assert not list(tmp_path.iterdir())


FILES = {
    "empty": (b"", "{path} cannot be read as a table: it is empty"),
    "a header alone": (b"age,income,debts,home\n", "has a header but no rows"),
    "a column less": (
        b"age,income,home\n20,3,own\n",
        "{path} has no column 'debts', which the model needs. It has age, income",
    ),
    "a column of another name": (b"age,income,debt,home\n20,3,1,own\n", "Is it the column 'debt'? Rename it."),
    "an unknown category": (
        b"age,income,debts,home\n20,3,1,own\n20,3,1,ovn\n",
        "{path}: 'ovn' in row 2 (line 3) of 'home' is a category that the model never saw. Did you mean 'own'?",
    ),
    "a word among numbers": (b"age,income,debts,home\nold,3,1,own\n", "'old' in row 1 (line 2) of 'age' is no number"),
    "cut Parquet": (b"PAR1 and so on", "it is a Parquet file that was cut or altered"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_does_not_fit_the_model_is_a_sentence_with_the_place(main, folder, tmp_path, name):
    content, message = FILES[name]
    path = tmp_path / "new.csv"
    path.write_bytes(content)
    code, text = sentence(main("explain", path, "--model", folder / "model"))
    assert code == 2
    assert message.format(path=path) in text


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        (
            "table.json",
            lambda raw: raw.replace(b'"yes"', b'"no"').replace(b'"age"', b'"agf"'),
            "its checksum does not fit",
        ),
        ("table.json", lambda raw: raw[:200], "it was cut or altered"),
        ("model.safetensors", lambda raw: raw[:-4] + bytes(4), "it was written for another model.safetensors"),
        ("model.safetensors", lambda raw: None, "is no model folder"),
    ],
    ids=["altered columns", "cut", "altered weights", "gone"],
)
def test_a_model_folder_that_was_altered_is_refused(main, folder, tmp_path, file, change, message):
    shutil.copytree(folder / "model", tmp_path / "model")
    path = tmp_path / "model" / file
    changed = change(path.read_bytes())
    path.unlink()
    if changed is not None:
        path.write_bytes(changed)
    code, text = sentence(main("explain", folder / "data.csv", "--model", tmp_path / "model"))
    assert code == 2
    assert message in text


def test_work_that_fails_has_another_exit_code_and_leaves_what_was_there(main, folder, tmp_path, monkeypatch):
    shutil.copytree(folder / "model", tmp_path / "model")
    before = {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()}
    again = ["fit", folder / "data.csv", "--target", "paid", "--drop", "id", "--out", tmp_path / "model", "--overwrite"]

    def diverge(*given, **options):
        raise DivergedError("The loss is not finite.")

    with monkeypatch.context() as patch:
        patch.setattr("robustxai.cli._fit.train", diverge)
        assert sentence(main(*again)) == (1, "The loss is not finite.")

    def full(*given, **options):
        raise OSError(28, "No space left on device")

    again += ["--defense", "logistic_regression", "--n-rows", 0]
    with monkeypatch.context() as patch:
        patch.setattr(robustxai, "save", full)
        code, text = sentence(main(*again))
    assert (code, "No space left" in text) == (1, True)
    assert {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["model"]

    code, out, _ = main(*again, "--json")
    assert (code, json.loads(out)["defense"]) == (0, "logistic_regression")
    assert {path.name for path in (tmp_path / "model").iterdir()} == set(before)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_category_is_rare_only_where_the_training_rows_have_it():
    column = pd.Series(pd.Categorical(["a"] * 5 + ["b"] * 2, categories=["a", "b", "never there"]))
    assert _has_rare(column, 3)
    assert not _has_rare(column, 2)
    assert not _has_rare(column, 1)
