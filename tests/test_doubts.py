"""Warnings of another k, another ranking and another scale than the classifier was trained with."""

import copy
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from robustxai import (
    AdversarialTrainingClassifier,
    ATEXClassifier,
    AttributionContrastClassifier,
    CertifiedR2ETClassifier,
    CrossLipschitzClassifier,
    ExplanationATClassifier,
    FARClassifier,
    IGNormClassifier,
    MARTClassifier,
    R2ETClassifier,
    TRADESClassifier,
    VanillaClassifier,
)
from robustxai._doubts import of_one_evaluation, warn_of_ball, warn_of_mismatch
from robustxai.attacks import FGSM, PGD, AutoExplanationAttack, ERAttack
from robustxai.certificates import certified_radius, certify_smoothed_top_k, certify_top_k
from robustxai.exceptions import EvaluationWarning, MismatchWarning
from robustxai.metrics import ranking_thickness, relaxed_thickness, thickness_bounds
from robustxai.model_selection import (
    BatchedSearchCV,
    CertifiedPrecisionScorer,
    PrecisionAtKScorer,
    RobustnessScorer,
    ThicknessScorer,
)
from robustxai.perturbation import ThreatModel
from tests.attacks.conftest import ATTACKS

pytestmark = pytest.mark.usefixtures("quick_ensemble")
QUICK = {"module__hidden": (4,), "max_epochs": 2}
NAMES = ["income", "age", "debt", "rooms", "hours", "children"]


def said(action, *categories):
    """The messages of these categories, each time that they are given."""
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        action()
    return [
        str(w.message) for w in record if issubclass(w.category, categories or (MismatchWarning, EvaluationWarning))
    ]


@pytest.fixture(scope="module")
def data():
    r = np.random.default_rng(0)
    X = r.normal(size=(150, 6))
    return X, (X[:, 0] * X[:, 1] + X[:, 2] > 0).astype(int)


@pytest.fixture(scope="module")
def trained(data):
    """A classifier trained for the top 2 by magnitude."""
    return R2ETClassifier(k=2, **QUICK).fit(*data)


@pytest.fixture(scope="module")
def plain(data):
    """A classifier that was trained for no top set."""
    return VanillaClassifier(**QUICK).fit(*data)


EVALUATIONS = {
    **{
        attack.__name__: lambda clf, X, k, ranking, attack=attack: attack(clf, k=k, ranking=ranking, max_iter=1).run(X)
        for attack in ATTACKS
    },
    "transform": lambda clf, X, k, ranking: ERAttack(clf, k=k, ranking=ranking, max_iter=1).fit_transform(X),
    "auto": lambda clf, X, k, ranking: AutoExplanationAttack(clf, k=k, ranking=ranking, preset="fast").run(X),
    "curve": lambda clf, X, k, ranking: AutoExplanationAttack(clf, k=k, ranking=ranking, preset="fast").curve(X, [0.1]),
    "certificate": lambda clf, X, k, ranking: certify_top_k(clf, X, k, ranking=ranking, method="interval"),
    "radius": lambda clf, X, k, ranking: certified_radius(clf, X, k, ranking=ranking, method="interval", max_iter=1),
    "smoothed": lambda clf, X, k, ranking: certify_smoothed_top_k(clf, X, k, ranking=ranking, n_draws=10),
    "thickness": lambda clf, X, k, ranking: ranking_thickness(clf, X, k, ranking=ranking, n_draws=2),
    "relaxed": lambda clf, X, k, ranking: relaxed_thickness(clf, X, k, ranking=ranking, n_draws=2),
    "bounds": lambda clf, X, k, ranking: thickness_bounds(clf, X, k, ranking=ranking, n_draws=2),
    "scorer": lambda clf, X, k, ranking: PrecisionAtKScorer(ERAttack(k=k, ranking=ranking, max_iter=1))(clf, X),
    "thickness scorer": lambda clf, X, k, ranking: ThicknessScorer(k=k, ranking=ranking, n_draws=2)(clf, X),
    "certified scorer": lambda clf, X, k, ranking: CertifiedPrecisionScorer(k=k, ranking=ranking, method="interval")(
        clf, X
    ),
}
every_evaluation = pytest.mark.parametrize("evaluate", EVALUATIONS.values(), ids=EVALUATIONS)


@every_evaluation
def test_another_k_or_ranking_is_said_once(evaluate, trained, data):
    X = data[0][:12]
    (message,) = said(lambda: evaluate(trained, X, 3, "magnitude"), MismatchWarning)
    assert "asks about the top 3, but this R2ETClassifier was trained for the top 2" in message
    (message,) = said(lambda: evaluate(trained, X, 2, "signed"), MismatchWarning)
    assert "ranks by signed, but this R2ETClassifier was trained for ranks by magnitude" in message
    assert len(said(lambda: evaluate(trained, X, 3, "signed"), MismatchWarning)) == 2


@every_evaluation
def test_the_same_question_or_no_trained_k_says_nothing(evaluate, trained, plain, data):
    X = data[0][:12]
    assert said(lambda: evaluate(trained, X, 2, "magnitude"), MismatchWarning) == []
    assert said(lambda: evaluate(plain, X, 3, "signed"), MismatchWarning) == []


