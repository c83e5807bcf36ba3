import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from robustxai import IGNormClassifier, SoftplusClassifier
from robustxai._columns import by_feature, columns_named, indices_of
from robustxai.attacks import PGD, RandomAttack, TargetedManipulation
from robustxai.certificates import certify_top_k
from robustxai.datasets import make_preprocessor
from robustxai.perturbation import ThreatModel


@pytest.fixture(scope="module")
def table():
    r = np.random.default_rng(0)
    n = 80
    return pd.DataFrame(
        {
            "age": r.uniform(20, 80, n),
            "age_group": r.choice(["young", "middle", "old"], n),
            "purpose": r.choice(["car", "radio", "used_car", "used_truck"], n),
            "sex": r.choice(["f", "m", "x"], n),
        }
    )


def of_column(column, features):
    """What a column became, by what is known of how it was made."""
    ours = {
        "age": ["age"],
        "age_group": ["age_group_young", "age_group_middle", "age_group_old"],
        "purpose": ["purpose_car", "purpose_radio", "purpose_used_car", "purpose_used_truck"],
        "sex": ["sex_f", "sex_m", "sex_x"],
    }[column]
    return [i for i, feature in enumerate(features) if feature.split("__")[-1] in ours]


def transformers(table):
    text = ["age_group", "purpose", "sex"]
    make = OneHotEncoder(sparse_output=False, handle_unknown="ignore")
    return {
        "make_preprocessor": make_preprocessor(table),
        "standardized numbers": make_preprocessor(table, scale="standard"),
        "ColumnTransformer": make_column_transformer((StandardScaler(), ["age"]), (make, text)),
        "all standardized": make_pipeline(make_preprocessor(table), StandardScaler()),
        "levels first": make_column_transformer((make, text), (StandardScaler(), ["age"])),
    }


@pytest.mark.parametrize("column", ["age", "age_group", "purpose", "sex"])
@pytest.mark.parametrize("way", range(5))
def test_a_column_means_all_that_it_became(table, way, column):
    transformer = list(transformers(table).values())[way]
    X = np.asarray(transformer.fit_transform(table), dtype=float)
    features = list(transformer.get_feature_names_out())
    wanted = of_column(column, features)
    assert columns_named(column, features, X) == wanted
    space = ThreatModel(frozen=[column]).bind(X, features)
    assert np.flatnonzero(space.unit.numpy() == 0).tolist() == wanted
    space = ThreatModel(scale={column: 0.25}).bind(X, features)
    assert space.unit.tolist() == [0.25 if i in wanted else 1.0 for i in range(len(features))]
    space = ThreatModel(bounds={column: (None, 90)}).bind(X, features)
    assert space.high.tolist() == [90.0 if i in wanted else np.inf for i in range(len(features))]
    assert np.isneginf(space.low.numpy()).all()


@pytest.mark.parametrize("column", ["x0", "x1"])
def test_columns_without_names(table, column):
    values = table[["purpose", "sex"]].to_numpy()
    encoder = OneHotEncoder(sparse_output=False).fit(values)
    features = list(encoder.get_feature_names_out())
    assert columns_named(column, features, encoder.transform(values)) == [
        i for i, f in enumerate(features) if f.startswith(f"{column}_")
    ]


@pytest.mark.parametrize(
    ("name", "names", "wanted"),
    [
        ("age", ["age", "age_group"], [0]),
        ("age", ["age_group", "age"], [1]),
        ("age", ["age_group", "sex"], [0]),  # no feature of that name: it began as a column "age"
        ("age", ["num__age", "num__age_group"], [0]),
        ("num__age", ["num__age", "cat__age_x"], [0]),
        ("age", ["age", "num__age"], [0]),
        ("purpose", ["purpose_car", "purpose_radio", "amount"], [0, 1]),
        ("purpose", ["cat__purpose_car", "cat__purpose_used__car", "amount"], [0, 1]),
        ("a_b", ["a_b_c", "a_c", "a_b_d"], [0, 2]),
        ("mean radius", ["mean radius", "mean radius error"], [0]),
    ],
)
def test_what_a_name_means(name, names, wanted):
    assert columns_named(name, names) == wanted


