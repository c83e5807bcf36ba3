import itertools
import math
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MinMaxScaler,
    OneHotEncoder,
    QuantileTransformer,
    StandardScaler,
)

from robustxai import SoftplusClassifier
from robustxai.attacks import RandomAttack
from robustxai.certificates import certify_top_k
from robustxai.columns import TableThreat, column_map
from robustxai.datasets import make_preprocessor

from .pipelines import pipelines

generated = settings(
    max_examples=15, deadline=None, phases=[Phase.generate], derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip


@pytest.fixture
def table():
    return pd.DataFrame(
        {
            "age": [20, 40, 60, 33],
            "income": [1000.0, 2500.5, np.nan, 3000.0],
            "home": ["own", "rent", "free", None],
            "sex": pd.Categorical(["f", "m", "f", "m"], categories=["f", "m", "x"]),
            "member": [0, 1, 1, 0],
        }
    )


# ---------------------------------------------------------------- generated tables and threats


@st.composite
def threats(draw):
    """(table, arguments of a threat) with numbers of many dtypes, gaps and categories."""
    r = np.random.default_rng(draw(st.integers(0, 10**6)))
    n, data, said = draw(st.integers(3, 12)), {}, {"budgets": {}, "bounds": {}, "monotone": {}, "categories": {}}
    for j in range(draw(st.integers(1, 4))):
        kind, name = draw(st.sampled_from(["int64", "uint8", "float64", "float32", "Int64", "gaps"])), f"n{j}"
        if kind in ("float64", "float32", "gaps"):
            data[name] = pd.Series(r.normal(size=n) * 10.0 ** r.integers(-3, 6)).astype("float64")
            data[name] = data[name].astype("float32" if kind == "float32" else "float64")
        else:
            data[name] = pd.Series(r.integers(0, 30, n)).astype(kind)
        if kind in ("Int64", "gaps"):
            data[name][r.random(n) < 0.3] = None
        low, high = data[name].min(), data[name].max()
        if draw(st.booleans()):
            shares = [] if pd.isna(low) else ["5%", "33.3 %"]  # of a range that was observed
            said["budgets"][name] = draw(st.sampled_from([0, 1, 2.5, 1e6, *shares]))
        if draw(st.booleans()):
            said["monotone"][name] = draw(st.sampled_from(["up", "down"]))
        if draw(st.booleans()) and not pd.isna(low):
            said["bounds"][name] = draw(
                st.sampled_from([None, (None, float(high)), (float(low) - 1.5, float(high) + 1)])
            )
    for j in range(draw(st.integers(0, 3))):
        name, levels = f"c{j}", ["a", "b", "c", "d"][: draw(st.integers(1, 4))]
        values = pd.Series(r.choice(levels, n), dtype=object)
        values[r.random(n) < 0.2] = None
        data[name] = values.astype(draw(st.sampled_from(["object", "category", "str"])))
        seen = sorted(values.dropna().unique())
        kind = draw(st.integers(0, 3))
        if seen and kind == 0:
            said["categories"][name] = seen[: draw(st.integers(0, len(seen)))]
        if seen and kind == 1:
            said["categories"][name] = {seen[0]: seen[1:], seen[-1]: seen[:1]}
    data["flag"] = pd.Series(r.random(n) < 0.5)
    frame = pd.DataFrame(data)
    used = set().union(*(said[what] for what in ("budgets", "monotone", "categories")))
    said["immutable"] = (
        draw(st.lists(st.sampled_from([c for c in frame if c not in used]), max_size=2)) if set(frame) - used else []
    )
    said["max_switches"], said["norm"] = draw(st.integers(0, 3)), draw(st.sampled_from(["inf", 2]))
    return frame, said


def proposals(frame, r, n=8):
    """Rows of which everything may be wrong: far numbers, fractions, gaps, categories of other columns."""
    made = {}
    for name in frame:
        if pd.api.types.is_numeric_dtype(frame[name]) and frame[name].dtype != bool:
            values = frame[name].dropna().to_numpy(dtype=float)
            spread = (np.ptp(values) if len(values) else 0) + 1
            made[name] = r.choice(values if len(values) else [0.0], n) + spread * r.normal(size=n) * r.choice(
                [0.01, 1, 10], n
            )
            made[name][r.random(n) < 0.1] = np.nan
        else:
            made[name] = r.choice(np.array(["a", "b", "z", True, None, *frame[name].dropna()], dtype=object), n)
    return pd.DataFrame(made)


def naive_rules(frame, said):
    """For each column its kind, budget, bounds and the rest, written down once more."""
    found = {}
    for name in frame:
        seen = set(frame[name].dropna())
        if name[0] != "n":
            found[name] = {"kind": "level", "seen": seen}
            continue
        values = frame[name].dropna().to_numpy(dtype=float)
        whole = bool((values == np.floor(values)).all())
        named = any(name in said[what] for what in ("budgets", "monotone", "bounds", "immutable"))
        if not named and whole and len(seen) in (1, 2) and max(seen) - min(seen) <= 2:
            found[name] = {"kind": "level", "seen": seen}
            continue
        low, high = (values.min(), values.max()) if len(values) else (None, None)
        budget = said["budgets"].get(name, "5%")
        if isinstance(budget, str):
            budget = float(budget.strip(" %")) / 100 * (high - low) if len(values) else 0
            if whole and name not in said["budgets"] and len(values) and high - low >= 1:
                budget = max(budget, 1)
        if name in said["bounds"]:
            low, high = said["bounds"][name] or (None, None)
        short = frame[name].dtype == "float32"
        found[name] = {"kind": "number", "whole": whole, "budget": budget, "low": low, "high": high, "short": short}
    return found


def fault(rules, said, row, changed):
    """The definition of an admissible change, naively: the first column that breaks it, or what else does."""
    switches, length = 0, 0.0
    for name, rule in rules.items():
        own, new = row[name], changed[name]
        if pd.isna(own) or pd.isna(new):
            if not (pd.isna(own) and pd.isna(new)):
                return name
        elif own == new:
            continue
        elif name in said["immutable"]:
            return name
        elif rule["kind"] == "number":
            own, new = float(own), float(new)
            slack = (1e-6 if rule["short"] else 1e-9) * max(abs(own), rule["budget"])
            if (
                abs(new - own) > rule["budget"] + slack
                or (rule["low"] is not None and new < rule["low"])
                or (rule["high"] is not None and new > rule["high"])
                or (rule["whole"] and new != math.floor(new))
                or (new < own and said["monotone"].get(name) == "up")
                or (new > own and said["monotone"].get(name) == "down")
            ):
                return name
            length += ((new - own) / rule["budget"]) ** 2
        else:
            switches += 1
            allowed = said["categories"].get(name, "any")
            allowed = allowed.get(own, []) if isinstance(allowed, dict) else allowed
            if new not in rule["seen"] or (allowed != "any" and new not in allowed):
                return name
    if switches > said["max_switches"]:
        return "switches"
    return "norm" if said["norm"] == 2 and length > 1 + 1e-6 else None


@generated
@given(threats(), st.integers(0, 10**6))
def test_every_row_that_is_made_is_admissible(made, seed):
    frame, said = made
    threat, r = TableThreat.from_frame(frame, **said), np.random.default_rng(seed)
    assert threat.describe().count("\n") == len(frame.columns) + 1
    row = frame.iloc[[r.integers(len(frame))]]
    assert threat.contains(row, row)
    wild = proposals(frame, r)
    rules, own = naive_rules(frame, said), dict(row.iloc[0])
    rows = threat.round(row, wild)
    assert rows.dtypes.tolist() == frame.dtypes.tolist()
    for place in range(len(rows)):
        changed = rows.iloc[[place]]
        assert fault(rules, said, own, dict(changed.iloc[0])) is None
        found = threat.contains(row, changed)
        assert found or frame.dtypes.eq("float32").any(), found.reason
        if threat.contains(row, wild.iloc[[place]]):
            assert fault(rules, said, own, dict(wild.iloc[place])) is None
    pd.testing.assert_frame_equal(threat.round(row, rows), rows, check_exact=False)
    choices = threat.choices(row)
    assert len(choices) == threat.count(row)
    for choice in choices:
        assert threat.contains(row, row.assign(**{name: [value] for name, value in choice.items()}))


@settings(generated, max_examples=5)
@given(st.integers(0, 10**6), st.integers(0, 3), st.sampled_from(["inf", 2]))
def test_the_whole_lattice_is_what_the_definition_says(seed, max_switches, norm):
    r = np.random.default_rng(seed)
    numbers = {f"n{j}": r.integers(0, 5, 6) for j in range(2)}
    levels = {f"c{j}": r.choice(list("abc"), 6).astype(object) for j in range(3)}
    frame = pd.DataFrame({**numbers, **levels})
    some = frame["c0"].unique().tolist()
    said = {
        "budgets": {"n0": 2, "n1": 1.5}, "bounds": {"n0": (-1, 6)}, "monotone": {"n1": "up"}, "immutable": ["c2"],
        "categories": {"c0": {some[0]: some, some[-1]: some[:1]}, "c1": frame["c1"].unique()[:2].tolist()},
        "max_switches": max_switches, "norm": norm,
    }  # fmt: skip
    threat, own = TableThreat.from_frame(frame, **said), dict(frame.iloc[0])
    rules, whole = naive_rules(frame, said), range(-2, 8)
    space = [dict(zip(frame, values)) for values in itertools.product(whole, whole, *["abc"] * 3)]
    brute = [changed for changed in space if fault(rules, said, own, changed) is None]
    made = [
        {"n0": n0, "n1": n1, **{name: choice.get(name, own[name]) for name in levels}}
        for choice in threat.choices(own)
        for n0, n1 in itertools.product(whole, whole)
    ]
    inside = [changed for changed in made if fault(rules, said, own, changed) is None]
    assert sorted(map(str, inside)) == sorted(map(str, brute)), "the choices and the numbers give all, each once"
    for changed in [*brute[:30], *r.choice(space, 30)]:
        assert bool(threat.contains(own, changed)) == (changed in brute)


@settings(generated, max_examples=8)
@given(pipelines(), st.integers(0, 10**6))
def test_boxes_hold_the_features_of_every_admissible_row(made, seed):
    frame, transformer = made
    r = np.random.default_rng(seed)
    columns = column_map(transformer)
    threat = TableThreat.from_frame(frame, "20%", max_switches=int(r.integers(3)))
    row = frame.iloc[[r.integers(len(frame))]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            boxes = threat.boxes(row, columns)
        except ValueError as error:
            assert "is not known to rise or fall" in str(error)  # noqa: PT017
            return
        assert [box.switches for box in boxes] == list(threat.choices(row))
        rows = threat.round(row, proposals(frame, r, 12))
        features, own = columns.transform(rows), columns.transform(row)[0]
    np.testing.assert_allclose(boxes[0].center, own)
    for box, other in zip(boxes, threat.boxes_by_row(pd.concat([row, row]), columns)[-1], strict=True):
        assert box.switches == other.switches
        np.testing.assert_array_equal([box.low, box.high, box.scale], [other.low, other.high, other.scale])
    for x, (_, changed) in zip(features, rows.iterrows()):
        switches = {
            name: changed[name] for name in frame if name[0] in "cb" and not pd.isna(changed[name])
            and changed[name] != row[name].iloc[0]
        }  # fmt: skip
        box = next(box for box in boxes if box.switches == switches)
        slack = 1e-7 * (1 + np.abs(x))
        gap = np.isnan(x)
        assert ((x >= box.low - slack) & (x <= box.high + slack) | gap).all()
        moved = np.abs(x - box.center)[~gap]
        assert (moved <= box.scale[~gap] + slack[~gap]).all()


# ---------------------------------------------------------------- examples


def test_description(table):
    threat = TableThreat.from_frame(
        table,
        {"age": 2, "income": "10%", "member": 0.5},
        monotone={"age": "up"},
        immutable=["sex"],
        categories={"home": {"own": ["rent"]}},
        bounds={"income": (0, None)},
        max_switches=2,
        norm=2,
    )
    text = threat.describe()
    assert str(threat) == text
    lines = [line.split("  ") for line in text.splitlines()]
    words = {line[0]: [part.strip() for part in line[1:] if part.strip()] for line in lines}
    assert words["age"] == ["whole numbers", "by at most 2, only up", "20 to 60 (observed)"]
    assert words["income"] == ["numbers", "by at most 200 (10% of the observed range)", "at least 0 (given)"]
    assert words["home"] == ["3 categories", "own to rent"]
    assert words["sex"] == ["2 categories", "never"]
    assert words["member"] == ["whole numbers", "never: the budget of 0.5 is less than one step"]
    assert "At most 2 columns of categories switch. Gaps stay as they are. The numbers share" in text


def test_gaps_and_rows_of_every_kind(table):
    threat = TableThreat.from_frame(table, {"age": 3, "income": 10})
    row = table.iloc[[2]]
    assert np.isnan(threat.round(row, table.iloc[[0]])["income"][0])
    for same in (row, table.iloc[2], dict(table.iloc[2])):
        assert len(threat.choices(same)) == 1 + 2 + 1 + 1
        assert threat.round(same, row.assign(age=61.0)).dtypes.tolist() == table.dtypes.tolist()
    assert threat.round(table.iloc[[0]], {**table.iloc[0], "age": 21.7, "income": math.inf})["age"].tolist() == [22]
    assert threat.count(table.iloc[3]) == 1 + 1 + 1
    found = threat.contains(row, row.assign(income=5.0))
    assert found.reason == "'income' changes from a gap to 5, and gaps stay as they are"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"age": 43}, "'age' changes by 3, more than its budget of 2"),
        ({"age": 41.5}, "'age' has whole numbers and changes from 40 to 41.5"),
        ({"age": "old"}, "'age' changes from 40 to 'old', which is no number"),
        ({"income": 3000.9}, "'income' changes by 500.4, more than its budget of 450"),
        ({"income": 2950.1}, "'income' changes from 2,500.5 to 2,950.1, outside of its bounds at most 2,900 (given)"),
        ({"income": 2400.0}, "'income' may only go up and changes from 2,500.5 to 2,400"),
        ({"sex": "f"}, "'sex' is immutable and changes from 'm' to 'f'"),
        ({"home": "tent"}, "'home' has no category 'tent'"),
        ({"home": "free"}, "'home' may not switch from 'rent' to 'free'"),
        ({"home": "own", "member": 0}, "2 columns switch ('home', 'member'), at most 1 may"),
        ({"age": 42, "home": "own"}, ""),
    ],
)
def test_the_reason_why_a_row_is_not_admissible(table, change, reason):
    threat = TableThreat.from_frame(
        table, {"age": 2, "income": 450}, immutable=["sex"], monotone={"income": "up"},
        bounds={"income": (None, 2900)}, categories={"home": ["own", "rent"]},
    )  # fmt: skip
    row = table.iloc[1]
    found = threat.contains(row, {**row, **change})
    assert (found.inside, found.reason) == (not reason, reason)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"budgets": {"agee": 1}}, ValueError, "the column 'agee', which is not in the table. Did you mean 'age'?"),
        ({"immutable": ["sec"]}, ValueError, "the column 'sec', which is not in the table. Did you mean 'sex'?"),
        ({"immutable": [["sex"]]}, TypeError, "a sequence of columns, such as ['sex'], got the entry"),
        ({"immutable": "sex"}, TypeError, "immutable must be a sequence of columns, such as ['sex'], got"),
        ({"budgets": {"age": -1}}, ValueError, "budgets['age'] must be a finite number >= 0, or a share"),
        ({"budgets": {"age": "many"}}, ValueError, "budgets['age'] must be a finite number >= 0, or a share"),
        ({"budgets": {"age": True}}, TypeError, "budgets['age'] must be a finite number"),
        ({"budgets": {"age": np.nan}}, ValueError, "budgets['age'] must be a finite number"),
        ({"budgets": "-5%"}, ValueError, "budgets must be a finite number"),
        ({"budgets": {"sex": 1}}, TypeError, "which holds no numbers (category). Say by categories={'sex': [...]}"),
        ({"bounds": {"age": 5}}, ValueError, "bounds['age'] must be a pair (low, high), None for no bound, got 5."),
        ({"bounds": {"age": (5, 1)}}, ValueError, "bounds['age'] must be (low, high) with low <= high"),
        ({"bounds": {"age": ("a", 1)}}, TypeError, "bounds['age'] must be a pair of numbers or None"),
        ({"monotone": {"age": "upwards"}}, ValueError, "monotone['age'] must be 'up' or 'down', got 'upwards'."),
        ({"integer": ["income"]}, ValueError, "integer names 'income', which has 2500.5. Round the column"),
        ({"integer": {"age": False}}, ValueError, "holds whole numbers only. Convert it: X['age'].astype(float)."),
        ({"integer": {"age": 1}}, TypeError, "integer['age'] must be True or False, got 1."),
        ({"categories": {"home": ["ovn"]}}, ValueError, "a category that was never seen. Did you mean 'own'?"),
        ({"categories": {"home": "own"}}, TypeError, "Put a single category in a list."),
        ({"categories": {"home": {"own": "rent"}}}, TypeError, "must list categories, got 'rent'. Put a single one"),
        ({"categories": {"home": [None]}}, ValueError, "has a gap, and gaps stay as they are"),
        ({"budgets": {"age": 1}, "immutable": ["age"]}, ValueError, "budgets and immutable both name 'age'"),
        ({"budgets": {"age": 1}, "categories": {"age": "any"}}, ValueError, "budgets and categories both name 'age'"),
        ({"max_switches": -1}, ValueError, "max_switches must be a finite number >= 0, got -1."),
        ({"norm": 1}, ValueError, "norm=1 is not supported; use 2 or inf."),
    ],
)  # fmt: skip
def test_bad_arguments(table, arguments, error, message):
    with pytest.raises(error) as caught:
        TableThreat.from_frame(table, **arguments)
    assert message in str(caught.value)
    assert str(caught.value).endswith((".", "?"))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda X: X.assign(age=95), ValueError, "age', outside of its bounds 20 to 60 (observed). Pass"),
        (lambda X: X.assign(home="rint"), ValueError, "'home', which was never seen there. Did you mean 'rent'?"),
        (lambda X: X.assign(age=20.5), ValueError, "row has 20.5 in the column 'age' of whole numbers. Round it"),
        (lambda X: X.assign(age="old"), TypeError, "row has 'old' in the column 'age', where a number"),
        (lambda X: X.drop(columns="age"), ValueError, "row lacks the column 'age'. It must have the columns"),
        (lambda X: X.assign(new=1), ValueError, "row has the column 'new' too. Leave it out"),
        (lambda X: X[X.columns[::-1]], ValueError, "another order: 'member' stands where 'age' belongs. Select"),
        (lambda X: pd.concat([X, X]), ValueError, "row has 2 rows; give one, for instance X.iloc[[0]]."),
        (lambda X: {"age": 1}, ValueError, "row lacks the columns 'income', 'home', 'sex', 'member'."),
        (lambda X: 5, TypeError, "row must be a table of one row"),
    ],
)  # fmt: skip
def test_bad_rows(table, change, error, message):
    threat = TableThreat.from_frame(table)
    bad = change(table.iloc[[0]])
    for call in (
        threat.choices,
        threat.count,
        lambda row: threat.round(row, table),
        lambda row: threat.contains(row, row),
    ):
        with pytest.raises(error) as caught:
            call(bad)
        assert message in str(caught.value)


