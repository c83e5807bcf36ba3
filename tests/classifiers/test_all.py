"""The contract of every public classifier."""

import contextlib
import copy
import functools
import pickle
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import robustxai.classifiers
from robustxai.classifiers import (
    ARTClassifier,
    ATEXClassifier,
    AttributionContrastClassifier,
    BaseExplainableClassifier,
    CertifiedR2ETClassifier,
    EstimatedHessianClassifier,
    FARClassifier,
    IGNormClassifier,
    IGRClassifier,
    LinearClassifier,
    MapDiscrepancyClassifier,
    R2ETClassifier,
    SSRClassifier,
)
from robustxai.explainers import Gradient

from . import conftest
from .conftest import CHEAP, CLASSIFIERS, QUICK, WITH_K, iris


def small(cls, **params):
    """As in the other files, with fewer steps: one epoch, of two batches of `data`, the last of which is smaller."""
    return conftest.small(
        cls, **{"max_epochs": 1, "batch_size": 50, **QUICK.get(cls, {}), **CHEAP.get(cls, {}), **params}
    )


def first_rows():
    """Return rows enough for two steps."""
    X, y = iris()
    return X[:80], y[:80]


@pytest.fixture(scope="session")
def data():
    return first_rows()


@functools.cache
def fitted(cls, **params):
    """Return ``small(cls, **params)`` fitted to `data`: one object for all tests of a process, which only read it."""
    return small(cls, **params).fit(*first_rows())


def states_equal(a, b):
    first, second = a.module_.state_dict(), b.module_.state_dict()
    return first.keys() == second.keys() and all(torch.equal(value, second[name]) for name, value in first.items())


def test_the_list_is_complete():
    public = {getattr(robustxai.classifiers, name) for name in robustxai.classifiers.__all__}
    public = {value for value in public if isinstance(value, type)}
    assert public - {BaseExplainableClassifier} == set(CLASSIFIERS)


def checked(cls):
    """Return an instance that is trained enough for the checks that ask for an accuracy above 0.83."""
    options = {"max_epochs": 1, "batch_size": 40, "lr": 0.1} if cls is not LinearClassifier else {}
    return cls(**{**options, **({"k": 1} if cls in WITH_K else {}), **QUICK.get(cls, {})})


#: Their penalties draw random numbers for each row, or round by more than the 1e-7 of the check; test_weights.py
#: compares weighted rows with repeated rows where nothing is random.
ROUNDED = (
    ARTClassifier,
    ATEXClassifier,
    AttributionContrastClassifier,
    CertifiedR2ETClassifier,
    EstimatedHessianClassifier,
    FARClassifier,
    IGNormClassifier,
    IGRClassifier,
    MapDiscrepancyClassifier,
    R2ETClassifier,
    SSRClassifier,
)


def expected_failures(clf):
    found = {}
    if hasattr(clf, "max_iter"):
        found["check_non_transformer_estimators_n_iter"] = "max_iter is the budget inside of a step, not of the fit"
    if isinstance(clf, ROUNDED):
        found["check_sample_weight_equivalence_on_dense_data"] = "repeated rows have random numbers of their own"
    return found


@parametrize_with_checks([checked(cls) for cls in CLASSIFIERS])
def test_scikit_learn(estimator, check):
    name = check.func.__name__
    expected = expected_failures(estimator).get(name)
    if expected is None:
        return run_check(estimator, check, name)
    with contextlib.suppress(AssertionError, AttributeError):  # a traceback through the long file would take a second
        return run_check(estimator, check, name)
    pytest.xfail(expected)


def run_check(estimator, check, name):
    if name == "check_class_weight_classifiers":
        if hasattr(estimator, "max_iter") or isinstance(estimator, CertifiedR2ETClassifier):
            pytest.skip("slow: the check sets max_iter to 1,000, for each of the steps; test_weights.py weighs classes")
        estimator = clone(estimator).set_params(max_epochs=8, batch_size=16)  # its columns are not standardized
        return check(estimator)
    if name == "check_sample_weight_equivalence_on_dense_data":
        estimator = clone(estimator).set_params(batch_size=-1)  # batches of repeated rows are others
    if name != "check_no_attributes_set_in_init" and not isinstance(estimator, LinearClassifier):
        estimator = clone(estimator)
        if name == "check_classifiers_train":
            estimator.set_params(module__hidden=(64,))
        elif name == "check_classifiers_classes":  # of 20 and of 30 rows
            estimator.set_params(module__hidden=(16,), batch_size=5)
        else:  # the others need no accuracy
            estimator.set_params(module__hidden=(16,), batch_size=-1)
    return check(estimator)


