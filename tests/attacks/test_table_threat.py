import copy
import itertools
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from columns.pipelines import pipelines
from columns.test_table_threat import fault, naive_rules, threats
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from robustxai import ExplanationATClassifier, SoftplusClassifier
from robustxai.attacks import (
    AutoExplanationAttack,
    BlackBox,
    BoundaryMarginAttack,
    ERAttack,
    MSEAttack,
    NESAttack,
    RandomAttack,
    TargetedManipulation,
    _table,
    strongest,
)
from robustxai.certificates import certify_top_k
from robustxai.columns import TableRows, TableThreat, column_map
from robustxai.datasets import make_preprocessor
from robustxai.explainers import ColumnContributions
from robustxai.metrics import precision_at_k, ranking_thickness
from robustxai.model_selection import PrecisionAtKScorer, RobustnessScorer

from .conftest import Victim, every_attack, every_prediction_attack

generated = settings(
    max_examples=8, deadline=None, phases=[Phase.generate], derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)  # fmt: skip

CHEAP = {"k": 2, "max_iter": 4}
LEVELS = {"u": "pqr", "v": "xyz", "w": "abc"}


@pytest.fixture(autouse=True)
def calm():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.fixture(scope="module")
def frame():
    r = np.random.default_rng(0)
    numbers = {name: r.integers(0, 12, 300) for name in "abc"}
    return pd.DataFrame({**numbers, **{name: r.choice(list(levels), 300) for name, levels in LEVELS.items()}})


@pytest.fixture(scope="module")
def labels(frame):
    return ((frame.a > 5) ^ (frame.u == "p") ^ (frame.b * frame.c > 36)).to_numpy()


@pytest.fixture(scope="module")
def pipe(frame, labels):
    net = SoftplusClassifier(beta=5, max_epochs=40, lr=0.02, module__hidden=(16,))
    return make_pipeline(make_preprocessor(frame), net).fit(frame, labels)


@pytest.fixture(scope="module")
def of_columns(pipe):
    """The same network, whose columns are explained."""
    made = Pipeline([(name, copy.deepcopy(step)) for name, step in pipe.steps])
    columns = column_map(made)
    explainer = ColumnContributions("gradient_times_input", groups=columns.groups, names=columns.columns)
    made[-1].set_params(explainer=explainer)
    return made


@pytest.fixture(scope="module")
def threat(frame):
    return TableThreat.from_frame(frame, {"a": 2, "b": 2, "c": 3}, monotone={"b": "up"})


def lattice(frame, row, max_switches):
    """All admissible rows of the threat above, written down."""
    own = dict(frame.iloc[row])
    most = frame[["a", "b", "c"]].max()
    axes = {"a": (2, 2), "b": (0, 2), "c": (3, 3)}
    ranges = [range(max(0, own[n] - low), min(most[n], own[n] + high) + 1) for n, (low, high) in axes.items()]
    found = []
    for values in itertools.product(*ranges, *map(sorted, LEVELS.values())):
        changed = dict(zip(own, values))
        if sum(changed[name] != own[name] for name in LEVELS) <= max_switches:
            found.append(changed)
    return pd.DataFrame(found)


def explained(pipe, rows, classes):
    return np.asarray(pipe[-1].explain(pipe[:-1].transform(rows), y=classes))


def brute_force(pipe, frame, row, max_switches, k):
    """P@k of all admissible rows that keep the prediction, and the share of the budgets that each needs."""
    own, every = frame.iloc[[row]], lattice(frame, row, max_switches)
    label = pipe.predict(own)
    kept = every[pipe.predict(every) == label[0]]
    before, after = explained(pipe, own, label), explained(pipe, kept, np.repeat(label, len(kept)))
    steps = [np.abs(kept[name] - own[name].iloc[0]) / budget for name, budget in {"a": 2, "b": 2, "c": 3}.items()]
    return precision_at_k(np.repeat(before, len(kept), axis=0), after, k), np.max(steps, axis=0)


def admissible(threat, before, after):
    return all(threat.contains(before.iloc[[n]], after.iloc[[n]]) for n in range(len(before)))