def test_a_category_that_the_dtype_has_and_the_table_has_not(table):
    threat = TableThreat.from_frame(table)
    for row in ({**table.iloc[0], "sex": "x"}, {**table.iloc[0], "sex": "y"}):
        with pytest.raises(ValueError, match="which was never seen there"):
            threat.choices(row)


def test_the_order_of_a_set_is_that_of_the_table(table):
    threat = TableThreat.from_frame(table, categories={"home": {"free", "rent", "own"}}, immutable=["sex", "member"])
    assert threat.choices(table.iloc[2]) == ({}, {"home": "own"}, {"home": "rent"})


def test_dates_must_be_immutable(table):
    dated = table.assign(day=pd.Timestamp(0))
    with pytest.raises(TypeError, match=r"'day' \(datetime64.*\) holds neither numbers nor categories. Convert it"):
        TableThreat.from_frame(dated)
    threat = TableThreat.from_frame(dated, immutable=["day"])
    assert threat.round(dated.iloc[[0]], dated)["day"].tolist() == [pd.Timestamp(0)] * 4
    assert "day     datetime64[" in threat.describe()
    with pytest.raises(ValueError, match="X is empty"):
        TableThreat.from_frame(table.iloc[:0])
    with pytest.raises(TypeError, match="X must be a DataFrame"):
        TableThreat.from_frame(table.to_numpy())


