import datetime
import functools

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from robustxai import SoftplusClassifier
from robustxai._frames import aligned, as_pandas, column_names, is_table, like, take
from robustxai.attacks import FGSM, AttackResult, AutoExplanationAttack, BlackBox, ERAttack, strongest
from robustxai.certificates import certify_smoothed_top_k
from robustxai.datasets import make_preprocessor
from robustxai.inspection import SaliencyDisplay
from robustxai.metrics import (
    comprehensiveness,
    cosine_similarity,
    decision_flip_fraction,
    first_flip_iteration,
    flip_correlation,
    kendall_correlation,
    precision_at_k,
    prediction_change,
    prediction_sensitivity,
    spearman_correlation,
    sufficiency,
    top_k_intersection,
)
from robustxai.model_selection import BatchedSearchCV, PrecisionAtKScorer
from tests.victims import ATTACKED, ATTACKS, EXPLAINED, PREDICTED, K, make

pytestmark = [
    pytest.mark.filterwarnings("ignore::robustxai.exceptions.EvaluationWarning"),
    pytest.mark.usefixtures("quick_ensemble"),
]

KINDS = {
    "pandas": lambda X: X,
    "polars": lambda X: pl.DataFrame({name: X[name].to_numpy() for name in X.columns}),
    "pyarrow": lambda X: pa.table({name: X[name].to_numpy() for name in X.columns}),
}
TYPES = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "pyarrow": pa.Table}
TABULAR = [kind for kind in ATTACKS if kind.__name__ != "CenterOfMassAttack"]


@pytest.fixture(scope="module")
def table():
    X, y = load_iris(return_X_y=True, as_frame=True)
    chosen = np.flatnonzero(y > 0)[::9]
    X = X.iloc[chosen]
    return X, y.iloc[chosen].to_numpy()


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def clf(table):
    return SoftplusClassifier(max_epochs=20).fit(*table)


@pytest.fixture(scope="module")
def transformed(table, clf):
    """Return what an attack makes of the DataFrame, computed once."""
    return functools.cache(lambda attack: make(attack, clf).fit(table[0]).transform(table[0]))


@pytest.fixture(scope="module")
def figures(table, clf):
    """Return what a figure is on the DataFrame, computed once."""
    return functools.cache(lambda caller: {**EXPLAINED, **PREDICTED}[caller](clf, *table))


@pytest.fixture(scope="module")
def mixed():
    rng = np.random.default_rng(0)
    n = 60
    X = pd.DataFrame(
        {
            "age": rng.normal(40, 9, n).round(),
            "home": pd.Categorical(rng.choice(["own", "rent", "free"], n)),
            "sex": rng.choice(["m", "f"], n),
            "flag": rng.random(n) > 0.5,
            "children": rng.integers(0, 4, n),
        }
    )
    y = np.where(X["age"] + 10 * X["flag"] > 45, "yes", "no")
    X.loc[[3, 9], "age"] = np.nan
    X["home"] = X["home"].where(np.arange(n) % 11 != 5)
    X["sex"] = X["sex"].astype(object).where(np.arange(n) % 13 != 5, None)
    return X, y


def _mixed_kinds(X):
    polars = pl.DataFrame(
        {
            "age": pl.Series(X["age"].tolist(), nan_to_null=True),
            "home": pl.Series([None if pd.isna(v) else v for v in X["home"]], dtype=pl.Categorical),
            "sex": pl.Series(X["sex"].tolist()),
            "flag": pl.Series(X["flag"].tolist()),
            "children": pl.Series(X["children"].tolist()),
        }
    )
    arrow = pa.table(
        {
            "age": pa.array(X["age"], from_pandas=True),
            "home": pa.array([None if pd.isna(v) else v for v in X["home"]]).dictionary_encode(),
            "sex": pa.array(X["sex"].tolist()),
            "flag": pa.array(X["flag"].tolist()),
            "children": pa.array(X["children"].tolist()),
        }
    )
    return {"pandas": X, "polars": polars, "pyarrow": arrow}


# --------------------------------------------------------------------------------------------- conversion


