"""What ``GridSearchCV`` takes, ``BatchedSearchCV`` takes, with the same results."""

import sys
import textwrap
import threading
import types
import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.decomposition import PCA
from sklearn.exceptions import FitFailedWarning, UndefinedMetricWarning
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import get_scorer, make_scorer, roc_auc_score
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    PredefinedSplit,
    RepeatedStratifiedKFold,
    ShuffleSplit,
    StratifiedKFold,
)
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler
from skorch.callbacks import Callback, EarlyStopping
from skorch.dataset import ValidSplit

from robustxai import R2ETClassifier, VanillaClassifier
from robustxai.attacks import ERAttack
from robustxai.model_selection import BatchedSearchCV, PrecisionAtKScorer, RobustnessScorer

CLF = VanillaClassifier(max_epochs=2, batch_size=32, module__hidden=(4,), module__activation="softplus", lr=0.05)
PIPE = Pipeline([("t", StandardScaler()), ("m", CLF)])
LRS = {"m__lr": [0.01, 0.1]}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(60, 4)) * [1, 2, 3, 4]).astype(np.float32)
    return X, (X[:, 0] + 0.3 * rng.normal(size=60) > 0).astype(int)


def searched(kind, estimator, grid, X, y, fit=None, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return kind(estimator, grid, **options).fit(X, y, **(fit or {}))


def assert_same(estimator, grid, X, y, stacked=None, **options):
    """All columns but times are equal, and so is what was chosen; whether candidates were stacked."""
    options = {"cv": 2, "scoring": "neg_log_loss", **options}
    mine, theirs = (searched(kind, estimator, grid, X, y, **options) for kind in (BatchedSearchCV, GridSearchCV))
    own, plain = mine.cv_results_, theirs.cv_results_
    assert set(own) - set(plain) == {"stacked", "why_not_stacked"}
    assert plain.keys() <= own.keys()
    assert len(own["params"]) == len(plain["params"])
    assert [list(params) for params in own["params"]] == [list(params) for params in plain["params"]]
    for name in plain:
        if name.startswith(("mean_", "std_", "split")) and not name.endswith("time"):
            np.testing.assert_allclose(own[name], plain[name], atol=2e-3, err_msg=name)
        elif name.startswith("param_"):
            assert [type(value) for value in own[name]] == [type(value) for value in plain[name]]
    public = {name for name in vars(theirs) if name.endswith("_") and not name.startswith("_")}
    assert public == {name for name in vars(mine) if name.endswith("_") and not name.startswith("_")} - {
        "pareto_front_"
    }
    assert type(mine.scorer_) is type(theirs.scorer_)
    if hasattr(theirs, "best_score_"):  # of two that are equal, rounding decides
        assert mine.best_score_ == pytest.approx(theirs.best_score_, abs=2e-3)
    elif hasattr(theirs, "best_index_"):
        assert mine.best_index_ == theirs.best_index_
    assert hasattr(mine, "best_estimator_") == hasattr(theirs, "best_estimator_")
    if hasattr(theirs, "best_estimator_") and mine.best_index_ == theirs.best_index_:
        np.testing.assert_allclose(mine.predict_proba(X), theirs.predict_proba(X), atol=1e-5)
    if stacked is not None:
        assert own["stacked"].tolist() == stacked
    assert [bool(why) for why in own["why_not_stacked"]] == [not one for one in own["stacked"]]
    return own


YES = [True, True]


@pytest.mark.parametrize(
    ("grid", "stacked"),
    [
        ({"t": ["passthrough", StandardScaler()]}, YES),
        ({"t": [None, MinMaxScaler()]}, YES),
        ({"t": [PCA(2), SelectKBest(k=2)]}, YES),
        ({"t": [make_pipeline(StandardScaler(), PCA(3)), FeatureUnion([("a", PCA(1)), ("b", MinMaxScaler())])]}, YES),
        ({"t": ["passthrough", MinMaxScaler()], "m": [CLF, R2ETClassifier(k=2, max_epochs=2)]}, YES * 2),
        ({"m": [LogisticRegression(), CLF]}, [False, True]),
        ([{"t__with_mean": YES}, {"m__lr": [0.02], "t": ["passthrough"]}], [*YES, True]),
        ({"m__lr": np.array([0.01, 0.1])}, YES),
        ({"m__lr": (0.01, 0.1), "m__max_epochs": np.arange(1, 3)}, YES * 2),
        ({"m__module__hidden": [(3,), [2, 2], ()]}, [*YES, True]),
        ({"m__batch_size": [8, -1], "m__warm_up_epochs": [0, 1]}, YES * 2),
        ({"m__random_state": [0, np.random.RandomState(1)]}, YES),
        ({"m__callbacks": [None, [EarlyStopping("train_loss", patience=1)]]}, YES),
        ({"m__train_split": [None, ValidSplit(3, stratified=True)]}, YES),
        ({"m__explainer": ["gradient", "integrated_gradients"]}, [True, False]),
        ({"t__copy": [True], "m__lr": [0.1]}, [True]),
        ({"t": [StandardScaler()], "t__with_std": [True, False]}, YES),
        ({"memory": [None], "m__lr": [0.1]}, [True]),
        ({"verbose": [False], "m__lr": [0.1]}, [True]),
    ],
)
def test_grids(grid, stacked, data):
    assert_same(PIPE, grid, *data, stacked=stacked)


@pytest.mark.parametrize(
    "options",
    [
        {"scoring": None},
        {"scoring": "roc_auc"},
        {"scoring": ["accuracy", "roc_auc"], "refit": "roc_auc"},
        {"scoring": ("accuracy", "neg_log_loss"), "refit": False},
        {"scoring": {"a": "accuracy", "l": get_scorer("neg_log_loss")}, "refit": "l"},
        {"scoring": make_scorer(roc_auc_score, response_method="predict_proba")},
        {"scoring": lambda estimator, X, y: {"a": 0.25, "l": estimator.score(X, y)}, "refit": "l"},
        {"scoring": "accuracy", "refit": "accuracy"},
        {"refit": lambda results: 1},
        {"refit": lambda results: int(np.argmax(results["mean_test_score"]))},
        {"refit": False},
        {"return_train_score": True},
        {"return_train_score": True, "scoring": PrecisionAtKScorer(ERAttack(k=2, max_iter=2))},
        {"scoring": {"p": PrecisionAtKScorer(ERAttack(k=2, max_iter=2)), "a": "accuracy"}, "refit": "p"},
        {"error_score": 0.0},
        {"pre_dispatch": 1},
        {"verbose": 3},
        {"cv": 3},
        {"cv": KFold(3)},
        {"cv": StratifiedKFold(2, shuffle=True, random_state=1)},
        {"cv": RepeatedStratifiedKFold(n_splits=2, n_repeats=2, random_state=0)},
        {"cv": ShuffleSplit(3, random_state=0, test_size=0.4)},
        {"cv": PredefinedSplit(np.arange(60) % 3 - 1)},
        {"cv": [(np.arange(40), np.arange(40, 60)), (np.arange(20, 60), np.arange(20))]},
        {"cv": [(list(range(40)), list(range(40, 60)))]},
        {"cv": [(np.arange(60) < 40, np.arange(60) >= 40)]},
        {"cv": [(np.arange(40), np.arange(40, 50)), (np.arange(40), np.arange(50, 60))]},
        {"cv": [(np.arange(-40, 0), np.arange(20))]},
        {"cv": GroupKFold(3), "fit": {"groups": np.arange(60) // 7}},
    ],
)
def test_options(options, data, capsys):
    assert_same(PIPE, LRS, *data, stacked=YES, **options)
    lines = capsys.readouterr().out.splitlines()
    assert {line.split(";")[0] for line in lines[: len(lines) // 2]} == {
        line.split(";")[0] for line in lines[len(lines) // 2 :]
    }


def test_one_fit_of_several_test_sets_has_the_score_of_each(data):
    scoring = PrecisionAtKScorer(ERAttack(k=2, max_iter=3))
    cv = [(np.arange(40), np.arange(40, 44)), (np.arange(40), np.arange(44, 60))]
    assert_same(PIPE, LRS, *data, scoring=scoring, cv=cv, stacked=YES)


def test_a_generator_of_splits(data):
    def splits():
        yield np.arange(40), np.arange(40, 60)
        yield np.arange(20, 60), np.arange(20)

    scores = [
        searched(kind, PIPE, LRS, *data, cv=splits(), scoring="roc_auc").cv_results_["mean_test_score"]
        for kind in (BatchedSearchCV, GridSearchCV)
    ]
    np.testing.assert_allclose(*scores, atol=2e-3)


@pytest.mark.parametrize(
    "change",
    [
        lambda X, y: (X.tolist(), y.tolist()),
        lambda X, y: (
            pd.DataFrame(X, columns=list("abcd"), index=np.arange(60)[::-1]),
            pd.Series(y, index=np.arange(60)),
        ),
        lambda X, y: (X, np.where(y == 1, "yes", "no")),
        lambda X, y: (X, np.where(y == 1, "yes", "no").astype(object)),
        lambda X, y: (X, y.astype(bool)),
        lambda X, y: (X.astype(np.float64)[::-1], y[::-1]),
        lambda X, y: (np.r_[X[:30], X[:30]], np.r_[y[:30], y[:30]]),  # splits with equal content
    ],
)
def test_data(change, data):
    assert_same(PIPE, LRS, *change(*data), stacked=YES, cv=KFold(2))


@pytest.mark.parametrize(
    "estimator",
    [CLF, make_pipeline(CLF), Pipeline([("s", "passthrough"), ("vanillaclassifier", CLF)])],
    ids=["alone", "one step", "passthrough"],
)
def test_estimators(estimator, data):
    grid = {"vanillaclassifier__lr" if isinstance(estimator, Pipeline) else "lr": [0.01, 0.1]}
    assert_same(estimator, grid, *data, stacked=YES)


def test_estimators_of_others(data):
    assert_same(LogisticRegression(), {"C": [0.1, 1.0]}, *data, stacked=[False, False])
    assert_same(CalibratedClassifierCV(CLF, cv=2), {"estimator__lr": [0.01, 0.1]}, *data, stacked=[False, False])


def test_parameters_of_fit(data):
    weights = np.linspace(0, 1, 60)
    pipe = make_pipeline(StandardScaler(), LogisticRegression())
    fit = {"logisticregression__sample_weight": weights}
    assert_same(pipe, {"logisticregression__C": [0.1, 1.0]}, *data, fit=fit, stacked=[False, False])
    scaled = {"t__sample_weight": weights, "m__sample_weight": weights}
    assert_same(PIPE, LRS, *data, fit=scaled, stacked=YES)


def test_weights_of_rows_and_classes(data):
    weights, clf = np.linspace(0, 1, 60), clone(CLF).set_params(batch_size=16)
    weighted, plain = (
        assert_same(clf, {"lr": [0.01, 0.1]}, *data, fit=fit, scoring="accuracy", stacked=YES)["mean_test_score"]
        for fit in ({"sample_weight": weights}, {})
    )
    assert not np.allclose(weighted, plain)
    grid = {"class_weight": [None, "balanced", {0: 20.0}, {1: 20.0}]}
    scores = assert_same(clf, grid, *data, scoring="recall", stacked=[True] * 4)["mean_test_score"]
    assert scores[2] < scores[0] < scores[3]


def test_weights_reach_scorers(data):
    fit, grid = {"sample_weight": np.arange(60) % 4}, {"lr": [0.01, 0.1]}
    stable = PrecisionAtKScorer(ERAttack(k=1, max_iter=2))
    assert_same(CLF, grid, *data, fit=fit, scoring=stable, stacked=YES)
    both = {"scoring": {"stable": stable, "accuracy": "accuracy"}, "refit": "accuracy"}
    assert_same(CLF, grid, *data, fit=fit, stacked=YES, **both)


def test_metadata_by_routing(data):
    groups, weights = np.arange(60) // 7, np.linspace(0, 1, 60)
    scorer = get_scorer("neg_log_loss")
    with sklearn.config_context(enable_metadata_routing=True):
        assert_same(PIPE, LRS, *data, cv=GroupKFold(3), fit={"groups": groups}, stacked=YES)
        scoring = scorer.set_score_request(sample_weight=True)
        for requested in (True, False):
            clf = clone(CLF).set_fit_request(sample_weight=requested)
            assert_same(clf, {"lr": [0.01, 0.1]}, *data, scoring=scoring, fit={"sample_weight": weights}, stacked=YES)
        scaler = StandardScaler().set_fit_request(sample_weight=True)
        pipe = Pipeline([("t", scaler), ("m", clone(CLF).set_fit_request(sample_weight=True))])
        assert_same(pipe, LRS, *data, scoring=scoring, fit={"sample_weight": weights}, stacked=YES)
        logistic = LogisticRegression().set_fit_request(sample_weight=True)
        options = {"scoring": scoring, "fit": {"sample_weight": weights}, "stacked": [False, False]}
        assert_same(logistic, {"C": [0.1, 1.0]}, *data, **options)


# ---------------------------------------------------------------- identity


class T(TransformerMixin, BaseEstimator):
    """Two of them without parameters have nothing in their repr."""

    def __init__(self, value=None):
        self.value = value

    def fit(self, X, y=None):
        self.n_ = 1
        return self


class Zero(T):
    def transform(self, X):
        return np.zeros_like(X)


class Same(T):
    def transform(self, X):
        return np.array(X)


class Times(T):
    def transform(self, X):
        return np.asarray(X * np.asarray(self.value)[-4:], dtype=np.float32)


class Nameless(T):
    def __repr__(self, N_CHAR_MAX=700):
        return "Nameless()"

    def transform(self, X):
        return X * self.value


class Drawn(T):
    def transform(self, X):
        return X + np.asarray(np.random.RandomState(self.value.get_state()[1][5] % 1000).normal(size=4) * 5)


class Amount:
    def __init__(self, amount):
        self.amount = amount

    def __repr__(self):
        return "Amount"

    def __call__(self, X):
        return X * self.amount


def scaled(by):
    return lambda X: by * X


def times(X, by):
    return np.asarray(X * by[-4:], dtype=np.float32)


LONG, OTHER = np.ones(3000), np.r_[np.ones(1500), -1.0, np.ones(1495), np.zeros(4)]
EQUAL_IN_WORDS = {
    "classes": {"t": [Zero(), Same()]},
    "long arrays": {"t": [Times(LONG), Times(OTHER)]},
    "long arrays as parameters": {"t": [Times()], "t__value": [LONG, OTHER]},
    "tensors": {"t": [Times()], "t__value": [torch.as_tensor(LONG), torch.as_tensor(OTHER)]},
    "frames": {"t": [Times()], "t__value": [pd.Series(LONG), pd.Series(OTHER)]},
    "a repr of one's own": {"t": [Nameless(1.0), Nameless(0.0)]},
    "lambdas": {"t": [FunctionTransformer(lambda X: X), FunctionTransformer(lambda X: 0 * X)]},
    "closures": {"t": [FunctionTransformer(scaled(by)) for by in (1, 0)]},
    "objects that are called": {"t": [FunctionTransformer(Amount(1)), FunctionTransformer(Amount(0))]},
    "arguments": {"t": [FunctionTransformer(times, kw_args={"by": by}) for by in (LONG, OTHER)]},
    "random states": {"t": [Drawn()], "t__value": [np.random.RandomState(0), np.random.RandomState(9)]},
    "steps within": {"t": [make_pipeline(Zero()), make_pipeline(Same())]},
}


@pytest.mark.parametrize("name", EQUAL_IN_WORDS)
def test_candidates_that_look_alike_get_data_of_their_own(name, data):
    longer = Pipeline([("t", StandardScaler()), ("m", clone(CLF).set_params(max_epochs=8))])
    scores = assert_same(longer, EQUAL_IN_WORDS[name], *data, stacked=YES)["mean_test_score"]
    assert abs(scores[0] - scores[1]) > 0.01


def test_held_out_losses_are_known_by_content():
    """Of estimators that choose their epochs themselves: parameters with one repr, other networks."""

    def optimizer(scale):
        class Optimizer(torch.optim.Adam):
            def step(self, closure=None):
                for group in self.param_groups:
                    group["lr"] *= scale
                super().step(closure)

        return Optimizer

    weights = [torch.cat([torch.ones(3000), torch.tensor([last])]) for last in (1.0, 2.0)]
    pairs = [
        [{"optimizer": optimizer(1.0)}, {"optimizer": optimizer(0.9)}],
        [{"criterion__weight": weight} for weight in weights],
        [{"iterator_valid": lambda data: 1}, {"iterator_valid": lambda data: 2}],
    ]
    for one, other in pairs:
        for n_rows in (100, 5000):
            same = [VanillaClassifier(**one)._watch_key(n_rows) for _ in range(2)]
            assert same[0] == same[1] != VanillaClassifier(**other)._watch_key(n_rows)


# ---------------------------------------------------------------- what is handed over


class Locked(Same):
    """What it learns can neither be copied nor pickled."""

    def fit(self, X, y=None):
        self.lock_ = threading.Lock()
        return super().fit(X, y)


class Touches(Callback):
    def on_epoch_end(self, net, **kwargs):
        net.module_.layers[0].bias.data.zero_()


def test_what_cannot_be_pickled_is_not_stacked(data):
    results = assert_same(PIPE, {"t": [Locked(), Same()]}, *data, stacked=[False, True])
    assert "pickled" in results["why_not_stacked"][0]


def test_callbacks_that_touch_the_net_are_carried_out(data):
    grid = {"m__callbacks": [None, [("own", Touches())]]}
    scores = assert_same(PIPE, grid, *data, stacked=[True, False])["mean_test_score"]
    assert scores[0] != scores[1]


def test_what_a_script_defines_itself_goes_to_other_processes(monkeypatch):
    script = """
        import numpy as np
        from dataclasses import dataclass
        from sklearn.model_selection import GridSearchCV
        from sklearn.pipeline import Pipeline
        from sklearn.preprocessing import FunctionTransformer
        from skorch.callbacks import Callback
        from robustxai import R2ETClassifier, VanillaClassifier
        from robustxai.attacks import ERAttack
        from robustxai.explainers import Gradient
        from robustxai.model_selection import BatchedSearchCV, PrecisionAtKScorer

        class MyR2ET(R2ETClassifier):
            def __init__(self, k=2, **params): super().__init__(k=k, **params)

        class MyScorer(PrecisionAtKScorer):
            pass

        class MyCallback(Callback):
            def on_epoch_end(self, net, **kwargs): net.module_.layers[0].bias.data.zero_()

        class MyGradient(Gradient):
            pass

        class MyError(Exception):
            def __init__(self, one, two): super().__init__(one)

        def failing(X): raise MyError("no", "way")

        def scale(by):
            def scaled(X): return by * X
            return scaled

        def score(estimator, X, y): return estimator.score(X, y)

        X = np.random.default_rng(0).normal(size=(60, 4)); y = (X[:, 0] > 0).astype(int)
        small = {"max_epochs": 2, "batch_size": 16, "module__hidden": (4,)}
        pipe = Pipeline([("t", FunctionTransformer(lambda X: X)), ("m", MyR2ET(**small))])
        grid = [
            {"t__func": [scale(2), lambda X: -X], "m__lambda_gap": [0.0, 0.1]},
            {"m": [MyR2ET(callbacks=[("own", MyCallback())], **small)]},
            {"m": [VanillaClassifier(explainer=MyGradient(), **small)]},
            {"t__func": [failing]},
        ]
        scoring = {"a": lambda e, X, y: e.score(X, y), "p": MyScorer(ERAttack(k=2, max_iter=2)), "s": score}
        options = {"cv": 2, "refit": False, "scoring": scoring}
        mine, theirs = BatchedSearchCV(pipe, grid, n_jobs=2, **options), GridSearchCV(pipe, grid, **options)
        mine, theirs = mine.fit(X, y).cv_results_, theirs.fit(X, y).cv_results_
        for name in theirs:
            if name.startswith("mean_test"):
                np.testing.assert_allclose(mine[name], theirs[name], atol=2e-3)
        assert mine["stacked"].tolist() == [True] * 4 + [False] * 3, mine["why_not_stacked"]
    """
    # run as the program of this process, so that the workers of the other tests serve it; they have another program
    program = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", program)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(textwrap.dedent(script), vars(program))


# ---------------------------------------------------------------- one metric that does not exist

ONE_CLASS = [(np.r_[0:20, 30:60], np.r_[20:30]), (np.r_[0:20, 30:50], np.r_[20:30, 50:60])]


@pytest.fixture(scope="module")
def in_order(data):
    order = np.argsort(data[1], kind="stable")
    y = np.r_[np.zeros(30), np.ones(30)].astype(int)
    return data[0][order], y


class Raises:
    """A score that cannot be computed on few rows."""

    def __init__(self, together=False, several=False):
        self.several = several
        if together:
            self.score_together = lambda estimators, X, y: [self(estimator, X, y) for estimator in estimators]

    def __call__(self, estimator, X, y):
        if len(X) < 15:
            raise RuntimeError("too few rows")
        score = estimator.score(X, y)
        return {"a": score, "b": -score} if self.several else score


@pytest.mark.parametrize(
    "scoring",
    [
        ["roc_auc", "accuracy"],
        {"roc_auc": Raises(), "accuracy": "accuracy"},
        {"roc_auc": Raises(together=True), "accuracy": "accuracy"},
    ],
    ids=["roc_auc", "raises", "raises together"],
)
@pytest.mark.parametrize("error_score", [np.nan, -7.0])
def test_a_metric_that_does_not_exist_takes_no_other_along(scoring, error_score, in_order):
    options = {"scoring": scoring, "refit": "accuracy", "cv": ONE_CLASS, "error_score": error_score}
    results = assert_same(PIPE, LRS, *in_order, stacked=YES, **options)
    assert np.isfinite(results["mean_test_accuracy"]).all()
    assert not np.isclose(results["split0_test_roc_auc"], results["split1_test_roc_auc"]).any()


@pytest.mark.parametrize("scoring", [Raises(), Raises(together=True), Raises(several=True), Raises(True, True)])
def test_error_score_is_for_scorers_too(scoring, in_order):
    refit = "a" if scoring.several else True
    with pytest.raises(RuntimeError, match="too few rows"):
        searched(BatchedSearchCV, PIPE, LRS, *in_order, scoring=scoring, refit=refit, cv=ONE_CLASS, error_score="raise")
    search = searched(
        BatchedSearchCV, PIPE, LRS, *in_order, scoring=scoring, refit=refit, cv=ONE_CLASS, error_score=-7.0
    )
    for name in ("test_a", "test_b") if scoring.several else ("test_score",):
        assert search.cv_results_[f"split0_{name}"].tolist() == [-7.0, -7.0]
        assert (np.abs(search.cv_results_[f"split1_{name}"]) <= 1).all()


def test_the_robustness_scorer_has_nan_where_there_is_no_area(in_order):
    scoring = RobustnessScorer(ERAttack(k=2, max_iter=2), n_draws=2)
    search = BatchedSearchCV(PIPE, LRS, scoring=scoring, refit="precision_at_k", cv=ONE_CLASS)
    with pytest.warns(UndefinedMetricWarning, match="single class"):
        search.fit(*in_order)
    results = search.cv_results_
    undefined = {name for name in results if name.startswith("split0_test") and np.isnan(results[name]).any()}
    assert {"split0_test_roc_auc", "split0_test_adversarial_auc"} <= undefined
    assert undefined <= {f"split0_test_{n}" for n in ("roc_auc", "adversarial_auc", "corrected_precision_at_k")}
    assert np.isfinite(results["split1_test_roc_auc"]).all()
    assert np.isfinite(search.best_score_)
    assert len(search.pareto_front_)


def test_a_class_that_the_training_rows_lack_is_no_area_either(in_order):
    clf = clone(CLF).fit(*in_order)
    y = np.where(np.arange(60) < 3, 2, in_order[1])
    with pytest.warns(UndefinedMetricWarning, match="not fitted with"):
        scores = RobustnessScorer(ERAttack(k=2, max_iter=2), n_draws=2)(clf, in_order[0], y)
    assert np.isnan(scores["roc_auc"])
    assert scores["accuracy"] <= 57 / 60


@pytest.mark.parametrize(
    "grid",
    [
        {"m__lr": [0.1, -1.0]},
        {"m__lr": [0.1, 1e30]},
        {"m__module__hidden": [(4,), "nonsense"]},
        {"m__callbacks": [None, [EarlyStopping("nothing")]]},
        {"m__train_split": [None, ValidSplit(1000)]},
        {"t": ["passthrough", PCA(400)]},
        {"t": ["passthrough", FunctionTransformer(lambda X: 1 / 0)]},
    ],
)
def test_a_candidate_that_fails_gets_the_error_score(grid, data):
    assert_same(PIPE, grid, *data, error_score=-7.0)
    with pytest.warns(FitFailedWarning):
        search = BatchedSearchCV(PIPE, grid, cv=2, error_score=-7.0).fit(*data)
    assert search.cv_results_["mean_test_score"][1] == -7.0
    assert search.cv_results_["stacked"][0]
    with pytest.raises(Exception, match=r"\w"):
        searched(BatchedSearchCV, PIPE, grid, *data, cv=2, error_score="raise")


def test_an_unknown_metric_is_found_before_the_training(data):
    seen = []
    pipe = Pipeline([("t", FunctionTransformer(lambda X: seen.append(1) or X)), ("m", CLF)])
    with pytest.raises(ValueError, match="rocauc"):
        BatchedSearchCV(pipe, LRS, scoring="rocauc").fit(*data)
    assert not seen


class Listener:
    """A callback of scikit-learn that keeps the names of the tasks."""

    def __init__(self):
        self.tasks = []

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context, **data):
        self.tasks.append(("begin", context.task_name))

    def on_fit_task_end(self, estimator, context, **data):
        self.tasks.append(("end", context.task_name))


@pytest.mark.skipif(not hasattr(GridSearchCV, "set_callbacks"), reason="scikit-learn has no callbacks yet")
def test_callbacks_of_scikit_learn_hear_of_every_fit(data):
    mine, theirs, halving = Listener(), Listener(), Listener()
    BatchedSearchCV(CLF, {"lr": [0.01, 0.1]}, cv=2).set_callbacks(mine).fit(*data)
    GridSearchCV(CLF, {"lr": [0.01, 0.1]}, cv=2).set_callbacks(theirs).fit(*data)
    assert sorted(mine.tasks) == sorted(theirs.tasks)
    BatchedSearchCV(CLF, {"lr": [0.01, 0.1]}, cv=2, n_rungs=2).set_callbacks(halving).fit(*data)
    assert halving.tasks.count(("end", "candidate-split-evaluation")) == 6
    assert halving.tasks.count(("begin", "rung")) == halving.tasks.count(("end", "rung")) == 2