def test_too_many_choices_name_their_number_and_the_cure():
    X = pd.DataFrame({f"c{j}": [f"{i}" for i in range(30)] for j in range(4)})
    threat = TableThreat.from_frame(X, max_switches=3)
    n = 1 + 4 * 29 + 6 * 29**2 + 4 * 29**3
    assert threat.count(X.iloc[0]) == n
    with pytest.raises(
        ValueError, match=rf"The row has {n:,} choices of at most 3 switches, more than limit=10,000\. "
    ):
        threat.choices(X.iloc[0])
    with pytest.raises(ValueError, match=r"max_switches \(2 has 5,163\), allow fewer .* 'c0' has 29|c0"):
        threat.boxes(X.iloc[0], column_map(OneHotEncoder().fit(X)))
    assert len(threat.choices(X.iloc[0], limit=n)) == n


# ---------------------------------------------------------------- features


def test_boxes_of_a_scaled_pipeline(table):
    X = table.dropna().reset_index(drop=True)
    number = make_column_transformer((MinMaxScaler(), ["age", "income"]), (OneHotEncoder(), ["home", "sex", "member"]))
    columns = column_map(number.fit(X))
    threat = TableThreat.from_frame(X, {"age": 2, "income": 150})
    plain, *switched = threat.boxes(X.iloc[0], columns)
    np.testing.assert_allclose(plain.low[:2], [0, 0])
    np.testing.assert_allclose(plain.high[:2], [0.1, 150 / 1500.5])
    assert [box.switches for box in switched] == [{"home": "rent"}, {"sex": "m"}, {"member": 1}]
    moved = dict(X.iloc[0], home="rent")
    np.testing.assert_allclose(switched[0].center, columns.transform(pd.DataFrame([moved]))[0])
    space = plain.threat_model().bind(plain.center[None])
    np.testing.assert_allclose(space.unit[:2], [0.1, 150 / 1500.5], rtol=1e-6)
    assert not space.unit[2:].any()
    round_ball = TableThreat.from_frame(X, {"age": 2, "income": 150}, norm=2).boxes(X.iloc[0], columns)[0]
    assert round_ball.threat_model().norm == 2
    np.testing.assert_allclose(round_ball.scale[:2], [0.1, 150 / 1500.5])


