import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer, make_column_selector, make_column_transformer
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.feature_selection import SelectKBest
from sklearn.frozen import FrozenEstimator
from sklearn.impute import KNNImputer, MissingIndicator, SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, make_pipeline, make_union
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)

from robustxai.columns import column_map
from robustxai.datasets import make_preprocessor

from .pipelines import Chosen, Doubled, Mixed, Prefixed, pipelines, table

generated = settings(
    max_examples=5,
    deadline=None,
    phases=[Phase.generate],
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def dense(transformer, frame):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = transformer.transform(frame)
    return np.asarray(made.toarray() if hasattr(made, "toarray") else made, dtype=float)


@generated
@given(pipelines(), st.integers(0, 10**6))
def test_maps_of_generated_pipelines(made, seed):
    frame, transformer = made
    columns = column_map(transformer)
    before = dense(transformer, frame)
    check_dependence(frame, transformer, columns, before, seed)
    check_units_and_marks(frame, transformer, columns, before)
    check_inverse(frame, transformer, columns, before)


def check_dependence(frame, transformer, columns, before, seed):
    """A feature depends on its own column alone."""
    assert sorted(np.concatenate(columns.groups)) == list(range(before.shape[1]))
    assert set(columns.columns) | set(columns.unused) == set(frame.columns)
    assert list(columns.frame_columns) == list(frame.columns)
    np.testing.assert_array_equal(columns.transform(frame), before)
    r = np.random.default_rng(seed)
    for name in frame.columns:
        moved = frame.copy()
        moved[name] = frame[name].to_numpy()[r.permutation(len(frame))]
        if name[0] == "n":
            moved[name] = moved[name] + r.normal(size=len(frame)) * frame[name].std()
        changed = ~np.isclose(dense(transformer, moved), before, rtol=1e-9, atol=1e-12, equal_nan=True).all(axis=0)
        own = dict(zip(columns.columns, columns.groups)).get(name, [])
        assert set(np.flatnonzero(changed)) <= set(own), name


def check_units_and_marks(frame, transformer, columns, before):
    """Units are finite differences, and marks mark their categories."""
    shown = columns.to_frame()
    for place, feature in enumerate(columns.records):
        name = columns.frame_columns[feature.column]
        unit = shown["unit"][place]
        assert np.isnan(unit) == bool(shown["reason"][place]), "a unit, or the reason why there is none"
        if feature.kind == "numeric" and not np.isnan(unit) and name[0] == "n":
            step = 0.01 * np.nan_to_num(frame[name].std(), nan=1.0)
            moved = frame.assign(**{name: frame[name] + step})
            after = dense(transformer, moved)[:, place]
            slack = 1e-9 * (1 + np.abs(before[:, place]).max())
            free = frame[name].notna().to_numpy(copy=True)
            for end in (before[:, place], after):
                free &= (end > feature.low + slack) & (end < feature.high - slack)
            np.testing.assert_allclose(((after - before[:, place]) * unit)[free], step, rtol=1e-5)
        elif feature.kind == "category" and feature.source == "mark" and not feature.reason:
            raw = frame[name].astype(object)
            gap = any(c is None or c != c for c in feature.categories)
            inside = raw.isin([c for c in feature.categories if c is not None]) | (raw.isna() & gap)
            known = raw.notna() | gap
            on = np.isclose(before[:, place], feature.shift + feature.scale)
            np.testing.assert_array_equal(on[known], inside[known])
        elif feature.kind == "missing" and not feature.reason:
            on = np.isclose(before[:, place], feature.shift + feature.scale)
            np.testing.assert_array_equal(on, frame[name].isna())
        elif feature.kind == "bin" and feature.source == "mark" and not feature.reason:
            low, high = feature.categories[0]
            raw = frame[name].to_numpy(dtype=float)
            clear = np.abs(raw[:, None] - [low, high]).min(axis=1) > 1e-6 * (1 + np.abs(raw))
            on = np.isclose(before[:, place], feature.shift + feature.scale)
            np.testing.assert_array_equal(on[clear], ((raw > low) & (raw < high))[clear])


def check_inverse(frame, transformer, columns, features):
    """What the inverse returns has the features."""
    try:
        raw = columns.inverse(features, like=frame)
    except ValueError as error:
        if "do not tell its value" in str(error) or "has no category" in str(error):
            return
        raise
    assert list(raw.columns) == list(frame.columns)
    again = dense(transformer, raw)
    # an amount at the edge of a bin, or at a jump of a quantile transform, falls to either side by its rounding
    affine = [not feature.reason and feature.kind != "bin" for feature in columns.records]
    np.testing.assert_allclose(again[:, affine], features[:, affine], rtol=1e-6, atol=1e-6)


NUMBERS, LEVELS = [f"n{j}" for j in range(4)], [f"c{j}" for j in range(3)]
FILLED = ColumnTransformer(
    [("i", SimpleImputer(), NUMBERS), ("c", SimpleImputer(strategy="most_frequent"), LEVELS)],
    verbose_feature_names_out=False,
).set_output(transform="pandas")
UPPER = FunctionTransformer(lambda X: X.apply(lambda s: s.str.upper()), feature_names_out="one-to-one")
ODD = {
    "names of an inner table": make_pipeline(
        FILLED,
        ColumnTransformer(
            [("s", StandardScaler(), ["n1", "n0"]), ("o", OneHotEncoder(drop="first"), ["c1"])], remainder="drop"
        ),
    ),
    "selector in an inner table": make_pipeline(
        FILLED,
        ColumnTransformer(
            [("s", StandardScaler(), make_column_selector(dtype_include=np.number))], remainder=OneHotEncoder()
        ),
    ),
    "positions, slices, masks": ColumnTransformer(
        [
            ("a", make_pipeline(SimpleImputer(), MinMaxScaler()), [0, 2, -1]),
            ("b", OneHotEncoder(), slice("c0", "c1")),
            ("c", OrdinalEncoder(), [c in ("c1", "c2") for c in ["n0", "n1", "n2", "n3", "c0", "c1", "c2", "b"]]),
        ]
    ),
    "text changed before": ColumnTransformer([("a", make_pipeline(UPPER, OneHotEncoder()), LEVELS)]),
    "categories given": ColumnTransformer(
        [("a", OneHotEncoder(categories=[["g", "a", "b", "c_d", "e f"]] * 2, drop=["a", "b"], handle_unknown="ignore"),
          ["c0", "c1"])]
    ),
    "a user's choice of columns": make_pipeline(
        Chosen(["n1", "c2"]),
        ColumnTransformer([("a", make_pipeline(SimpleImputer(), RobustScaler()), ["n1"])], remainder=OneHotEncoder()),
    ),
    "union with passthrough and drop": ColumnTransformer(
        [("a", make_pipeline(SimpleImputer(), FeatureUnion([("p", "passthrough"), ("d", "drop")])), NUMBERS)]
    ),
    "positions after encoding": make_pipeline(
        ColumnTransformer([("o", OneHotEncoder(sparse_output=False), ["c0"]), ("n", SimpleImputer(), NUMBERS)]),
        ColumnTransformer([("s", StandardScaler(), [-1, -2, 0])], remainder="passthrough"),
    ),
    "codes, then marks": ColumnTransformer(
        [("o", make_pipeline(OrdinalEncoder(encoded_missing_value=-1), MinMaxScaler(), OneHotEncoder()), LEVELS)]
    ),
    "bins, then marks": ColumnTransformer(
        [("o", make_pipeline(
            SimpleImputer(), KBinsDiscretizer(4, encode="ordinal", strategy="uniform"), OneHotEncoder()), NUMBERS)]
    ),
    "marks of gaps, then marks": ColumnTransformer(
        [("o", make_pipeline(MissingIndicator(features="all"), OneHotEncoder()), NUMBERS)]
    ),
    "a filling number": ColumnTransformer(
        [("o", make_pipeline(SimpleImputer(strategy="constant", fill_value=-999, add_indicator=True)), NUMBERS)]
    ),
    "marks over a threshold": ColumnTransformer(
        [("o", make_pipeline(OneHotEncoder(sparse_output=False), Binarizer(threshold=0.5)), LEVELS)]
    ),
    "best features": make_pipeline(
        ColumnTransformer([("o", OneHotEncoder(), LEVELS), ("n", SimpleImputer(), NUMBERS)]), SelectKBest(k=5)
    ),
    "several classes": ColumnTransformer(
        [("o", TargetEncoder(target_type="multiclass", cv=2, shuffle=False), LEVELS)]
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_maps_of_odd_pipelines(name):
    frame = table(11)[[*NUMBERS, *LEVELS, "b"]]
    transformer = ODD[name].fit(frame, np.arange(len(frame)) % 3)
    columns, before = column_map(transformer), dense(transformer, frame)
    assert columns.feature_names == tuple(transformer.get_feature_names_out())
    check_dependence(frame, transformer, columns, before, 0)
    check_units_and_marks(frame, transformer, columns, before)
    check_inverse(frame, transformer, columns, before)
    columns.check(frame)


def test_names_of_a_user_s_own_say_nothing():
    X = np.eye(3)
    with pytest.raises(
        ValueError, match=r"step 'prefixed' .* does not tell which feature .* none is called 'doubled_x0'"
    ):
        column_map(make_pipeline(StandardScaler(), Prefixed()).fit(X))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("scale", ["minmax", "standard"])
def test_the_library_s_own_preprocessor(seed, scale):
    frame = table(seed)
    transformer = make_preprocessor(frame, scale=scale).fit(frame)
    columns = column_map(transformer, X=frame)
    assert columns.columns == tuple(frame.columns)
    shown = columns.to_frame()
    numbers = shown[shown["kind"] == "numeric"]
    assert sorted(numbers["column"]) == sorted(c for c in frame if c[0] == "n")
    assert (numbers["reason"] == "").all()
    raw = columns.inverse(columns.transform(frame))
    for name in frame:
        if name[0] == "n":  # columns that are missing in the same rows share a mark
            same = np.isclose(raw[name].astype(float), frame[name], rtol=1e-4, atol=1e-4 * frame[name].std())
            assert (same | frame[name].isna()).all()
        else:
            assert (raw[name].isna() == frame[name].isna()).all()
            assert (raw[name][frame[name].notna()] == frame[name].dropna()).all()


def test_what_every_feature_knows():
    X = pd.DataFrame({"home": ["own", "rent", "ward", "own"], "age": [20.0, 40.0, None, 60.0], "id": range(4)})
    number = make_pipeline(SimpleImputer(add_indicator=True), MinMaxScaler())
    transformer = make_column_transformer((number, ["age"]), (OneHotEncoder(drop="first"), ["home"])).fit(X)
    columns = column_map(transformer)
    assert columns.columns == ("home", "age")
    assert columns.unused == ("id",)
    assert [group.tolist() for group in columns.groups] == [[2, 3], [0, 1]]
    shown = columns.features
    assert shown["kind"].tolist() == ["numeric", "missing", "category", "category"]
    assert shown["category"].tolist() == [None, None, "rent", "ward"]
    assert shown["unit"][0] == pytest.approx(40)
    assert shown["feature"].tolist() == list(transformer.get_feature_names_out())
    assert shown["reason"].tolist()[1:] == ["a mark of gaps is no amount", *["a category is no amount"] * 2]
    raw = columns.inverse([[0.5, 0, 0.2, 0.3], [0.5, 1, 0.1, 0.8]])
    assert raw["home"].tolist() == ["own", "ward"]
    assert raw["age"].tolist()[0] == pytest.approx(40)
    assert np.isnan(raw["age"][1])
    assert columns.inverse([0.5, 0, 1, 0], like=X.iloc[[2]])["id"].tolist() == [2]


def test_infrequent_categories_stand_together():
    X = pd.DataFrame({"c": list("aaaabbbbcde")})
    columns = column_map(OneHotEncoder(min_frequency=3).fit(X))
    assert columns.to_frame()["category"].tolist() == ["a", "b", ("c", "d", "e")]
    assert columns.inverse([0, 0, 1])["c"].tolist() == ["c"]
    with pytest.raises(ValueError, match="no category of the column 'c'"):
        columns.inverse([0, 0, 0])


def test_models_searches_and_frozen_estimators():
    X = pd.DataFrame({"a": np.arange(12.0), "b": np.arange(12.0)[::-1] ** 2})
    y = np.arange(12) % 2
    pipe = make_pipeline(StandardScaler(), make_pipeline(MinMaxScaler(), LogisticRegression())).fit(X, y)
    search = GridSearchCV(pipe, {}, cv=2).fit(X, y)
    expected = column_map(pipe).to_frame()
    assert expected["unit"].tolist() == pytest.approx([11, 121])
    for model in (search, FrozenEstimator(pipe), make_pipeline(FrozenEstimator(pipe)), FrozenEstimator(search)):
        pd.testing.assert_frame_equal(column_map(model).to_frame(), expected)
    alone = column_map(LogisticRegression().fit(X, y))
    assert alone.to_frame()["unit"].tolist() == [1, 1]
    np.testing.assert_array_equal(alone.transform(X), X)
    arrays = column_map(StandardScaler().fit(X.to_numpy()), ["a", "b"])
    assert arrays.columns == ("a", "b")
    np.testing.assert_allclose(arrays.transform(X), StandardScaler().fit_transform(X))
    assert column_map(StandardScaler().fit(X.to_numpy())).columns == ("x0", "x1")


def test_whatever_sees_one_column_only_keeps_it_apart():
    X = pd.DataFrame({"text": ["a b", "b c", "c"], "n": [1.0, 2.0, 3.0]})
    words = make_column_transformer((CountVectorizer(token_pattern="."), "text"), (PolynomialFeatures(2), ["n"]))
    columns = column_map(words.fit(X), X=X)
    assert columns.columns == ("text", "n")
    assert [len(group) for group in columns.groups] == [4, 3]


@pytest.mark.parametrize(
    ("step", "name"),
    [
        (PCA(1), "pca"), (PolynomialFeatures(2), "polynomialfeatures"), (Normalizer(), "normalizer"),
        (KNNImputer(), "knnimputer"), (Mixed(), "mixed"),
        (FunctionTransformer(lambda X: X[:, ::-1], feature_names_out="one-to-one"), "functiontransformer"),
        (FunctionTransformer(lambda X: X[:, :1]), "functiontransformer"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_step_that_mixes_columns_is_refused_by_its_name(step, name):
    X = np.random.default_rng(0).normal(size=(20, 2))
    pipe = make_pipeline(StandardScaler(), step, LogisticRegression()).fit(X, np.arange(20) % 2)
    with pytest.raises(ValueError, match=rf"The step '{name}' \(.*\) (mixes columns|does not tell)"):
        column_map(pipe)


def test_a_mixing_step_that_text_hides_is_found_at_rows():
    X = pd.DataFrame({"a": ["x", "y", "x"], "b": ["u", "u", "v"]})
    joined = FunctionTransformer(lambda X: X.assign(a=X["a"].str.upper() + X["b"]), feature_names_out="one-to-one")
    pipe = make_pipeline(joined, OneHotEncoder(handle_unknown="ignore", sparse_output=False)).fit(X)
    column_map(pipe)
    with pytest.raises(ValueError, match=r"'a_X.*changes with 'b'. A step of the pipeline mixes columns"):
        column_map(pipe, X=X)


@pytest.mark.parametrize(
    "model",
    [
        StandardScaler(), make_pipeline(StandardScaler(), LogisticRegression()), LogisticRegression(),
        make_column_transformer((StandardScaler(), ["a"])), make_union(StandardScaler()), GridSearchCV(PCA(), {}),
        make_pipeline(make_column_transformer((StandardScaler(), ["a"])), LogisticRegression()),
    ],
)  # fmt: skip
def test_what_is_not_fitted_is_refused(model):
    with pytest.raises(NotFittedError, match="call"):
        column_map(model)


def test_a_step_that_was_not_fitted_with_the_others_is_named():
    pipe = make_pipeline(StandardScaler().fit(np.eye(2)), MinMaxScaler())
    with pytest.raises(NotFittedError, match="step 'minmaxscaler'"):
        column_map(pipe)


@pytest.mark.parametrize("thing", [3, "pipeline", StandardScaler, None, [], [1, 2], pd.DataFrame({"a": [1]})])
def test_what_is_no_pipeline_is_refused(thing):
    with pytest.raises(TypeError, match="fitted pipeline or the names of the features"):
        column_map(thing)


def test_columns_that_are_missing_too_many_or_reordered():
    X = pd.DataFrame({"age": [1.0, 2.0], "debt": [3.0, 5.0]})
    columns = column_map(StandardScaler().fit(X))
    with pytest.raises(ValueError, match=r"X lacks the column 'debt'\. Did you mean 'dept'\?"):
        columns.transform(X.rename(columns={"debt": "dept"}))
    with pytest.raises(ValueError, match=r"X has the column 'sex' too. Leave it out"):
        columns.transform(X.assign(sex=1))
    with pytest.raises(ValueError, match=r"another order: 'debt' stands where 'age' belongs. Select"):
        columns.transform(X[["debt", "age"]])
    with pytest.raises(ValueError, match="must have the 2 features"):
        columns.inverse(np.zeros((1, 3)))
    with pytest.raises(ValueError, match="feature_names differs"):
        column_map(StandardScaler().fit(X), ["a", "b"])
    with pytest.raises(ValueError, match="3 names for the 2 columns"):
        column_map(StandardScaler().fit(X.to_numpy()), ["a", "b", "c"])


def test_the_inverse_says_what_it_cannot_know():
    X = pd.DataFrame({"a": np.arange(10.0), "b": np.arange(10.0) ** 2})
    quantile = column_map(
        make_column_transformer((QuantileTransformer(n_quantiles=5), ["a"]), (StandardScaler(), ["b"])).fit(X)
    )
    with pytest.raises(ValueError, match="column 'a' do not tell its value: QuantileTransformer is not affine"):
        quantile.inverse([0.5, 0])
    binned = column_map(KBinsDiscretizer(2, encode="ordinal", strategy="uniform").fit(X))
    with pytest.raises(ValueError, match="a bin is an interval"):
        binned.inverse([0, 0])
    clipped = column_map(MinMaxScaler(clip=True).fit(X))
    with pytest.raises(ValueError, match="Clip x to these limits"):
        clipped.inverse([0.5, 1.5])
    twice = column_map(make_union(StandardScaler(), MinMaxScaler()).fit(X[["a"]]))
    assert twice.inverse([0, 0.5])["a"].tolist() == pytest.approx([4.5])
    with pytest.raises(ValueError, match="contradict each other"):
        twice.inverse([0, 0.6])


def test_ordinal_codes_are_decoded():
    X = pd.DataFrame({"c": ["b", "a", None, "c"]})
    columns = column_map(make_pipeline(OrdinalEncoder(encoded_missing_value=-1), StandardScaler()).fit(X))
    raw = columns.inverse(columns.transform(X))["c"]
    assert raw.dropna().tolist() == ["b", "a", "c"]
    assert raw.isna().tolist() == [False, False, True, False]


def test_names_alone():
    names = ["num__age", "num__missingindicator_age", "cat__home_own", "cat__home_type_x", "debt_missing", "debt"]
    columns = column_map(names, ["home", "age", "debt"])
    assert columns.columns == ("home", "age", "debt")
    assert [group.tolist() for group in columns.groups] == [[2, 3], [0, 1], [4, 5]]
    assert columns.to_frame()["kind"].tolist() == ["numeric", "missing", "category", "category", "missing", "numeric"]
    assert columns.to_frame()["category"].tolist()[2:4] == ["own", "type_x"]
    same = column_map(None, ["age", "sex"])
    assert same.columns == ("age", "sex")
    assert same.to_frame()["reason"].tolist() == ["the map was made of names alone"] * 2
    with pytest.raises(ValueError, match="levels of one column 'home'"):
        column_map(["home_own", "home_rent"])
    with pytest.raises(ValueError, match="'sex' belongs to none of the columns"):
        column_map(["age", "sex"], ["age"])
    with pytest.raises(ValueError, match="made of names alone and transforms nothing"):
        same.transform(pd.DataFrame({"age": [1], "sex": [1]}))
    with pytest.raises(ValueError, match="comes twice"):
        column_map(["age", "age"])


def test_tables_of_other_libraries():
    polars = pytest.importorskip("polars")
    frame = table(3)
    transformer = make_preprocessor(frame).fit(frame)
    given_ = polars.from_pandas(frame)
    columns = column_map(transformer, X=given_)
    np.testing.assert_allclose(columns.transform(given_), columns.transform(frame))


def test_weights_selections_and_unknown_steps():
    X = pd.DataFrame({"a": [1.0, 2.0, 4.0], "b": [1.0, 1.0, 5.0]})
    weighted = ColumnTransformer(
        [("s", MinMaxScaler(), ["a"]), ("d", Doubled(), ["b"])], transformer_weights={"s": 3.0}
    )
    shown = column_map(weighted.fit(X)).to_frame()
    assert shown["unit"][0] == pytest.approx(1)
    assert shown["reason"][1] == "nothing is known of Doubled"
    marks = column_map(MissingIndicator().fit(X.assign(b=[None, 1.0, 2.0])))
    assert marks.unused == ("a",)