def test_tables_are_told_from_arrays(kind, table):
    X, _ = table
    assert is_table(KINDS[kind](X))
    assert column_names(KINDS[kind](X)) == list(X.columns)
    for other in (X.to_numpy(), X.to_numpy().tolist(), X.iloc[:, 0], pl.Series([1.0]), None, "table", 3):
        assert not is_table(other)
        assert column_names(other) is None


def test_a_lazy_table_is_refused_by_a_sentence(table, clf):
    lazy = KINDS["polars"](table[0]).lazy()
    for call in (clf.predict, clf.explain, ERAttack(clf, k=K).fit, make_preprocessor):
        with pytest.raises(TypeError, match=r"lazy table without rows; collect it first"):
            call(lazy)


def test_conversion_keeps_numbers_gaps_and_categories(mixed):
    X, _ = mixed
    for name, other in _mixed_kinds(X).items():
        converted = as_pandas(other)
        assert list(converted.columns) == list(X.columns), name
        np.testing.assert_array_equal(converted["age"], X["age"])
        np.testing.assert_array_equal(converted["children"], X["children"])
        np.testing.assert_array_equal(converted["flag"], X["flag"])
        assert isinstance(converted["home"].dtype, pd.CategoricalDtype)
        for column in ("home", "sex"):
            assert converted[column].isna().tolist() == X[column].isna().tolist()
            assert converted[column].dropna().tolist() == X[column].dropna().tolist()


def test_conversion_of_dates_decimals_and_enums():
    from decimal import Decimal

    frame = pl.DataFrame(
        {
            "day": [datetime.date(2020, 1, 2), None],
            "price": [Decimal("1.50"), Decimal("2.25")],
            "size": pl.Series(["S", "L"], dtype=pl.Enum(["S", "M", "L"])),
        }
    )
    converted = as_pandas(frame)
    assert pd.api.types.is_datetime64_any_dtype(converted["day"])
    np.testing.assert_array_equal(converted["price"], [1.5, 2.25])
    assert isinstance(converted["size"].dtype, pd.CategoricalDtype)


def test_like_gives_the_kind_the_names_and_the_index(kind, table):
    X, _ = table
    given_ = KINDS[kind](X)
    made = like(given_, 2 * X.to_numpy())
    assert isinstance(made, TYPES[kind])
    assert column_names(made) == list(X.columns)
    np.testing.assert_array_equal(np.asarray(made), 2 * X.to_numpy())
    assert column_names(like(given_, X.to_numpy()[:, :2], ["a", "b"])) == ["a", "b"]
    if kind == "pandas":
        assert made.index.equals(X.index)


@pytest.mark.parametrize("rows", [slice(2, 5), np.array([3, 1, 1]), np.arange(11) % 2 == 0, slice(None)])
def test_take_goes_by_position(rows, kind, table):
    X, _ = table
    X = X.iloc[:11]
    np.testing.assert_array_equal(np.asarray(take(KINDS[kind](X), rows)), X.to_numpy()[rows])


# ------------------------------------------------------------------------------------- one kind in, the same out


def test_a_classifier_learns_and_says_the_same_whatever_the_table(kind, table, clf):
    X, y = table
    given_ = KINDS[kind](X)
    other = SoftplusClassifier(max_epochs=20).fit(given_, pl.Series(y) if kind == "polars" else y)
    assert list(other.feature_names_in_) == list(X.columns)
    np.testing.assert_array_equal(other.predict_proba(given_), clf.predict_proba(X))
    np.testing.assert_array_equal(other.predict(given_), clf.predict(X))
    assert other.score(given_, y) == clf.score(X, y)
    attribution = other.explain(given_)
    assert isinstance(attribution, TYPES[kind])
    assert column_names(attribution) == list(X.columns)
    np.testing.assert_array_equal(np.asarray(attribution), clf.explain(X))
    np.testing.assert_array_equal(np.asarray(other.explain(given_, y=y)), clf.explain(X, y=y))