def test_a_row_of_many_is_refused_by_its_number(table):
    X = table.dropna().reset_index(drop=True)
    columns = column_map(make_preprocessor(X).fit(X))
    with pytest.raises(ValueError, match="row 1 of X has 95 in the column 'age'"):
        TableThreat.from_frame(X).boxes_by_row(X.assign(age=[20, 95]), columns)


def test_ends_say_nothing_where_features_neither_rise_nor_fall():
    X = pd.DataFrame({"a": np.arange(9), "b": np.arange(9) + 0.5, "c": np.arange(9.0)})
    square = FunctionTransformer(np.square, feature_names_out="one-to-one")
    bins = KBinsDiscretizer(3, encode="onehot-dense", strategy="uniform")
    pipe = make_column_transformer((square, ["a"]), (bins, ["b"]), (OneHotEncoder(), ["c"]), (StandardScaler(), ["c"]))
    columns = column_map(pipe.fit(X.assign(a=X["a"] - 4)))
    shifted = X.assign(a=X["a"] - 4)
    threat = TableThreat.from_frame(shifted, {"a": 3, "b": 3, "c": 1})
    (box,) = threat.boxes(shifted.iloc[4], columns)
    assert (box.low[0], box.high[0]) == (0, 9)  # of -3 ... 3
    np.testing.assert_array_equal(box.low[1:4], [0, 0, 0])
    np.testing.assert_array_equal(box.high[1:4], [1, 1, 1])
    np.testing.assert_array_equal(box.high[4:13], [0, 0, 0, 1, 1, 1, 0, 0, 0])
    bent = column_map(make_column_transformer((square, ["b"])).fit(X))
    with pytest.raises(ValueError, match=r"'functiontransformer__b' is not known to rise or fall with the column 'b'"):
        TableThreat.from_frame(X[["a", "b", "c"]]).boxes(X.iloc[0], bent)
    curved = column_map(QuantileTransformer(n_quantiles=5).fit(X))
    with pytest.raises(ValueError, match="norm=2 needs features that are affine"):
        TableThreat.from_frame(X, norm=2).boxes(X.iloc[0], curved)
    two = TableThreat.from_frame(X, {"a": 2, "b": 2, "c": 2}, norm=2)
    twice = column_map(make_column_transformer((StandardScaler(), ["a"]), (MinMaxScaler(), ["a", "b", "c"])).fit(X))
    scale = two.boxes(X.iloc[4], twice)[0].scale
    np.testing.assert_allclose(scale, [2 * np.sqrt(2) / X["a"].std(ddof=0), np.sqrt(2) / 4, 0.25, 0.25])