# ---------------------------------------------------------------- what comes back are rows of the table


@generated
@given(
    threats(),
    st.sampled_from([RandomAttack, BoundaryMarginAttack, MSEAttack, TargetedManipulation]),
    st.sampled_from([0, 50, 2000]),
)
def test_every_attacked_row_is_admissible(made, attack, exhaustive):
    frame, said = made
    threat = TableThreat.from_frame(frame, **said)
    pipe = Pipeline([("table", make_preprocessor(frame).fit(frame)), ("net", Victim())])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_table, "EXHAUSTIVE", exhaustive)
        result = attack(pipe, threat=threat, **CHEAP).run(frame)
    assert result.X_adv.dtypes.tolist() == frame.dtypes.tolist()
    assert result.X_adv.index.equals(frame.index)
    rules = naive_rules(frame, said)
    for place in range(len(frame)):
        own, changed = dict(frame.iloc[place]), dict(result.X_adv.iloc[place])
        assert fault(rules, said, own, changed) is None
        found = threat.contains(frame.iloc[[place]], result.X_adv.iloc[[place]])
        assert found or frame.dtypes.eq("float32").any(), found.reason
        switched = {n for n in frame if isinstance(own[n], (str, bool)) and own[n] != changed[n]}
        assert switched <= set(result.switches[place])
    assert (threat.lengths(frame, result.X_adv) <= 1 + 1e-6).all()


@settings(generated, max_examples=2)
@given(pipelines(), st.integers(0, 10**6))
def test_curves_codes_and_bins_are_attacked(made, seed):
    frame, transformer = made
    threat = TableThreat.from_frame(frame, "20%", max_switches=1)
    pipe = Pipeline([("table", transformer), ("net", Victim())])
    rows = frame.iloc[:3]
    features = np.asarray(column_map(pipe).transform(rows), dtype=float)
    if np.isnan(features).any():
        return
    try:
        result = BoundaryMarginAttack(pipe, threat=threat, random_state=seed % 100, **CHEAP).run(rows)
    except ValueError as error:
        assert "is not known to rise or fall" in str(error)  # noqa: PT017
        return
    assert admissible(threat, rows, result.X_adv)
    np.testing.assert_array_equal(pipe.predict(result.X_adv), pipe.predict(rows))