@pytest.mark.parametrize("prefix", ["", "levels__"])
def test_a_name_that_may_be_two_columns_is_refused(prefix):
    names = [f"{prefix}home_{level}" for level in ("own", "rent", "type_flat", "type_house")]
    with pytest.raises(ValueError, match=r"'home' is no feature.*names of the features themselves"):
        columns_named("home", names)
    both = np.array([[1, 0, 0, 1], [0, 1, 1, 0]])
    with pytest.raises(ValueError, match="are not the levels of one column"):
        columns_named("home", names, both)
    one = np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])  # one level a row: type_flat is a level
    assert columns_named("home", names, one) == [0, 1, 2, 3]
    assert columns_named("home_type", names, both) == [2, 3]
    numbers = np.c_[np.linspace(0, 5, 6), np.tile(np.eye(2), (3, 1))]
    with pytest.raises(ValueError, match="are not the levels of one column"):
        columns_named("credit", ["credit_amount", "credit_good", "credit_bad"], numbers)
    with pytest.raises(ValueError, match=r"may be any of 'a__age', 'b__age'"):
        columns_named("age", ["a__age", "b__age"])


def test_an_unknown_name_is_refused_with_the_nearest():
    names = ["age", "purpose_car", "purpose_radio"]
    for threat in (
        ThreatModel(frozen=["purpse"]),
        ThreatModel(scale={"purpse": 2}),
        ThreatModel(bounds={"purpse": (0, 1)}),
    ):
        with pytest.raises(ValueError, match=r"'purpse' is not in the data. Did you mean 'purpose'\?"):
            threat.bind(np.zeros((1, 3)), names)


def test_a_frozen_column_keeps_its_indicator():
    X = pd.DataFrame({"age": [1.0, None, 3.0], "debt": [None, 1.0, 2.0]})
    imputer = SimpleImputer(add_indicator=True).fit(X)
    names, rows = list(imputer.get_feature_names_out()), imputer.transform(X)
    frozen = ThreatModel(frozen=["age"]).bind(rows, names).unit.numpy() == 0
    assert [n for n, f in zip(names, frozen) if f] == ["age", "missingindicator_age"]
    preprocessor = make_preprocessor(X)
    rows, ours = preprocessor.fit_transform(X), list(preprocessor.get_feature_names_out())
    frozen = ThreatModel(frozen=["age"]).bind(rows, ours).unit.numpy() == 0
    assert [n for n, f in zip(ours, frozen) if f] == ["age", "age_missing"]
    assert ThreatModel(scale={"age": 2.0}).bind(rows, names).unit.tolist() == [2.0, 1.0, 1.0, 1.0]


def test_indices_and_mappings():
    names = list("abc")
    assert indices_of(["b", -1, np.int64(0)], names, 3, what="frozen") == [[1], [2], [0]]
    assert by_feature({"c": 5, 0: 4}, 1.0, names, 3, what="scale").tolist() == [4, 1, 5]
    with pytest.raises(ValueError, match="scale gives the feature 'b' twice"):
        by_feature({"b": 5, 1: 4}, 1.0, names, 3, what="scale")
    with pytest.raises(TypeError, match="by name or by index, got True"):
        indices_of([True], names, 3, what="scale")


def test_attacks_certificates_and_training_read_names(table):
    preprocessor = make_preprocessor(table).set_output(transform="pandas")
    X = preprocessor.fit_transform(table)
    y = (table["age"] > 50).astype(int)
    clf = SoftplusClassifier(max_epochs=5).fit(X, y)
    threat = ThreatModel(0.4, frozen=["purpose"], scale={"sex": 0.5}, bounds={"age": (0, 1)})
    columns = {c: [f for f in X if f in np.array(X.columns)[of_column(c, list(X))]] for c in ("age", "purpose")}
    for attack in (RandomAttack(clf, k=2, threat=threat, max_iter=5), PGD(clf, threat=threat)):
        moved = pd.DataFrame(attack.fit_transform(X), columns=X.columns, index=X.index)
        pd.testing.assert_frame_equal(moved[columns["purpose"]], X[columns["purpose"]])
        assert moved["age"].between(0, 1).all()
        assert not moved.equals(X)
    targeted = TargetedManipulation(clf, k=2, target_units=["purpose"], max_iter=2).fit(X)
    assert list(X.columns[targeted.target_mask_]) == columns["purpose"]
    mask = [c in columns["purpose"] for c in X]
    balls = (ThreatModel(0.1, frozen=frozen) for frozen in (["purpose"], mask))
    named, given = (certify_top_k(clf, X[:5], 2, threat=ball) for ball in balls)
    np.testing.assert_array_equal(named.n_proven_pairs, given.n_proven_pairs)
    low, high = np.full(X.shape[1], -np.inf), np.full(X.shape[1], np.inf)
    low[list(X).index("age")], high[list(X).index("age")] = 0.0, 1.0
    models = [
        IGNormClassifier(threat=ThreatModel(0.01, "inf", bounds=b), max_epochs=2).fit(X, y)
        for b in ({"age": (0, 1)}, (low, high))
    ]
    np.testing.assert_array_equal(*(m.predict_proba(X) for m in models))