def test_an_attack_and_a_certificate_on_every_box_and_back_to_the_table(table):
    r = np.random.default_rng(0)
    n = 60
    X = pd.DataFrame(
        {
            "age": r.integers(18, 80, n),
            "income": r.uniform(0, 1e5, n),
            "home": r.choice(["own", "rent", "free"], n),
            "member": r.integers(0, 2, n),
            "smoker": r.random(n) < 0.5,
        }
    )
    pipe = make_pipeline(make_preprocessor(X), SoftplusClassifier(max_epochs=3, module__hidden=(4,)))
    pipe.fit(X, X["age"] > 50)
    columns, threat = column_map(pipe), TableThreat.from_frame(X, {"age": 5, "income": "5%"})
    assert columns.columns == tuple(X)
    row = X.iloc[[0]]
    boxes = threat.boxes(row, columns)
    assert len(boxes) == 1 + 2 + 1 + 1
    for box in boxes:
        center, ball = box.center[None].astype(np.float32), box.threat_model()
        found = RandomAttack(pipe[-1], k=2, threat=ball, max_iter=3).run(center)
        proven = certify_top_k(pipe[-1], center, 2, threat=ball)
        assert proven.precision_at_k[0] <= found.precision_at_k[0]
        assert (found.X_adv >= box.low - 1e-6).all()
        assert (found.X_adv <= box.high + 1e-6).all()
        raw = threat.round(row, columns.inverse(found.X_adv))
        assert threat.contains(row, raw)
        assert {name: raw[name][0] for name in X.columns[2:] if raw[name][0] != row[name].iloc[0]} == box.switches
        assert raw.dtypes.tolist() == X.dtypes.tolist()