def test_what_was_trained_for_is_that_of_the_fit_and_clipped(data):
    clf = R2ETClassifier(k=8, ranking="signed", **QUICK)
    with pytest.warns(UserWarning, match="k=8 is not smaller"):
        clf.fit(*data)
    assert (clf.k_, clf.ranking_) == (5, "signed")
    clf.set_params(k=2)  # waits for the next fit
    assert said(lambda: ERAttack(clf, k=8, ranking="signed", max_iter=1).run(data[0][:5]), MismatchWarning) == []
    assert len(said(lambda: ERAttack(clf, k=2, ranking="signed", max_iter=1).run(data[0][:5]), MismatchWarning)) == 1
    assert not hasattr(VanillaClassifier(**QUICK).fit(*data), "k_")


def test_one_evaluation_says_it_once(trained, data):
    X, y = data
    scorer = RobustnessScorer({"a": ERAttack(k=3, max_iter=1), "b": ERAttack(k=3, max_iter=2)}, n_draws=2)
    messages = said(lambda: scorer(trained, X[:30], y[:30]), MismatchWarning)
    assert len(messages) == len({m.split(" asks")[0] for m in messages}) == 2  # the attack and the thickness
    with of_one_evaluation():
        assert len(said(lambda: [warn_of_mismatch(trained, "It", k=1) for _ in range(3)])) == 1
    with of_one_evaluation(silent=True):
        assert said(lambda: warn_of_mismatch(trained, "It", k=1)) == []