@pytest.mark.parametrize("attack", TABULAR, ids=lambda attack: attack.__name__)
def test_an_attack_finds_the_same_and_returns_the_kind_that_it_was_given(attack, kind, table, clf, transformed):
    X, _ = table
    given_ = KINDS[kind](X)
    expected = transformed(attack)
    np.testing.assert_array_equal(make(attack, clf).fit(given_).transform(given_), expected)
    if hasattr(attack, "run"):
        result = make(attack, clf).run(given_)
        for part in (result.X_adv, result.attribution, result.attribution_adv):
            assert isinstance(part, TYPES[kind])
            assert column_names(part) == list(X.columns)
        np.testing.assert_array_equal(np.asarray(result.X_adv), expected)
        np.testing.assert_allclose(precision_at_k(result.attribution, result.attribution_adv, K), result.precision_at_k)


@pytest.mark.parametrize("output", ["pandas", "polars", "default"])
@pytest.mark.parametrize("attack", [ERAttack, FGSM, AutoExplanationAttack], ids=lambda attack: attack.__name__)
def test_set_output_decides_what_transform_returns(attack, output, kind, table, clf, transformed):
    X, _ = table
    given_ = KINDS[kind](X)
    made = make(attack, clf).set_output(transform=output).fit(given_).transform(given_)
    assert isinstance(made, {**TYPES, "default": np.ndarray}[output])
    if output != "default":
        assert column_names(made) == list(X.columns)
    np.testing.assert_array_equal(np.asarray(made), transformed(attack))


@pytest.mark.parametrize("caller", [*EXPLAINED, *PREDICTED])
@pytest.mark.parametrize("other", [kind for kind in KINDS if kind != "pandas"])
def test_figures_do_not_depend_on_the_kind_of_table(caller, other, table, clf, figures):
    X, y = table
    call = {**EXPLAINED, **PREDICTED}[caller]
    np.testing.assert_allclose(call(clf, KINDS[other](X), y), figures(caller), rtol=1e-4, atol=1e-6)


@pytest.fixture(scope="module")
def of_kind(mixed):
    """Return the table, the pipeline that was fitted on it and what a caller says of them, computed once."""
    X, y = mixed
    tables = _mixed_kinds(X)

    @functools.cache
    def pipe(kind):
        preparation = make_preprocessor(tables[kind])
        return make_pipeline(preparation, SoftplusClassifier(max_epochs=3)).fit(tables[kind], y)

    return functools.cache(
        lambda kind, caller: (tables[kind], pipe(kind), {**ATTACKED, **EXPLAINED}[caller](pipe(kind), tables[kind], y))
    )


@pytest.mark.parametrize(
    "caller", ["ERAttack", "certify_top_k", "ranking_thickness", "RobustnessScorer", "SaliencyDisplay"]
)
def test_a_pipeline_takes_any_kind_of_table(caller, kind, of_kind):
    given_, pipe, found = of_kind(kind, caller)
    np.testing.assert_allclose(found, of_kind("pandas", caller)[-1], rtol=1e-4, atol=1e-6)
    result = ERAttack(pipe, k=K, max_iter=2).run(given_)
    assert isinstance(result.X_adv, TYPES[kind])
    assert column_names(result.attribution) == list(pipe[:-1].get_feature_names_out())


@pytest.mark.parametrize("scale", ["minmax", "standard"])
def test_a_preprocessor_makes_the_same_of_every_kind_of_table(scale, kind, mixed):
    X, _ = mixed
    kinds = _mixed_kinds(X)
    expected = make_preprocessor(X, scale=scale).fit_transform(X)
    transformer = make_preprocessor(kinds[kind], scale=scale).fit(kinds[kind])
    names = make_preprocessor(X, scale=scale).fit(X).get_feature_names_out()
    np.testing.assert_array_equal(transformer.get_feature_names_out(), names)
    for other in kinds.values():
        np.testing.assert_array_equal(transformer.transform(other), expected)
    for output in ("pandas", "polars"):
        made = clone(transformer).set_output(transform=output).fit_transform(kinds[kind])
        assert isinstance(made, TYPES[output])
        assert column_names(made) == list(names)
        np.testing.assert_array_equal(np.asarray(made), expected)
        assert np.asarray(made).dtype == np.float32