def test_tables_of_other_libraries(table):
    polars = pytest.importorskip("polars")
    given_ = polars.from_pandas(table)
    threat = TableThreat.from_frame(given_, {"age": 2})
    assert threat.count(given_[0]) == TableThreat.from_frame(table, {"age": 2}).count(table.iloc[[0]])
    back = threat.round(given_[0], polars.from_pandas(table.assign(age=21)))
    assert isinstance(back, polars.DataFrame)
    assert back.schema == given_.schema
    assert back["age"].to_list() == [21] * 4


@settings(generated, max_examples=10)
@given(threats(), st.floats(0, 1), st.integers(0, 10**6))
def test_a_share_of_the_budgets(made, share, seed):
    frame, said = made
    threat, r = TableThreat.from_frame(frame, **said), np.random.default_rng(seed)
    row = frame.iloc[[r.integers(len(frame))]]
    rows = threat.scaled(share).round(row, proposals(frame, r))
    several = row.iloc[np.zeros(len(rows), dtype=int)]
    lengths = threat.lengths(several, rows)
    assert (lengths <= share * (1 + 1e-6) + 1e-6).all()
    for place in range(len(rows)):
        changed = rows.iloc[[place]]
        assert threat.contains(row, changed) or frame.dtypes.eq("float32").any()
        rules, shares = naive_rules(frame, said), [0.0]
        for name, rule in rules.items():
            own, new = row[name].iloc[0], changed[name].iloc[0]
            if rule["kind"] == "number" and name not in said["immutable"] and not pd.isna(own) and rule["budget"]:
                shares.append(abs(float(new) - float(own)) / rule["budget"])
        expected = np.linalg.norm(shares) if said["norm"] == 2 else max(shares)
        np.testing.assert_allclose(lengths[place], expected, rtol=1e-9)
    assert threat.scaled(1).describe() == threat.describe()