@pytest.mark.parametrize("search", [GridSearchCV, BatchedSearchCV])
def test_searches_are_quiet_where_k_fits(search, data):
    scoring = PrecisionAtKScorer(ERAttack(k=2, max_iter=1))
    grid = {"lambda_gap": [0.0, 0.1]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is said here is what `said` records
        messages = said(lambda: search(R2ETClassifier(k=2, **QUICK), grid, scoring=scoring, cv=2).fit(*data))
    assert [message for message in messages if "two different rows" not in message] == []


def test_the_line_of_the_caller_is_named(trained, data):
    for evaluate in (
        lambda: ERAttack(trained, k=3, max_iter=1).run(data[0][:3]),
        lambda: certify_top_k(trained, data[0][:3], 3),
    ):
        with pytest.warns(MismatchWarning) as record:
            evaluate()
        assert record[0].filename == __file__


# ------------------------------------------------------------------ the ball

IN_BALLS = {
    "attack": lambda clf, X: ERAttack(clf, k=2, max_iter=1).run(X),
    "auto": lambda clf, X: AutoExplanationAttack(clf, k=2, preset="fast").run(X),
    "fgsm": lambda clf, X: FGSM(clf).fit_transform(X),
    "pgd": lambda clf, X: PGD(clf).fit_transform(X),
    "certificate": lambda clf, X: certify_top_k(clf, X, 2, method="interval"),
    "smoothed": lambda clf, X: certify_smoothed_top_k(clf, X, 2, n_draws=10, sigma=0.25 * float(np.std(np.asarray(X)))),
    "thickness": lambda clf, X: ranking_thickness(clf, X, 2, n_draws=2),
    "relaxed": lambda clf, X: relaxed_thickness(clf, X, 2, n_draws=2),
    "bounds": lambda clf, X: thickness_bounds(clf, X, 2, n_draws=2),
    "scorer": lambda clf, X: PrecisionAtKScorer(ERAttack(k=2, max_iter=1))(clf, X),
    "thickness scorer": lambda clf, X: ThicknessScorer(k=2, n_draws=2)(clf, X),
}
every_ball = pytest.mark.parametrize("evaluate", IN_BALLS.values(), ids=IN_BALLS)
UNITS = {
    "dollars": (np.full(6, 2e4), "tiny"),
    "one column in dollars": (np.r_[2e4, np.ones(5)], "tiny"),
    "a table as it comes": (np.array([115.0, 12, 32, 0.33, 8, 3]), "tiny"),  # the spreads of Pima
    "parts per million": (np.full(6, 1e-6), "huge"),
    "standardized": (np.ones(6), None),
    "years, rooms and kilograms": (np.array([13.0, 1, 15, 2, 0.5, 9]), None),
}


def about_the_ball(action):
    return [m for m in said(action, EvaluationWarning) if "the ball is" in m]


@every_ball
@pytest.mark.parametrize("units", UNITS)
def test_data_in_other_units(evaluate, units, data):
    factors, verdict = UNITS[units]
    X = pd.DataFrame(data[0] * factors, columns=NAMES)
    clf = R2ETClassifier(k=2, **QUICK).fit(X, data[1])
    messages = about_the_ball(lambda: evaluate(clf, X[:12]))
    if verdict is None:
        assert messages == []
        return
    (message,) = messages
    assert f"the ball is {verdict} beside the data" in message
    assert "tandardize X" in message
    if verdict == "tiny" and units != "dollars":
        assert "standard deviation of 'income'" in message


@pytest.mark.parametrize("scaler", [MinMaxScaler(), StandardScaler()], ids=str)
@every_ball
def test_scaled_data_are_what_the_defaults_are_for(evaluate, scaler, data):
    X = scaler.fit_transform(np.exp(data[0]))
    clf = VanillaClassifier(**QUICK).fit(X, data[1])
    assert about_the_ball(lambda: evaluate(clf, X[:12])) == []


def test_units_of_their_own_are_the_cure(data):
    factors = np.r_[2e4, np.ones(5)]
    X = pd.DataFrame(data[0] * factors, columns=NAMES)
    clf = VanillaClassifier(**QUICK).fit(X, data[1])
    np.testing.assert_allclose(clf.feature_scales_, X.std(ddof=0))
    for threat in (
        ThreatModel(scale={"income": 2e4}),
        ThreatModel(scale=clf.feature_scales_),
        ThreatModel(frozen=["income"]),
    ):
        assert about_the_ball(lambda threat=threat: ERAttack(clf, k=2, max_iter=1, threat=threat).run(X[:12])) == []
    assert (
        about_the_ball(
            lambda: certify_top_k(clf, X[:3], 2, threat=ThreatModel(0.25, scale={"income": 2e4}), method="interval")
        )
        == []
    )
    # the spread is that of the training data, whatever rows are attacked
    assert len(about_the_ball(lambda: ERAttack(clf, k=2, max_iter=1).run(X[:1]))) == 1


@pytest.mark.parametrize("norm", [2, "inf", np.inf])
def test_where_it_begins(norm):
    quiet, loud = np.array([1.0, 3.0, 0.0]), {}
    for epsilon in (1e-4, 1e-3, 0.01, 1.0, 8.0, 12.0, 100.0):
        loud[epsilon] = said(lambda epsilon=epsilon: warn_of_ball("epsilon", epsilon, quiet, norm=norm))
    # tiny: a five-hundredth of every standard deviation; huge: three times sqrt(1 + 9), or 3
    limit = 3 * np.sqrt(10) if norm == 2 else 9.0
    assert {e for e, m in loud.items() if m} == {e for e in loud if e < 2e-3 or e > limit}
    assert said(lambda: warn_of_ball("epsilon", 0.0, quiet)) == []
    assert said(lambda: warn_of_ball("epsilon", 1e9, np.zeros(3))) == []
    assert said(lambda: warn_of_ball("epsilon", 1e9, None)) == []


TRAINED_IN_BALLS = [
    (R2ETClassifier, {"gap": "distance", "k": 2}, 0.5),
    (CrossLipschitzClassifier, {"k": 2}, 0.5),
    (CertifiedR2ETClassifier, {"k": 2, "n_bounds": 1}, 0.25),
    (ExplanationATClassifier, {"k": 2}, 0.5),
    (AdversarialTrainingClassifier, {}, 0.1),
    (IGNormClassifier, {}, 0.01),
    (TRADESClassifier, {"max_iter": 1}, 0.01),
    (MARTClassifier, {"max_iter": 1}, 0.01),
    (AttributionContrastClassifier, {"max_iter": 1}, 0.01),
    (FARClassifier, {"max_iter": 1}, 0.05),
    (ATEXClassifier, {}, 0.5),
]


@pytest.mark.parametrize(("cls", "params", "epsilon"), TRAINED_IN_BALLS, ids=lambda v: getattr(v, "__name__", ""))
def test_training_in_a_ball(cls, params, epsilon, data):
    X, y = data
    clf = cls(**params, **QUICK)
    assert said(lambda: clf.fit(X, y), MismatchWarning) == []
    (message,) = said(lambda: clf.fit(1e4 * X, y), MismatchWarning)
    assert f"epsilon={epsilon:g} " in message
    assert "tiny" in message
    (message,) = said(lambda: clf.fit(1e-4 * X, y), MismatchWarning)
    assert "huge" in message


# ------------------------------------------------------------------ attacks whose parameters are set after fit


@pytest.mark.parametrize("attack", [*ATTACKS, AutoExplanationAttack], ids=lambda a: a.__name__)
def test_a_fitted_attack_takes_what_is_set(attack, trained, data):
    X = data[0][:10].astype(np.float32)
    budget = {"preset": "fast"} if attack is AutoExplanationAttack else {"max_iter": 3}
    fitted = attack(trained, k=2, **budget).fit(X)
    for changes in (
        {"k": 1},
        {"threat": ThreatModel(0.2)},
        {"ranking": "signed"},
        {"estimator": copy.deepcopy(trained)},
    ):
        fitted.set_params(**changes)
        fresh = attack(**fitted.get_params(deep=False))
        np.testing.assert_array_equal(fitted.transform(X), fresh.fit_transform(X))
    assert fitted.k_ == 1
    for name, value in (("k", 0), ("threat", 0.2), ("ranking", "loud")):
        broken = attack(**fitted.get_params(deep=False)).fit(X)
        with pytest.raises((TypeError, ValueError), match=name):
            broken.set_params(**{name: value}).transform(X)
