"""Random tables, and random fitted pipelines of transformers that work column by column."""

import warnings

import numpy as np
import pandas as pd
from hypothesis import reject
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.feature_selection import VarianceThreshold
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)

#: Never put into a table, and so free for tests of unknown categories.
UNSEEN = "unseen"


class Doubled(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """A transformer of a user's, which the library does not know."""

    def fit(self, X, y=None):
        self.n_features_in_ = X.shape[1]
        if hasattr(X, "columns"):
            self.feature_names_in_ = np.asarray(X.columns, dtype=object)
        return self

    def transform(self, X):
        return 2.0 * np.asarray(X, dtype=float) ** 3


class Prefixed(Doubled):
    """One that keeps the columns apart under names of its own."""

    def get_feature_names_out(self, input_features=None):
        return np.array([f"doubled_{name}" for name in input_features], dtype=object)


class Chosen(TransformerMixin, BaseEstimator):
    """One that keeps some columns."""

    def __init__(self, names):
        self.names = names

    def fit(self, X, y=None):
        self.feature_names_in_, self.n_features_in_ = np.asarray(X.columns, dtype=object), X.shape[1]
        return self

    def transform(self, X):
        return X[self.names]

    def get_feature_names_out(self, input_features=None):
        return np.asarray(self.names, dtype=object)


class Mixed(Doubled):
    """One whose names look as if it kept the columns apart."""

    def transform(self, X):
        X = np.asarray(X, dtype=float)
        return X - X.mean(axis=1, keepdims=True)


def table(seed, n_rows=30, n_numbers=4, n_levels=3):
    """Numbers and whole numbers, half of them with gaps, one empty; categories with and without gaps, rare levels."""
    r = np.random.default_rng(seed)
    data = {}
    for j in range(n_numbers):
        values = r.normal(size=n_rows) * 10.0 ** r.integers(-2, 4) + r.normal() * 5
        if j % 2:
            values = np.rint(r.uniform(-5, 60, n_rows))
        if r.random() < 0.5:
            values[r.random(n_rows) < 0.2] = np.nan
        data[f"n{j}"] = values
    for j in range(n_levels):
        levels = np.array(["a", "b", "c_d", "e f", "g"][: r.integers(2, 6)], dtype=object)
        values = r.choice(levels, n_rows, p=r.dirichlet(np.ones(len(levels))))
        if r.random() < 0.4:
            values[r.random(n_rows) < 0.2] = None
        data[f"c{j}"] = values
    data["b"] = r.random(n_rows) < 0.5
    frame = pd.DataFrame(data)
    return frame[list(r.permutation(frame.columns))]


scalers = st.sampled_from(
    [
        "passthrough", StandardScaler(), StandardScaler(with_mean=False), StandardScaler(with_std=False),
        MinMaxScaler(), MinMaxScaler((-1, 2), clip=True), MaxAbsScaler(), RobustScaler(),
        RobustScaler(with_centering=False), RobustScaler(with_scaling=False), QuantileTransformer(n_quantiles=10),
        QuantileTransformer(n_quantiles=5, output_distribution="normal"), PowerTransformer(),
        KBinsDiscretizer(3, encode="onehot", quantile_method="averaged_inverted_cdf"),
        KBinsDiscretizer(4, encode="ordinal", strategy="uniform"),
        KBinsDiscretizer(3, encode="onehot-dense", strategy="kmeans"),
        Binarizer(threshold=1.0), SplineTransformer(n_knots=3), Doubled(),
        FunctionTransformer(np.arctan), FunctionTransformer(np.negative), FunctionTransformer(),
        FunctionTransformer(np.abs, feature_names_out="one-to-one"),
        FunctionTransformer(lambda X: X * 3 + 1, feature_names_out="one-to-one"), VarianceThreshold(0.5),
    ]
)  # fmt: skip
imputers = st.builds(
    SimpleImputer,
    strategy=st.sampled_from(["mean", "median", "most_frequent", "constant"]),
    add_indicator=st.booleans(),
    keep_empty_features=st.booleans(),
)
one_hot = st.builds(
    OneHotEncoder,
    drop=st.sampled_from([None, "first", "if_binary"]),
    min_frequency=st.sampled_from([None, 5]),
    max_categories=st.sampled_from([None, 3]),
    handle_unknown=st.sampled_from(["ignore", "infrequent_if_exist"]),
    sparse_output=st.booleans(),
)
ordinal = st.builds(
    OrdinalEncoder,
    handle_unknown=st.just("use_encoded_value"),
    unknown_value=st.just(-1),
    encoded_missing_value=st.sampled_from([-2, 9]),
    min_frequency=st.sampled_from([None, 5]),
)


@st.composite
def of_numbers(draw):
    """What is done to numbers."""
    steps = [draw(imputers), draw(scalers)]
    if draw(st.booleans()):
        steps.append(draw(st.sampled_from([StandardScaler(), MinMaxScaler(clip=True), "passthrough"])))
    made = make_pipeline(*steps)
    kind = draw(st.integers(0, 4))
    if kind == 0:
        made = FeatureUnion([("whole", made), ("gaps", MissingIndicator(features="all"))])
    if kind == 1:
        made = FeatureUnion(
            [("one", made), ("two", make_pipeline(SimpleImputer(), MinMaxScaler()))], transformer_weights={"two": 0.5}
        )
    return made


@st.composite
def of_levels(draw):
    """What is done to categories."""
    encoder = draw(st.one_of(one_hot, ordinal, st.just(TargetEncoder(cv=3, shuffle=False))))
    steps = [encoder]
    if draw(st.booleans()):
        fill = SimpleImputer(strategy=draw(st.sampled_from(["most_frequent", "constant"])))
        steps.insert(0, fill)
    if draw(st.booleans()):
        if isinstance(encoder, OneHotEncoder):
            steps[-1] = OneHotEncoder(**{**encoder.get_params(), "sparse_output": False})
        steps.append(draw(st.sampled_from([StandardScaler(), MaxAbsScaler(), MinMaxScaler((-1, 1), clip=True)])))
    return make_pipeline(*steps)


@st.composite
def pipelines(draw):
    """(frame, fitted transformer)."""
    frame = table(draw(st.integers(0, 10**6)))
    numbers = [c for c in frame if c[0] == "n"]
    levels = [c for c in frame if c[0] == "c"]
    if draw(st.booleans()):
        frame[numbers[0]] = np.nan
    cut = draw(st.integers(0, len(numbers)))
    first = draw(of_numbers())
    parts = [("first", first, numbers[:cut]), ("second", draw(of_numbers()), numbers[cut:])]
    if draw(st.booleans()):  # nested, on positions and a selector
        inner = ColumnTransformer(
            [
                ("empty", "drop", []),
                ("inside", draw(of_levels()), make_column_selector(dtype_exclude=np.number)),
            ],
            remainder=draw(st.sampled_from(["drop", StandardScaler()])),
            verbose_feature_names_out=draw(st.booleans()),
        )
        parts.append(("nested", inner, [*levels, numbers[1]]))
    else:
        parts.append(("levels", draw(of_levels()), levels))
    order = draw(st.permutations(parts))
    remainder = draw(st.sampled_from(["drop", "passthrough"]))
    whole = ColumnTransformer(
        order, remainder=remainder, transformer_weights=draw(st.sampled_from([None, {"first": -2.0}]))
    )
    after = draw(st.sampled_from([None, "selection", "scaler"]))
    whole = Pipeline(
        [
            ("columns", whole),
            *([] if after is None else [("after", VarianceThreshold() if after == "selection" else MaxAbsScaler())]),
        ]
    )
    target = np.arange(len(frame)) % 2
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return frame, whole.fit(frame, target)
    except (ValueError, TypeError):  # scikit-learn refuses: nothing is left for a scaler, gaps, sparse rows
        reject()