# ------------------------------------------------------------------ randomness


def test_the_same_seed_gives_the_same_bits(cls, data):
    X, y = data
    for seed in (0, 5):
        a, b = (
            fitted(cls, random_state=seed, max_epochs=2),
            small(cls, random_state=seed, max_epochs=2).fit(X, y),
        )
        assert states_equal(a, b)
        assert np.array_equal(a.predict_proba(X), b.predict_proba(X))
        assert np.array_equal(a.explain(X), b.explain(X))
    same = states_equal(*(fitted(cls, random_state=seed, max_epochs=2) for seed in (0, 5)))
    assert same == (cls is LinearClassifier)  # a convex problem has one solution


def test_a_random_state_object_is_drawn_from(cls, data):
    X, y = data
    first = small(cls, random_state=np.random.RandomState(3)).fit(X, y)
    shared = np.random.RandomState(3)
    a, b = (small(cls, random_state=shared).fit(X, y) for _ in range(2))
    assert states_equal(a, first)
    assert states_equal(a, b) == (cls is LinearClassifier)


def test_a_second_fit_starts_anew(cls, data):
    X, y = data
    clf = small(cls).fit(X, y)
    first = copy.deepcopy(clf)
    assert states_equal(clf.fit(X, y), first)


def test_global_generators_are_untouched(cls, data):
    X, y = data
    before = torch.get_rng_state(), np.random.mtrand._rand.get_state(legacy=False)
    clf = small(cls).fit(X, y)
    clf.predict(X), clf.predict_proba(X), clf.explain(X), clf.score(X, y)
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_equal(np.random.mtrand._rand.get_state(legacy=False), before[1])


def test_global_generators_do_not_matter(cls, data):
    X, y = data
    first = fitted(cls)
    with torch.random.fork_rng():
        torch.manual_seed(99)
        assert states_equal(small(cls).fit(X, y), first)


# ------------------------------------------------------------------ inputs and outputs


