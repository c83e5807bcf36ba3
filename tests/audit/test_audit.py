"""The audit beside what is computed by other ways: explain_columns, contains, predict, the certificate."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from skorch import NeuralNetClassifier
from torch import nn

from robustxai import SoftplusClassifier, VanillaClassifier, as_explainable
from robustxai.attacks import BlackBox
from robustxai.audit import audit
from robustxai.audit._audit import chosen_rows
from robustxai.audit._rivals import plan
from robustxai.audit._words import about_rivals
from robustxai.columns import TableThreat
from robustxai.datasets import make_preprocessor
from robustxai.metrics import roc_auc
from robustxai.perturbation import ThreatModel
from robustxai.reasons import explain_columns

CHEAP = {"n_rows": 6, "n_compared": 0, "n_draws": 3, "n_examples": 2}


def tops(pipe, rows, labels, k=2):
    values = explain_columns(pipe, rows, labels, n_points=8).abs()
    return [set(values.columns[np.argsort(-row, kind="stable")[:k]]) for row in values.to_numpy()]


def test_bounds_are_in_order_row_by_row(result):
    frame = result.frame
    assert len(frame) == 14
    for name in ("random", "papers", "strongest", "certified"):
        assert frame[f"precision_{name}"].between(0, 1).all()
    assert (frame["precision_certified"] <= frame["precision_strongest"]).all()
    assert (
        frame["precision_strongest"] <= frame[["precision_random", "precision_papers", "typical"]].min(axis=1)
    ).all()
    attacked, proven = frame["status"] == "attacked", frame["precision_certified"] == 1
    np.testing.assert_array_equal(attacked, frame["precision_strongest"] < 1)
    assert (frame.loc[proven, "status"] == "proven").all()
    assert attacked.any()


def test_reasons_are_those_of_explain_columns(result, data, pipe):
    rows = data[0].loc[result.frame.index]
    np.testing.assert_array_equal(result.frame["predicted"], pipe.predict(rows))
    found = tops(pipe, rows, result.frame["predicted"].to_numpy())
    assert [set(names) for names in result.frame["reasons"]] == found


def test_examples_are_admissible_rows_that_displace_reasons(result, data, pipe, threat):
    X = data[0]
    examples = result.examples
    assert len(examples) >= 4
    for (_, line), (_, changed) in zip(list(examples.iterrows())[2:5], list(result.changed_rows.iterrows())[2:5]):
        own, other = X.loc[[line["row"]]], pd.DataFrame([changed]).astype(X.dtypes.to_dict())
        assert threat.contains(own, other)
        label = pipe.predict(own)
        assert pipe.predict(other) == label
        (before,), (after,) = tops(pipe, own, label), tops(pipe, other, label)
        assert before - after == set(line["left"])
        assert after - before == set(line["entered"])
        assert line["precision_at_k"] == len(before & after) / 2
        for name, (old, new) in line["changes"].items():
            assert old != new
            back = other.copy()
            back[name] = own[name].to_numpy()
            same = pipe.predict(back) == label
            assert not (same and before - tops(pipe, back, label)[0] == set(line["left"])), "an idle change"
    named = examples[examples["column"].notna()]
    assert all(line["column"] in line["left"] for _, line in named.iterrows())


def test_curves_fall_and_the_last_is_the_whole_budget(result):
    curves = result.curves
    assert curves["share"].tolist() == [0.0, 0.5, 1.0]
    for name in ("random", "papers", "strongest", "certified"):
        assert (np.diff(curves[name]) <= 1e-9).all()
    last, judged = curves.iloc[-1], result.frame.iloc[:8]
    assert last["strongest"] <= judged["precision_strongest"].mean() + 1e-9
    assert last["certified"] == pytest.approx(judged["precision_certified"].mean())


def test_columns_count_what_the_rows_say(result):
    frame, columns = result.frame, result.columns.set_index("column")
    for name, line in columns.iterrows():
        has = np.array([name in names for names in frame["reasons"]])
        assert line["n_reasons"] == has.sum()
        if has.any():
            lost = [name in names for names in frame.loc[has, "left"]]
            assert line["displaced"] == pytest.approx(np.mean(lost))


def test_subgroups_and_accuracy_are_those_of_the_metrics(result, data, pipe):
    X, y = data
    jobs = result.subgroups.set_index(["group", "level"]).loc["job"]
    for level in ("a", "b"):
        inside = X["job"] == level
        assert jobs.loc[level, "roc_auc"] == pytest.approx(roc_auc(pipe, X[inside], y[inside]))
        audited = X.loc[result.frame.index, "job"] == level
        assert jobs.loc[level, "precision_at_k"] == pytest.approx(result.frame["precision_strongest"][audited].mean())
    assert jobs.loc["a", "gap"] == pytest.approx(-jobs.loc["b", "gap"])
    whole = result.summary.set_index("measure").loc["ROC AUC"]
    assert whole["value"] == pytest.approx(roc_auc(pipe, X, y))
    ages = result.subgroups[result.subgroups["group"] == "age"]["level"].tolist()
    assert ages[0].startswith("up to")
    assert len(ages) == 4


def test_the_comparison_is_on_the_same_rows_and_held_out(result):
    table = result.comparison.set_index("model")
    assert table.index.tolist() == ["audited model", "logistic regression", "R2ET"]
    assert (table["n_rows"] == 8).all()
    assert (table["certified"] <= table["strongest"]).all()
    assert table.loc["audited model", "strongest"] == result.frame["precision_strongest"].iloc[:8].mean()
    assert "held out" in result.settings["comparison"]
    assert "trained on 101 rows" in result.settings["comparison"]  # two thirds of 160 - 8
    assert result.verdict


def test_features_under_a_threat_model(data):
    X, y = data
    values = X[["age", "debts"]].assign(more=np.random.default_rng(0).normal(size=len(X)))
    values, y = values.assign(other=values["age"] ** 0.5)[:16], y[:16]
    pipe = make_pipeline(StandardScaler(), SoftplusClassifier(module__hidden=(6,), max_epochs=10)).fit(values, y)
    threat = ThreatModel(0.8, frozen=["debts"])
    found = audit(pipe, values, y, k=2, threat=threat, shares=(), **{**CHEAP, "n_rows": 6, "n_compared": 6})
    assert (found.frame["precision_certified"] <= found.frame["precision_strongest"]).all()
    assert found.columns["column"].tolist() != []
    x = pd.DataFrame(pipe[:-1].transform(values), columns=pipe[:-1].get_feature_names_out(), index=values.index)
    for (_, line), (_, changed) in zip(found.examples.iterrows(), found.changed_rows.iterrows()):
        delta = changed - x.loc[line["row"]]
        assert np.linalg.norm(delta) <= 0.8 + 1e-5
        assert delta["debts"] == 0
    assert "cross-fitted" in found.settings["comparison"]  # 16 rows, of which 6 judge
    assert len(found.comparison) == 3


def test_a_foreign_model_and_its_explanation_become_a_black_box(data):
    X, y = data
    values = X[["age", "debts"]].assign(more=np.arange(len(X)) % 7).to_numpy(dtype=float)
    model = LogisticRegression().fit(values, y)

    def explainer(points):
        return model.coef_[0] * (np.asarray(points) - values.mean(axis=0))

    found = audit(model, values, y, k=1, explainer=explainer, threat=ThreatModel(3.0), **{**CHEAP, "n_compared": 4})
    assert found.frame["precision_certified"].isna().all()
    assert found.frame["precision_papers"].isna().all()
    np.testing.assert_array_equal(found.frame["precision_strongest"], found.frame["precision_random"])
    assert "explainer, as a black box" in found.settings["explanation"]
    assert any("gives no gradients" in text for text in found.warnings)
    table = found.comparison  # no model is attacked where one of them cannot be
    np.testing.assert_array_equal(table["strongest"], table["random"])
    with pytest.raises(TypeError, match="BlackBox"):
        audit(HistGradientBoostingClassifier(max_iter=2).fit(values, y), values)


def test_models_of_scikit_learn_are_converted(data, threat):
    X, y = data
    net = MLPClassifier((4,), activation="tanh", max_iter=20, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        pipe = make_pipeline(make_preprocessor(X), net).fit(X, y)
    found = audit(pipe, X, k=2, threat=threat, **CHEAP)
    np.testing.assert_array_equal(found.frame["predicted"], pipe.predict(X.loc[found.frame.index]))
    assert (found.frame["precision_certified"] <= found.frame["precision_strongest"]).all()
    assert set(found.columns["column"]) == set(X.columns)


def test_attributions_of_a_black_box_are_summed_by_column(data):
    X, y = data
    steps = make_preprocessor(X).fit(X)
    trees = HistGradientBoostingClassifier(max_iter=3).fit(steps.transform(X), y)
    pipe = make_pipeline(steps, BlackBox(trees, lambda x: np.sin(3 * np.asarray(x))))
    found = audit(pipe, X, k=2, threat=TableThreat.from_frame(X), **CHEAP)
    assert set(found.columns["column"]) == set(X.columns)
    values = pd.DataFrame(np.sin(3 * steps.transform(X.loc[found.frame.index])), index=found.frame.index)
    names = [str(name).split("__")[-1] for name in steps.get_feature_names_out()]
    sums = values.T.groupby([next(c for c in X if name.startswith(c)) for name in names]).sum().T.abs()
    for label, names in found.frame["reasons"].items():
        assert set(names) == set(sums.loc[label].nlargest(2).index)


def test_three_classes_on_plain_features():
    X, y = load_iris(return_X_y=True)
    clf = VanillaClassifier(module__hidden=(4,), max_epochs=3).fit(X, y)
    found = audit(
        clf, X, y, k=1, threat=ThreatModel(0.3), groups={"long": X[:, 0] > 6}, shares=(), **{**CHEAP, "n_compared": 4}
    )
    assert found.summary.set_index("measure").loc["ROC AUC", "value"] == pytest.approx(roc_auc(clf, X, y))
    assert found.comparison["roc_auc"].notna().all()
    inside = X[:, 0] > 6
    line = found.subgroups.set_index("level").loc["True"]
    assert line["roc_auc"] == pytest.approx(roc_auc(clf, X[inside], y[inside]))
    assert found.frame["reasons"].map(lambda names: names[0]).isin([f"x{j}" for j in range(4)]).all()


def test_linear_wins_and_it_says_so():
    line = {"roc_auc": 0.9, "strongest": 0.9, "strongest_low": 0.85, "strongest_high": 0.95, "between_rows": 0.5}
    line |= {"roc_auc_low": 0.88, "roc_auc_high": 0.92}
    own = {**line, "strongest": 0.5, "strongest_low": 0.45, "strongest_high": 0.55, "corrected": 0.0}
    verdict, said = about_rivals(
        {"audited model": own, "logistic regression": {**line, "corrected": 0.8}}, "audited model"
    )
    assert verdict.startswith("Logistic regression wins")
    assert said
    same = {**line, "corrected": -0.1, "between_rows": 0.99}
    assert "the same of everybody" in about_rivals({"a": own, "linear": same}, "a")[0]
    worse = {**line, "roc_auc": 0.8, "corrected": 0.8}
    verdict, said = about_rivals({"a": own, "linear": worse}, "a")
    assert verdict.startswith("No rival")
    assert "at the price of accuracy: linear" in verdict
    assert said == []
    sharper = {**own, "roc_auc": 0.97, "roc_auc_low": 0.95}  # and as stable
    assert "Linear wins" in about_rivals({"a": own, "linear": sharper}, "a")[0]
    verdict, said = about_rivals({"a": own, "linear": {**own, "corrected": 0.8}}, "a")
    assert "The most stable of them, linear" in verdict


def test_no_row_that_trains_a_rival_judges_it():
    y = np.repeat([0, 1], 50)
    judged = np.arange(0, 100, 9)
    held = plan(y, judged, 40, 0)
    ((train, test, scored),) = held.folds
    assert len(train) == 40
    np.testing.assert_array_equal(test, judged)
    assert not set(train) & set(scored)
    assert set(judged) <= set(scored)
    crossed = plan(y, np.arange(0, 100, 2), 1000, 0)
    assert len(crossed.folds) == 2
    for train, test, scored in crossed.folds:
        assert not set(train) & set(scored)
        assert set(test) <= set(scored)
    assert set(np.concatenate([test for _, test, _ in crossed.folds])) == set(range(0, 100, 2))
    assert set(np.concatenate([scored for *_, scored in crossed.folds])) == set(range(100))


def test_rows_outside_of_the_threat_model_are_left_out_and_named(data, pipe):
    X = data[0]
    old = X.iloc[:8].assign(age=[200, *X["age"].iloc[1:8]])
    threat = TableThreat.from_frame(X, immutable=["home", "job", "income"])
    found = audit(pipe, old, k=2, threat=threat, **{**CHEAP, "n_rows": 8}, certify=False)
    assert 0 not in found.frame.index
    assert any("left out" in text for text in found.warnings)
    assert found.curves["certified"].isna().all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"groups": ["jib"]}, "Did you mean 'job'"),
        ({"groups": {"mine": [1, 2]}}, "2 entries"),
        ({"y": ["paid"]}, "One label|Give one label"),
        ({"X": None}, "table"),
    ],
)
def test_what_does_not_fit_is_refused(data, pipe, change, message):
    given = {"X": data[0], "y": data[1], **change}
    if given["X"] is None:
        given["X"] = np.zeros((3, 2, 2))
        given["y"] = None
    with pytest.raises((ValueError, TypeError), match=message):
        audit(pipe, given.pop("X"), given.pop("y"), **given, **CHEAP)


def test_fewer_rows_are_audited_where_a_row_takes_long(data):
    X = pd.concat([data[0].drop(columns="income")] * 5, ignore_index=True)
    few = TableThreat.from_frame(X, 1, immutable=["home"])
    many = TableThreat.from_frame(X.astype({"age": float}), {"age": 5}, integer={"age": False})
    assert len(chosen_rows(X, few, None, 0)[0]) == 500
    assert 100 <= len(chosen_rows(X, many, None, 0)[0]) <= 170
    assert len(chosen_rows(X, many, 300, 0)[0]) == 300


def test_a_collapsed_model_is_warned_of(data):
    X, y = data
    shuffled = np.random.default_rng(1).permutation(y)
    model = VanillaClassifier(module__hidden=(2,), max_epochs=1).fit(X[["age", "debts"]] / 100, shuffled)
    found = audit(
        model, X[["age", "debts"]] / 100, y, k=1, threat=ThreatModel(0.01), certify=False, **{**CHEAP, "n_rows": 20}
    )
    assert any("hardly better than chance" in text or "in common" in text for text in found.warnings)
    assert repr(found).startswith("AuditResult(20 rows, P@1")


@pytest.mark.parametrize("kind", ["module", "skorch", "pipeline"])
def test_networks_are_audited_as_as_explainable_makes_them(kind):
    r = np.random.default_rng(0)
    X = r.normal(size=(60, 4)).astype(np.float32)
    y = np.where(X[:, 0] > 0, "b", "a")
    module = nn.Sequential(nn.Linear(4, 6), nn.Softplus(), nn.Linear(6, 2))
    net = NeuralNetClassifier(module, criterion=nn.CrossEntropyLoss, classes=["a", "b"], verbose=0).initialize()
    net.module_.load_state_dict(module.state_dict())
    model = {"module": module, "skorch": net, "pipeline": make_pipeline(FunctionTransformer(), net)}[kind]
    options = {"k": 2, "threat": ThreatModel(0.2, norm=2), "n_rows": 5, "n_compared": 0, "n_draws": 2}
    found = audit(model, X, y, **options)
    expected = audit(as_explainable(module, X, classes=["a", "b"]), X, y, **options)
    pd.testing.assert_frame_equal(found.frame, expected.frame)