@every_attack
def test_every_attack_runs(attack, pipe, frame, threat):
    rows = frame.iloc[:4].set_axis(list("uvwx"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_table, "EXHAUSTIVE", 0)
        result = attack(pipe, threat=threat, **CHEAP).run(rows)
    assert admissible(threat, rows, result.X_adv)
    np.testing.assert_array_equal(pipe.predict(result.X_adv), pipe.predict(rows))
    assert (result.precision_at_k <= 1).all()
    assert not result.exhaustive.any()
    assert list(result.to_frame().index) == list("uvwx")


@pytest.mark.parametrize("explanation", ["pipe", "of_columns"])
def test_the_figures_are_those_of_the_rows_that_come_back(explanation, request, frame, threat):
    pipe, rows = request.getfixturevalue(explanation), frame.iloc[:25]
    result = AutoExplanationAttack(pipe, k=2, threat=threat, preset="fast").run(rows)
    classes = pipe.predict(rows)
    np.testing.assert_array_equal(result.predicted, classes)
    np.testing.assert_array_equal(pipe.predict(result.X_adv), classes)
    before, after = (explained(pipe, part, classes) for part in (rows, result.X_adv))
    np.testing.assert_allclose(result.attribution, before)
    np.testing.assert_allclose(result.attribution_adv, after)
    np.testing.assert_array_equal(result.precision_at_k, precision_at_k(before, after, 2))
    names = list("abcuvw") if explanation == "of_columns" else list(pipe[:-1].get_feature_names_out())
    assert list(result.attribution.columns) == names
    assert result.mean_precision < 1
    for place, switches in enumerate(result.switches):
        changed = result.X_adv.iloc[place]
        assert switches == {n: changed[n] for n in LEVELS if changed[n] != rows.iloc[place][n]}


def test_the_limit_of_the_probability_is_kept(pipe, frame, threat):
    rows = frame.iloc[:15]
    free, bound = (
        BoundaryMarginAttack(pipe, threat=threat, max_probability_change=most, **CHEAP).run(rows)
        for most in (None, 0.02)
    )
    change = np.abs(bound.probability_adv - bound.probability)
    assert (change <= 0.02).all()
    assert (np.abs(free.probability_adv - free.probability) > 0.02).any()
    assert (free.precision_at_k <= bound.precision_at_k).all()
    proba = pipe.predict_proba(bound.X_adv)[np.arange(15), pipe.predict_proba(rows).argmax(axis=1)]
    np.testing.assert_allclose(bound.probability_adv, proba)


def test_a_row_does_not_depend_on_the_rows_beside_it(pipe, frame, threat, monkeypatch):
    monkeypatch.setattr(_table, "EXHAUSTIVE", 200)
    attack = BoundaryMarginAttack(pipe, threat=threat, **CHEAP)
    whole, part = attack.run(frame.iloc[:12]), attack.fit(frame).transform(frame.iloc[8:12])
    pd.testing.assert_frame_equal(whole.X_adv.iloc[8:], part)


# ---------------------------------------------------------------- the lowest P@k of a small lattice


@pytest.mark.parametrize(("explanation", "max_switches"), [("pipe", 1), ("of_columns", 1), ("of_columns", 2)])
def test_brute_force_finds_no_less(explanation, max_switches, request, frame, threat, monkeypatch):
    pipe, n_rows = request.getfixturevalue(explanation), 10
    threat = TableThreat(threat.rules, max_switches)
    truth = [brute_force(pipe, frame, row, max_switches, 2) for row in range(n_rows)]
    lowest = np.array([precision.min() for precision, _ in truth])
    assert lowest.mean() < 1
    attack = AutoExplanationAttack(pipe, k=2, threat=threat, preset="fast")
    monkeypatch.setattr(_table, "EXHAUSTIVE", 0)
    searched = attack.run(frame.iloc[:n_rows]).precision_at_k
    assert (searched >= lowest).all()
    assert (searched == lowest).mean() >= 0.95
    monkeypatch.setattr(_table, "EXHAUSTIVE", 10_000)
    found = attack.run(frame.iloc[:n_rows])
    assert found.exhaustive.all()
    np.testing.assert_array_equal(found.precision_at_k, lowest)
    if explanation == "of_columns" and max_switches == 1:
        shares = np.array([lengths[precision < 1].min(initial=np.inf) for precision, lengths in truth])
        np.testing.assert_allclose(attack.minimum_radius(frame.iloc[:n_rows]), shares)
        monkeypatch.setattr(_table, "EXHAUSTIVE", 0)
        near = attack.minimum_radius(frame.iloc[:n_rows], n_levels=2)
        assert (near >= shares - 1e-9).all()
        assert np.isclose(near, shares).mean() >= 0.9


def test_no_row_is_below_the_certificate(pipe, frame, threat):
    still = TableThreat(threat.rules, 0).scaled(0.5)
    attack = AutoExplanationAttack(pipe, k=2, threat=still, preset="fast")
    rows = frame.iloc[:15]
    attacked = attack.run(rows).precision_at_k
    for place, (box,) in enumerate(still.boxes_by_row(rows, column_map(pipe))):
        proof = certify_top_k(pipe[-1], box.center[None].astype(np.float32), 2, threat=box.threat_model())
        assert attacked[place] >= proof.precision_at_k[0]


@pytest.fixture(scope="module")
def apart(frame, labels):
    """A sum of functions of columns; "g" and "h" are so rare that they are one category."""
    frame = frame.assign(u=np.where(np.arange(300) % 50 == 0, "g", np.where(np.arange(300) % 50 == 1, "h", frame.u)))
    explainer = ColumnContributions("integrated_gradients", n_points=3)
    net = SoftplusClassifier(module="additive", beta=5, max_epochs=20, lr=0.02, explainer=explainer)
    made = make_pipeline(make_preprocessor(frame, min_frequency=20), net).fit(frame, labels)
    return made, frame, column_map(made)


def test_columns_that_are_apart_are_explained_as_whole_rows_are(apart, monkeypatch):
    made, frame, columns = apart
    for groups in (None, columns.groups):  # those of the training data, and those of the map
        made[-1].set_params(explainer=ColumnContributions(n_points=3, groups=groups))
        threat = TableThreat.from_frame(frame, budgets={"a": 1, "b": 3}, immutable=["c"])
        attack = BoundaryMarginAttack(made, k=2, threat=threat, max_iter=3).fit(frame[:30])
        run = _table.TableRun(attack, frame[:30], threat)
        boxes = run.rows.boxes(np.arange(30))
        assert run.groups is not None
        points = [boxes.start, *run._pushed(boxes.start), run.rows.neighbors(run.rows.own, np.full(30, 0.5))[1]]
        for some in points:
            inside = (run.rows.low[some.row] <= some.amounts) & (some.amounts <= run.rows.high[some.row])
            assert inside.all()
            fast = run.values(some)
            with monkeypatch.context() as patch:
                patch.setattr(run, "groups", None)
                slow = run.values(some)
            np.testing.assert_array_equal(np.isfinite(fast), np.isfinite(slow))
            known = np.isfinite(fast)
            np.testing.assert_allclose(fast[known], slow[known], atol=1e-4)


def test_rare_categories_are_one_choice(apart):
    _, frame, columns = apart
    threat = TableThreat.from_frame(frame, immutable=["a", "b", "c"])
    rows = TableRows(threat, frame[:60], columns)
    levels = threat.rules[3].levels
    assert {"g", "h"} <= set(levels)
    for place in range(60):
        own = frame.u[place]
        points = rows.boxes(np.array([place])).start
        reached = {levels[code] for code in points.codes[:, 0]}
        assert own in reached
        assert len(reached & {"g", "h"}) == 1
        assert reached >= set("pqr")
        features = rows.features(points)
        assert len(np.unique(features, axis=0)) == len(points)
        every = np.concatenate([box.center[None] for box in threat.boxes(frame.iloc[[place]], columns)])
        assert {tuple(x) for x in every} == {tuple(x) for x in features}


def test_a_share_of_the_budgets_finds_less(pipe, frame, threat):
    curve = AutoExplanationAttack(pipe, k=2, threat=threat, preset="fast").curve(frame.iloc[:8], [1, 0, 0.5])
    assert (curve[:, 0] <= curve[:, 2]).all()
    assert (curve[:, 2] <= curve[:, 1]).all()


def test_a_shift_of_a_group_changes_no_attacked_row(of_columns, frame, threat, monkeypatch):
    """The marks of a column sum to 1: a constant on their weights goes into the bias and changes no prediction."""
    monkeypatch.setattr(_table, "EXHAUSTIVE", 0)
    shifted, columns = copy.deepcopy(of_columns), column_map(of_columns)
    layer = next(part for part in shifted[-1].module_.modules() if isinstance(part, torch.nn.Linear))
    with torch.no_grad():
        shift = torch.linspace(-1, 1, len(layer.bias))
        layer.weight[:, list(columns.groups[3])] += shift[:, None]
        layer.bias -= shift
    rows = frame.iloc[:20]
    np.testing.assert_allclose(shifted.predict_proba(rows), of_columns.predict_proba(rows), atol=1e-5)
    one, other = (
        BoundaryMarginAttack(pipe, k=2, threat=threat, max_iter=8).run(rows) for pipe in (of_columns, shifted)
    )
    np.testing.assert_array_equal(one.precision_at_k, other.precision_at_k)
    np.testing.assert_allclose(one.attribution_adv, other.attribution_adv, atol=1e-3)
    pd.testing.assert_frame_equal(one.X_adv, other.X_adv)


def test_values_order_rows_by_precision_first():
    r = np.random.default_rng(0)
    clean, moved = (torch.tensor(r.normal(size=(200, 7))) for _ in range(2))
    said = _table.Reference.of(_table.ScaledAttribution(clean), 3, "magnitude")
    value = _table.replaced(said, moved.abs()).numpy()
    np.testing.assert_allclose(1 - np.ceil(value) / 3, precision_at_k(clean, moved, 3))
    grown = _table.replaced(said, torch.where(said.top, 2.0, 1.0) * moved.abs()).numpy()
    assert (grown <= value).all()


# ---------------------------------------------------------------- other targets, kinds of tables and attacks


@every_prediction_attack
def test_attacks_on_predictions_return_rows_of_the_table(attack, pipe, frame, labels, threat):
    rows = frame.iloc[:30]
    moved = attack(pipe, threat=threat).fit(rows).transform(rows)
    assert admissible(threat, rows, moved)
    chosen = pipe.predict_proba(rows).argmax(axis=1)
    before, after = (pipe.predict_proba(part)[np.arange(30), chosen] for part in (rows, moved))
    assert (after <= before + 1e-6).all()
    assert (after < before).any()
    labeled = attack(pipe, threat=threat).fit(rows).transform(rows, labels[:30])
    assert pipe.score(labeled, labels[:30]) <= pipe.score(rows, labels[:30])


def test_trees_behind_a_pipeline_are_attacked(frame, labels, threat):
    pre = make_preprocessor(frame).fit(frame)
    trees = GradientBoostingClassifier(n_estimators=5, random_state=0).fit(pre.transform(frame), labels)
    pipe = Pipeline([("table", pre), ("trees", BlackBox(trees, lambda x: np.sin(3 * np.asarray(x)) + x))])
    rows = frame.iloc[:5]
    for attack in (NESAttack(pipe, threat=threat, n_draws=2, **CHEAP), AutoExplanationAttack(pipe, k=2, threat=threat)):
        result = attack.run(rows)
        assert admissible(threat, rows, result.X_adv)
        np.testing.assert_array_equal(pipe.predict(result.X_adv), pipe.predict(rows))


def test_a_classifier_of_raw_numbers_needs_no_pipeline(frame, labels):
    X = frame[["a", "b", "c"]]
    threat = TableThreat.from_frame(X, 2)
    for made in (SoftplusClassifier(max_epochs=2).fit(X, labels), make_pipeline(StandardScaler(), Victim()).fit(X)):
        result = ERAttack(made, threat=threat, **CHEAP).run(X.iloc[:5])
        assert result.exhaustive.all()
        assert admissible(threat, X.iloc[:5], result.X_adv)
        assert result.X_adv.dtypes.eq(X.dtypes).all()


def test_tables_of_other_libraries_come_back_as_they_are(pipe, frame, threat):
    polars = pytest.importorskip("polars")
    rows = frame.iloc[:4].reset_index(drop=True)
    given, plain = (ERAttack(pipe, threat=threat, **CHEAP).run(X) for X in (polars.from_pandas(rows), rows))
    assert isinstance(given.X_adv, polars.DataFrame)
    assert given.X_adv.schema == polars.from_pandas(rows).schema
    assert given.X_adv.rows() == list(plain.X_adv.itertuples(index=False, name=None))
    both = strongest([given, given])
    assert both.X_adv.equals(given.X_adv)


def test_the_strongest_result_keeps_the_dtypes(pipe, frame, threat):
    rows = frame.iloc[:10]
    results = [attack(pipe, threat=threat, k=2, max_iter=2).run(rows) for attack in (RandomAttack, ERAttack)]
    best = strongest(results)
    assert best.X_adv.dtypes.eq(rows.dtypes).all()
    np.testing.assert_array_equal(best.precision_at_k, np.minimum(*(r.precision_at_k for r in results)))
    assert "budgets" in best.summary()
    wider = ERAttack(pipe, threat=threat.scaled(2.0), k=2, max_iter=2).run(rows)
    assert strongest([*results, wider]).threat is None
    assert "distance" not in strongest([*results, wider]).to_frame()
    with pytest.raises(ValueError, match="different rows"):
        strongest([results[0], ERAttack(pipe, threat=threat, **CHEAP).run(frame.iloc[10:20])])


def test_scorers_attack_raw_rows(pipe, frame, labels, threat):
    rows, y = frame.iloc[:12], labels[:12]
    attack = ERAttack(k=2, threat=threat, max_iter=3)
    direct = ERAttack(pipe, k=2, threat=threat, max_iter=3).run(rows)
    assert PrecisionAtKScorer(attack)(pipe, rows, y) == direct.mean_precision
    random = RandomAttack(k=2, threat=threat, max_iter=3)
    scores = RobustnessScorer({"er": attack, "random": random}, reference={"ball": ERAttack(k=2, max_iter=2)})(
        pipe, rows, y
    )
    assert scores["precision_at_k_er"] == direct.mean_precision
    assert scores["precision_at_k"] <= direct.mean_precision
    thickness = ranking_thickness(pipe, rows, 2, threat=threat, n_draws=20, n_points=5, random_state=0)
    assert scores["thickness"] == pytest.approx(thickness.mean())
    assert 0 <= scores["prediction_sensitivity"] <= 1
    assert scores["accuracy"] == pipe.score(rows, y)


# ---------------------------------------------------------------- what is refused


def bad_rows(frame):
    return {
        "none": (frame.head(0), ValueError, "X has no rows"),
        "array": (frame.head(3).to_numpy(), TypeError, "X must be a DataFrame, because threat is a TableThreat"),
        "missing": (frame.drop(columns="b"), ValueError, "X lacks the column 'b'"),
        "extra": (frame.assign(z=1), ValueError, "X has the column 'z' too"),
        "order": (frame[list("bacuvw")], ValueError, "in another order"),
        "category": (frame.head(3).assign(u=["p", "z", "q"]), ValueError, "row 1 of X has the category 'z'"),
        "bounds": (frame.head(3).assign(a=[1, 2, 99]), ValueError, "row 2 of X has 99 .* outside of its bounds"),
        "fraction": (frame.head(3).assign(a=[1, 2.5, 3]), ValueError, "row 1 of X has 2.5 .* whole numbers"),
    }


@pytest.mark.parametrize("what", ["none", "array", "missing", "extra", "order", "category", "bounds", "fraction"])
def test_rows_that_the_threat_cannot_have_are_refused(what, pipe, frame, threat):
    X, error, words = bad_rows(frame)[what]
    for attack in (ERAttack(pipe, threat=threat, **CHEAP), AutoExplanationAttack(pipe, k=2, threat=threat)):
        with pytest.raises(error, match=words):
            attack.run(X)


def test_a_threat_of_another_table_is_refused(pipe, frame, threat):
    other = TableThreat.from_frame(frame.rename(columns={"a": "age"}))
    with pytest.raises(ValueError, match=r"threat was made of another table .* lacks 'a' and has 'age' too"):
        ERAttack(pipe, threat=other, **CHEAP).run(frame.rename(columns={"a": "age"}))
    with pytest.raises(ValueError, match=r"epsilon=0\.1 contradicts"):
        ERAttack(pipe, threat=threat, epsilon=0.1, **CHEAP).run(frame)


def test_too_many_choices_are_refused_with_their_number(frame, labels):
    many = pd.DataFrame({f"c{j}": [f"{i}" for i in range(40)] for j in range(3)})
    pipe = Pipeline([("table", make_preprocessor(many).fit(many)), ("net", Victim())])
    threat = TableThreat.from_frame(many, max_switches=3)
    with pytest.raises(ValueError, match=r"64,000 choices of at most 3 switches.*Lower max_switches"):
        ERAttack(pipe, threat=threat, **CHEAP).run(many)


def test_what_knows_features_only_refuses_a_table_threat(pipe, frame, labels, threat):
    x = make_preprocessor(frame).fit_transform(frame)
    words = "A TableThreat says how raw rows change"
    with pytest.raises(TypeError, match=words):
        ExplanationATClassifier(threat=threat).fit(x, labels)
    with pytest.raises(TypeError, match=words):
        RandomAttack(pipe, threat=threat).resolved_threat()
    with pytest.raises(TypeError, match="or a TableThreat"):
        RandomAttack(pipe, threat="5%").fit(frame)