def test_precision_of_the_input_does_not_matter(cls, data):
    X, y = data
    double, single = X.astype(np.float32).astype(np.float64), X.astype(np.float32)
    a, b = small(cls).fit(double, y), small(cls).fit(single, y)
    assert states_equal(a, b)
    assert np.array_equal(a.explain(double), b.explain(single))
    fortran = small(cls).fit(np.asfortranarray(single), y)
    assert states_equal(a, fortran)
    assert np.array_equal(fortran.explain(np.asfortranarray(single)), b.explain(single))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_views_of_any_kind(dtype, cls, data):
    X, y = data[0].astype(dtype), data[1]
    clf = small(cls).fit(X, y)
    explained = clf.explain(X)
    frozen = X.copy()
    frozen.flags.writeable = False
    twice = np.repeat(np.repeat(X, 2, axis=0), 2, axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # torch warns of memory that it may not write
        for view in (frozen, X[::-1][::-1], X[:, ::-1].copy()[:, ::-1], twice[::2, ::2], X.tolist()):
            assert np.array_equal(clf.explain(view), explained)
            assert states_equal(small(cls).fit(view, y), clf)
        assert np.array_equal(clf.explain(X[:1][::-1]), explained[:1])


def test_frames_go_in_and_come_out(cls, frame):
    X, y = frame
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # scikit-learn warns where names get lost
        clf, plain = small(cls).fit(X, y), small(cls).fit(X.to_numpy(), y)
        explained = clf.explain(X)
        clf.explain(X, y=1), clf.predict(X), clf.predict_proba(X), clf.encode_target(X)
    assert states_equal(clf, plain)
    pd.testing.assert_frame_equal(
        explained, pd.DataFrame(plain.explain(X.to_numpy()), index=X.index, columns=X.columns)
    )
    assert clf.feature_names_in_.tolist() == X.columns.tolist()
    np.testing.assert_allclose(clf.feature_means_, X.astype(np.float32).mean(), atol=1e-6)
    for method in (clf.predict, clf.predict_proba, clf.explain):
        with pytest.raises(ValueError, match="feature names"):
            method(X[X.columns[::-1]])


@pytest.mark.parametrize("labels", [["setosa", "versicolor", "virginica"], [-3, 7, 10], [0.0, 1.0, 2.0]])
def test_labels_of_any_kind(labels, cls, data):
    X, y = data
    names = np.array(labels)[y]
    coded, named = fitted(cls), small(cls).fit(X, names)
    assert states_equal(coded, named)
    assert named.classes_.tolist() == labels
    assert np.array_equal(named.predict(X), np.array(labels)[coded.predict(X)])
    assert np.array_equal(named.explain(X, y=names), coded.explain(X, y=y))
    assert np.array_equal(named.explain(X, y=labels[1]), coded.explain(X, y=1))
    assert named.score(X, names) == coded.score(X, y)


def test_boolean_labels(cls, binary):
    X, y = binary
    a, b = small(cls).fit(X, y.astype(bool)), small(cls).fit(X, y)
    assert states_equal(a, b)
    assert np.array_equal(a.predict(X), b.predict(X).astype(bool))
    assert np.array_equal(a.explain(X, y=True), b.explain(X, y=1))


def test_probabilities_are_those_of_the_module(cls, data):
    X, _ = data
    clf = fitted(cls)
    with torch.no_grad():
        logits = copy.deepcopy(clf.module_).double()(torch.as_tensor(X.astype(np.float32)).double()).numpy()
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(clf.predict_proba(X), odds / odds.sum(axis=1, keepdims=True), rtol=1e-4)
    assert np.array_equal(clf.predict(X), clf.classes_[logits.argmax(axis=1)])
    np.testing.assert_allclose(clf.predict_proba(X).sum(axis=1), 1.0, rtol=1e-12)


@pytest.mark.parametrize("explainer", ["gradient", "logit_gradient", "cross_entropy_gradient"])
def test_explanations_are_the_gradient(explainer, cls, data):
    X, y = (part[:64] for part in data)  # a multiple of the block to which rows are padded
    clf = fitted(cls, explainer=explainer)
    output = {"gradient": "probability", "logit_gradient": "logit"}.get(explainer, "cross_entropy")
    module, x = copy.deepcopy(clf.module_).double(), torch.as_tensor(X, dtype=torch.float64)

    def by_hand(codes):
        points, index = x.clone().requires_grad_(), torch.as_tensor(codes)[:, None]
        logits = module(points)
        scores = {"logit": logits, "probability": logits.softmax(1), "cross_entropy": -logits.log_softmax(1)}[output]
        return torch.autograd.grad(scores.gather(1, index).sum(), points)[0].numpy()

    np.testing.assert_allclose(clf.explain(X), by_hand(clf.predict(X)), rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(clf.explain(X, y), by_hand(y), rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(clf.explain(X, y=2), by_hand(np.full(len(X), 2)), rtol=1e-9, atol=1e-15)
    assert np.array_equal(clf.explain(X), clf.explain(X, clf.predict(X)))
    assert clf.explain(X).shape == X.shape
    own = small(cls, explainer=Gradient(output)).fit(*data)
    assert np.array_equal(own.explain(X), clf.explain(X))


def test_explanations_of_two_classes_are_opposite(cls, binary):
    X, y = binary
    clf = small(cls).fit(X, y)
    np.testing.assert_allclose(clf.explain(X, y=0), -clf.explain(X, y=1), rtol=1e-6)


@functools.cache
def trained_once(cls, method, **params):
    """Return a method of a fitted classifier and its answer for all rows, where the first row alone gets the same."""
    X, _ = iris()
    method = getattr(fitted(cls, **params), method)
    whole = method(X)
    assert np.array_equal(method(X[:1]), whole[:1])
    return method, whole


@pytest.mark.parametrize("n_rows", [1, 2, 3, 7, 8, 9, 31, 32, 33, 65, 150])
def test_a_row_does_not_depend_on_its_company(n_rows, cls):
    X, _ = iris()
    for params in ({}, {"module__hidden": (5, 3)}, {"module__hidden": (64, 32)}):
        if params and cls is LinearClassifier:
            continue
        rows = np.arange(n_rows)[::-1]
        for name in ("predict_proba", "explain"):
            method, whole = trained_once(cls, name, **params)
            assert np.array_equal(method(X[rows]), whole[rows])


def test_company_beyond_one_chunk(cls):
    X, _ = iris()
    clf = fitted(cls)
    many = np.tile(X, (28, 1))[:4101]
    for method in (clf.predict_proba, clf.explain):
        assert np.array_equal(method(many), np.tile(method(X), (28, 1))[:4101])


# ------------------------------------------------------------------ scikit-learn


def test_parameters_are_read_and_set(cls):
    clf = small(cls, lr=0.02)
    params = clf.get_params()
    assert params["lr"] == 0.02
    assert params["batch_size"] == 50
    assert cls().set_params(**params).get_params() == params
    assert clone(clf).get_params() == params
    assert cls(**params).get_params() == params
    assert clf.set_params(lr=0.3).get_params() == {**params, "lr": 0.3}


def test_the_signature_names_every_parameter(cls):
    import inspect

    names = set(inspect.signature(cls).parameters)
    assert names == set(cls().get_params())
    assert {"lr", "max_epochs", "batch_size", "random_state", "device", "explainer", "init", "verbose"} <= names


@pytest.mark.parametrize("through", ["pickle", "joblib", "deepcopy"])
def test_a_fitted_classifier_travels(through, cls, data, tmp_path):
    X, y = data
    trained, unfitted = fitted(cls), small(cls, optimizer__weight_decay=0.1)

    def travel(obj):
        if through == "pickle":
            return pickle.loads(pickle.dumps(obj))
        if through == "joblib":
            joblib.dump(obj, tmp_path / "model")
            return joblib.load(tmp_path / "model")
        return copy.deepcopy(obj)

    arrived = travel(trained)
    assert np.array_equal(arrived.explain(X), trained.explain(X))
    assert np.array_equal(arrived.predict_proba(X), trained.predict_proba(X))
    assert states_equal(arrived.fit(X, y), trained)
    assert travel(unfitted).get_params() == unfitted.get_params()
    with pytest.raises(NotFittedError):
        travel(unfitted).predict(X)


def test_a_clone_is_unfitted_and_equal(cls, data):
    X, y = data
    clf = fitted(cls)
    copied = clone(clf)
    assert not hasattr(copied, "net_")
    assert states_equal(copied.fit(X, y), clf)


def test_new_settings_count_in_the_next_fit_and_keep_the_fitted_net(cls, data):
    if cls is LinearClassifier:
        pytest.skip("a linear model has no hidden layers")
    X, y = data
    clf = small(cls).fit(X, y)
    before = clf.explain(X)
    clf.set_params(module__hidden=(3, 2))
    assert np.array_equal(clf.explain(X), before)
    assert [tuple(p.shape) for p in clf.fit(X, y).module_.parameters()][::2] == [(3, 4), (2, 3), (3, 2)]
    assert states_equal(clf, fitted(cls, module__hidden=(3, 2)))


def test_cross_validation_in_two_processes_equals_one(cls, data):
    X, y = data
    cv = StratifiedKFold(2)
    scores = [cross_val_score(small(cls), X, y, cv=cv, n_jobs=n, scoring="neg_log_loss") for n in (1, 2)]
    np.testing.assert_array_equal(*scores)
    by_hand = []
    for train, test in cv.split(X, y):
        clf = small(cls).fit(X[train], y[train])
        by_hand.append(-log_loss(y[test], clf.predict_proba(X[test])))
    np.testing.assert_allclose(scores[0], by_hand)


def test_metadata_routing_changes_nothing(cls, data):
    X, y = data
    plain = cross_validate(small(cls), X, y, scoring="neg_log_loss", cv=2)["test_score"]
    with sklearn.config_context(enable_metadata_routing=True):
        routed = cross_validate(small(cls), X, y, scoring="neg_log_loss", cv=2)["test_score"]
        pipeline = make_pipeline(StandardScaler(), small(cls)).fit(X, y)
    np.testing.assert_array_equal(plain, routed)
    assert np.array_equal(pipeline.predict(X), make_pipeline(StandardScaler(), small(cls)).fit(X, y).predict(X))


def test_a_pipeline_hands_frames_on(cls, frame):
    X, y = frame
    pipeline = make_pipeline(StandardScaler(), small(cls)).set_output(transform="pandas").fit(X, y)
    scaled = pipeline[0].transform(X)
    explained = pipeline[-1].explain(scaled)
    assert explained.columns.tolist() == X.columns.tolist()
    assert explained.index.tolist() == X.index.tolist()
    assert pipeline[-1].feature_names_in_.tolist() == X.columns.tolist()
    alone = small(cls).fit(scaled, y)
    pd.testing.assert_frame_equal(alone.explain(scaled), explained)


def test_grid_search_equals_a_loop(cls, data):
    X, y = data
    name, values = ("C", [0.01, 1.0]) if cls is LinearClassifier else ("module__hidden", [(2,), (9,)])
    search = GridSearchCV(small(cls), {name: values}, cv=2, scoring="neg_log_loss", n_jobs=2).fit(X, y)
    means = [cross_val_score(small(cls, **{name: v}), X, y, cv=2, scoring="neg_log_loss").mean() for v in values]
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], means)
    assert search.best_params_ == {name: values[int(np.argmax(means))]}
    assert states_equal(search.best_estimator_, small(cls, **search.best_params_).fit(X, y))


# ------------------------------------------------------------------ bad input


def test_an_unfitted_classifier_says_so(cls, data):
    for method in ("predict", "predict_proba", "explain", "encode_target"):
        with pytest.raises(NotFittedError, match="not fitted yet"):
            getattr(cls(), method)(data[0])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_entries_that_are_not_finite(value, cls, data):
    X, y = data
    bad = X.copy()
    bad[3, 1] = value
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        small(cls).fit(bad, y)
    clf = fitted(cls)
    for method in (clf.predict, clf.predict_proba, clf.explain):
        with pytest.raises(ValueError, match=r"NaN|infinity"):
            method(bad)


def test_wrong_shapes(cls, data):
    X, y = data
    clf = small(cls).fit(X, y)
    for method in (clf.predict, clf.predict_proba, clf.explain):
        with pytest.raises(ValueError, match=r"X has 3 features, but .* is expecting 4 features"):
            method(X[:, :3])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        clf.fit(X, y[:-1])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        clf.explain(X, y[:-1])


def test_one_class(cls, data):
    X, _ = data
    with pytest.raises(ValueError, match="one class only: 'a'"):
        small(cls).fit(X, ["a"] * len(X))


def test_unknown_labels(cls, data):
    X, y = data
    clf = small(cls).fit(X, np.array(["a", "b", "c"])[y])
    for wrong in ("d", 1, ["a"] * (len(X) - 1) + ["d"]):
        with pytest.raises(ValueError, match="none of the classes"):
            clf.explain(X, y=wrong)


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [
        ("max_epoch", "max_epochs"),
        ("batchsize", "batch_size"),
        ("learning_rate_", "lr"),
        ("module__hiden", "module__hidden"),
        ("optimizer__weigth_decay", "optimizer__weight_decay"),
        ("iterator_train__shufle", "iterator_train__shuffle"),
        ("criterion__label_smothing", "criterion__label_smoothing"),
        ("modul__hidden", "module__hidden"),
        ("callback", "callbacks"),
    ],
)
def test_a_misspelt_parameter_gets_the_nearest(wrong, nearest, cls, data):
    hint = f"no parameter '{wrong}'. " + ("Valid names: .*" if nearest == "lr" else "Did you mean ") + f"'?{nearest}"
    with pytest.raises(TypeError, match=hint):
        cls(**{wrong: 1})
    clf = cls()
    before = clf.get_params()
    with pytest.raises(ValueError, match=hint):
        clf.set_params(lr=0.5, **{wrong: 1})
    assert clf.get_params() == before
    with pytest.raises(ValueError, match=hint):
        GridSearchCV(small(cls), {wrong: [1]}, cv=2).fit(*data)


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"batch_size": 0}, ValueError, "batch_size"),
        ({"batch_size": -2}, ValueError, "batch_size"),
        ({"batch_size": 2.5}, TypeError, "batch_size must be an integer"),
        ({"lr": 0}, ValueError, "lr must be"),
        ({"lr": -1.0}, ValueError, "lr must be"),
        ({"lr": float("nan")}, ValueError, "lr must be"),
        ({"max_epochs": 0}, ValueError, "max_epochs must be"),
        ({"max_epochs": "many"}, TypeError, "max_epochs must be an integer"),
        ({"explainer": "gradeint"}, ValueError, "Did you mean 'gradient'"),
        ({"explainer": 3}, TypeError, "explainer must be"),
        ({"device": "gpuu"}, ValueError, "device='gpuu' is no torch device"),
        ({"init": 3}, TypeError, "init must be"),
        ({"callbacks__lr_schedul": None}, ValueError, "Did you mean 'lr_schedule'"),
    ],
)
def test_parameters_out_of_range(params, error, message, cls, data):
    clf = small(cls, **params)
    with pytest.raises(error, match=message):
        clf.fit(*data)
    with pytest.raises(NotFittedError):
        clf.predict(data[0])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_named(cls, data):
    with pytest.raises(ValueError, match=r"device='cuda' was asked for, .* sees no GPU here"):
        small(cls, device="cuda").fit(*data)
    assert small(cls, device="auto").fit(*data).device_ == torch.device("cpu")