@pytest.fixture(scope="module")
def scored(table):
    """Return the scores of a cross-validation, or of a search, on a kind of table, computed once."""
    X, y = table
    scorer = PrecisionAtKScorer(ERAttack(k=K, max_iter=2))
    model = make_pipeline(StandardScaler(), SoftplusClassifier(max_epochs=2))
    grid = {"softplusclassifier__lr": [0.01, 0.1]}

    def scores(search, kind):
        rows = KINDS[kind](X)
        if search is None:
            return cross_val_score(model, rows, y, cv=2, scoring=scorer)
        return search(model, grid, cv=2, scoring=scorer).fit(rows, y).cv_results_["mean_test_score"]

    return functools.cache(scores)


@pytest.mark.parametrize("search", [None, GridSearchCV, BatchedSearchCV])
@pytest.mark.parametrize("other", [kind for kind in KINDS if kind != "pandas"])
def test_scorers_and_searches_take_any_kind_of_table(search, other, scored):
    np.testing.assert_allclose(scored(search, other), scored(search, "pandas"))


def test_a_black_box_explains_in_the_kind_that_it_is_given(kind, table, clf):
    X, _ = table
    box = BlackBox(clf, lambda points: clf.explain(points))
    attribution = box.explain(KINDS[kind](X))
    assert isinstance(attribution, TYPES[kind])
    np.testing.assert_allclose(np.asarray(attribution), clf.explain(X))


def test_the_explanation_of_a_black_box_is_brought_into_the_order_of_its_columns(table, clf):
    X, _ = table
    shuffled = BlackBox(clf, lambda points: pd.DataFrame(clf.explain(points)).sort_index(axis=1, ascending=False))
    np.testing.assert_allclose(np.asarray(shuffled.explain(X)), clf.explain(X))
    certificates = [
        certify_smoothed_top_k(explain, X.iloc[:2], K, n_draws=20).scores
        for explain in (clf.explain, lambda points: clf.explain(points).sort_index(axis=1, ascending=False))
    ]
    np.testing.assert_array_equal(*certificates)


# --------------------------------------------------------------------------------------------- two tables meet

COMPARED = {
    "precision_at_k": lambda a, b: precision_at_k(a, b, K),
    "top_k_intersection": lambda a, b: top_k_intersection(a, b, K),
    "spearman_correlation": spearman_correlation,
    "kendall_correlation": kendall_correlation,
    "cosine_similarity": cosine_similarity,
    "first_flip_iteration": lambda a, b: first_flip_iteration([b, b], a, K),
}
JUDGED = {
    "comprehensiveness": comprehensiveness,
    "sufficiency": sufficiency,
    "decision_flip_fraction": decision_flip_fraction,
}
MOVED = {"prediction_sensitivity": prediction_sensitivity, "prediction_change": prediction_change}


def _meeting(name, clf, X):
    """The two tables that meet, and the function of the second."""
    E = clf.explain(X)
    if name in COMPARED:
        other = E + 0.1 * E.to_numpy()[::-1]
        return E, other, lambda first, second: COMPARED[name](first, second)
    if name in JUDGED:
        return X, E, lambda first, second: JUDGED[name](clf, first, second)
    return X, X + 0.3 * X.to_numpy()[::-1], lambda first, second: MOVED[name](clf, first, second)


@pytest.mark.parametrize("name", [*COMPARED, *JUDGED, *MOVED])
def test_columns_in_another_order_are_brought_into_order(name, kind, clf, table):
    first, second, call = _meeting(name, clf, table[0])
    expected = call(first, second)
    shuffled = second[sorted(second.columns, reverse=True)]
    assert list(shuffled.columns) != list(first.columns)
    np.testing.assert_allclose(call(KINDS[kind](first), KINDS[kind](shuffled)), expected)


@pytest.mark.parametrize("name", [*COMPARED, *JUDGED, *MOVED])
def test_rows_in_another_order_are_brought_into_order(name, clf, table):
    first, second, call = _meeting(name, clf, table[0])
    np.testing.assert_allclose(call(first, second.iloc[::-1]), call(first, second))


@pytest.mark.parametrize("name", [*COMPARED, *JUDGED, *MOVED])
def test_arrays_are_taken_by_position(name, clf, table):
    first, second, call = _meeting(name, clf, table[0])
    np.testing.assert_allclose(call(first, second.to_numpy()), call(first, second))


@pytest.mark.parametrize("name", [*COMPARED, *JUDGED, *MOVED])
def test_other_columns_are_refused_by_name(name, kind, clf, table):
    first, second, call = _meeting(name, clf, table[0])
    other = second.rename(columns={second.columns[1]: "height"})
    with pytest.raises(ValueError, match=r"different columns \(only .* has 'sepal width.*'; only .* has 'height'"):
        call(KINDS[kind](first), KINDS[kind](other))


@pytest.mark.parametrize("name", [*COMPARED, *JUDGED, *MOVED])
def test_other_row_labels_are_refused_by_name(name, clf, table):
    first, second, call = _meeting(name, clf, table[0])
    with pytest.raises(ValueError, match=r"different row labels .* reset_index\(drop=True\) on both"):
        call(first, second.reset_index(drop=True))
    np.testing.assert_allclose(call(first.reset_index(drop=True), second.reset_index(drop=True)), call(first, second))


def test_equal_labels_that_occur_twice_are_taken_as_they_stand_and_others_are_refused():
    index = [0, 0, 1]
    first = pd.DataFrame({"a": [1.0, 2.0, 3.0]}, index=index)
    assert aligned(first, first) is first
    with pytest.raises(ValueError, match="occur more than once: 0"):
        aligned(first, first.iloc[::-1])


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(5)), st.permutations(range(6)))
def test_alignment_undoes_every_permutation(columns, rows):
    frame = pd.DataFrame(np.arange(30.0).reshape(6, 5), columns=list("abcde"), index=range(10, 16))
    pd.testing.assert_frame_equal(aligned(frame, frame.iloc[list(rows), list(columns)]), frame)
    polars = pl.DataFrame(frame.to_dict("list"))
    assert aligned(polars, polars.select([list("abcde")[i] for i in columns])).equals(polars)


def test_flip_correlation_pairs_series_by_their_labels():
    flips = pd.Series([1, 2, 3, 4], index=list("abcd"))
    values = pd.Series([0.1, 0.2, 0.3, 0.5], index=list("abcd"))
    assert flip_correlation(flips, values.iloc[::-1]).spearman == pytest.approx(1.0)
    with pytest.raises(ValueError, match="different row labels"):
        flip_correlation(flips, values.reset_index(drop=True))


def test_the_strongest_of_results_goes_by_names(table, clf):
    X, _ = table
    first = ERAttack(clf, k=K, max_iter=2).run(X)
    names = sorted(X.columns, reverse=True)
    parts = (first.X_adv[names], first.attribution[names], first.attribution_adv[names])
    second = AttackResult(*parts, first.precision_at_k - 1, first.first_flip, first.n_iter)
    pd.testing.assert_frame_equal(strongest([first, second]).X_adv, first.X_adv)


def test_columns_in_another_order_than_in_fit_are_refused_by_name(kind, table, clf):
    X, _ = table
    other = KINDS[kind](X[sorted(X.columns, reverse=True)])
    attack = ERAttack(clf, k=K, max_iter=2).fit(KINDS[kind](X))
    for call in (attack.transform, attack.run, attack.fit, AutoExplanationAttack(clf, k=K, preset="fast").run):
        with pytest.raises(ValueError, match=r"order as they were in fit.\nColumn 0 is 'sepal width \(cm\)', and was"):
            call(other)
    with pytest.raises(ValueError, match="same order as they were in fit"):
        clf.explain(other)


def test_a_display_brings_its_tables_into_one_order(table, clf):
    X = table[0].iloc[:3]
    result = ERAttack(clf, k=K, max_iter=2).run(X)
    names = sorted(X.columns, reverse=True)
    tables = (X, result.X_adv[names], result.attribution[names], result.attribution_adv[names].iloc[::-1])
    np.testing.assert_allclose(SaliencyDisplay(*tables, k=K).plot().precision_at_k_, result.precision_at_k)
