import pickle
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.datasets import make_classification
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.model_selection import (
    GridSearchCV,
    RandomizedSearchCV,
    StratifiedKFold,
    cross_val_score,
    cross_validate,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from robustxai import LinearClassifier, SoftplusClassifier
from robustxai.attacks import AutoExplanationAttack, BoundaryMarginAttack, ERAttack, RandomAttack
from robustxai.certificates import certify_top_k
from robustxai.exceptions import EvaluationWarning, SharedExplanationWarning
from robustxai.metrics import (
    between_rows_precision,
    commonest_top_k_share,
    comprehensiveness,
    decision_flip_fraction,
    distinct_top_k_sets,
    prediction_sensitivity,
    ranking_thickness,
    relaxed_thickness,
    sufficiency,
)
from robustxai.model_selection import (
    CertifiedPrecisionScorer,
    PrecisionAtKScorer,
    RobustnessScorer,
    ThicknessScorer,
)
from robustxai.perturbation import ThreatModel

THREAT = ThreatModel(epsilon=1.0)
ER = ERAttack(k=3, threat=THREAT, max_iter=8)
RANDOM = RandomAttack(k=3, threat=THREAT, max_iter=8)
PRECISION = PrecisionAtKScorer(ER)
ROBUSTNESS = RobustnessScorer({"er": ER, "random": RANDOM}, n_draws=3, n_points=2)
CERTIFIED = CertifiedPrecisionScorer(k=3, epsilon=0.05)
SCORERS = [PRECISION, CERTIFIED, ThicknessScorer(k=3, n_draws=3, n_points=2), ROBUSTNESS]
CV = StratifiedKFold(2, shuffle=True, random_state=0)


def classifier(**params):
    return SoftplusClassifier(**{"beta": 5.0, "max_epochs": 3, "module__hidden": (8,)} | params)


@pytest.fixture(scope="module")
def data():
    X, y = make_classification(120, 6, n_informative=5, n_redundant=0, random_state=0)
    return 10 * X + 3, np.array(["bad", "good"])[y]  # not standardized: a pipeline must do that


@pytest.fixture(scope="module")
def pipe():
    return make_pipeline(StandardScaler(), classifier())


@pytest.fixture(scope="module")
def fitted(pipe, data):
    return pipe.fit(*data)


def by_hand(pipe, X):
    """The attack on the last step, at X as that step sees it."""
    return ERAttack(pipe[-1], k=3, threat=THREAT, max_iter=8).run(pipe[:-1].transform(X))


# ------------------------------------------------------------------------------------------------ values


def test_precision_at_k_is_that_of_the_attack(fitted, data):
    X, y = data
    expected = by_hand(fitted, X).precision_at_k.mean()
    assert expected < 1
    assert PRECISION(fitted, X, y) == PRECISION(fitted, X) == expected
    assert PRECISION(fitted[-1], fitted[:-1].transform(X), y) == expected
    assert PRECISION(make_pipeline(fitted[-1]), fitted[:-1].transform(X), y) == expected


def test_the_default_attack_is_er_with_eight_features(fitted, data):
    wide = np.tile(fitted[:-1].transform(data[0]), 2)
    clf = classifier().fit(wide, data[1])
    assert PrecisionAtKScorer()(clf, wide[:20]) == ERAttack(clf, k=8).run(wide[:20]).precision_at_k.mean()


@pytest.mark.parametrize(("kind", "metric"), [("indicator", ranking_thickness), ("relaxed", relaxed_thickness)])
def test_thickness_is_that_of_the_metric(fitted, data, kind, metric):
    options = {"epsilon": 0.8, "distribution": "gaussian", "n_draws": 4, "n_points": 3, "ranking": "signed"}
    scorer = ThicknessScorer(k=3, kind=kind, random_state=5, **options)
    X = fitted[:-1].transform(data[0])
    assert scorer(fitted, *data) == metric(fitted[-1], X, 3, random_state=5, **options).mean()


def test_robustness_holds_every_metric_as_computed_by_hand(fitted, data):
    X, y = data
    clf, inside = fitted[-1], fitted[:-1].transform(X)
    scores = ROBUSTNESS(fitted, X, y)
    er, random = (type(a)(clf, k=3, threat=THREAT, max_iter=8).run(inside) for a in (ER, RANDOM))
    worst = np.minimum(er.precision_at_k, random.precision_at_k)
    X_adv = np.where((er.precision_at_k <= random.precision_at_k)[:, None], er.X_adv, random.X_adv)
    assert (er.precision_at_k < random.precision_at_k).any()
    expected = {
        "roc_auc": roc_auc_score(y == "good", clf.predict_proba(inside)[:, 1]),
        "accuracy": accuracy_score(y, clf.predict(inside)),
        "precision_at_k": worst.mean(),
        "precision_at_k_er": er.precision_at_k.mean(),
        "precision_at_k_random": random.precision_at_k.mean(),
        "between_rows_precision": (between := between_rows_precision(clf.explain(inside), 3)),
        "distinct_top_k_sets": distinct_top_k_sets(clf.explain(inside), 3),
        "commonest_top_k_share": commonest_top_k_share(clf.explain(inside), 3),
        "corrected_precision_at_k": (worst.mean() - between) / (1 - between),
        "first_flip": er.first_flip.mean(),
        "adversarial_auc": roc_auc_score(y == "good", clf.predict_proba(X_adv)[:, 1]),
        "prediction_sensitivity": prediction_sensitivity(clf, inside, X_adv).mean(),
        "thickness": ranking_thickness(clf, inside, 3, epsilon=1.0, n_draws=3, n_points=2, random_state=0).mean(),
        "comprehensiveness": comprehensiveness(clf, inside, clf.explain(inside)).mean(),
        "sufficiency": sufficiency(clf, inside, clf.explain(inside)).mean(),
        "decision_flip_fraction": decision_flip_fraction(clf, inside, clf.explain(inside)).mean(),
    }
    assert scores.keys() == expected.keys()
    for name, value in expected.items():
        assert isinstance(scores[name], float)
        assert scores[name] == pytest.approx(value, rel=1e-12), name


def test_one_attack_has_one_precision(fitted, data):
    scores = RobustnessScorer(ER, n_draws=2, n_points=2)(fitted, *data)
    assert [name for name in scores if name.startswith("precision")] == ["precision_at_k"]
    assert scores["precision_at_k"] == PRECISION(fitted, *data)


def test_max_samples_limits_the_attack_and_nothing_else(fitted, data):
    X, y = data
    scorer = RobustnessScorer(ER, n_rows=30, n_draws=2, n_points=2)
    few, all_rows = scorer(fitted, X, y), RobustnessScorer(ER, n_draws=2, n_points=2)(fitted, X, y)
    head = RobustnessScorer(ER, n_draws=2, n_points=2)(fitted, X[:30], y[:30])
    for name in few:
        expected = all_rows if name in ("roc_auc", "accuracy") else head
        assert few[name] == expected[name], name
    assert few["precision_at_k"] != all_rows["precision_at_k"]


def test_the_attack_in_a_scorer_is_not_touched(fitted, data):
    before = ER.get_params(deep=False)
    PRECISION(fitted, *data)
    assert ER.get_params(deep=False) == before
    assert ER.estimator is None


@pytest.mark.parametrize("scorer", SCORERS, ids=lambda s: type(s).__name__)
def test_a_pickled_scorer_scores_alike(scorer, fitted, data):
    assert pickle.loads(pickle.dumps(scorer))(fitted, *data) == scorer(fitted, *data)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: ThicknessScorer(kind="relax"), ValueError, "Did you mean 'relaxed'"),
        (lambda: RobustnessScorer(n_rows=0), ValueError, "n_rows must be a finite number >= 1"),
        (lambda: RobustnessScorer(n_rows=0.5), TypeError, "n_rows must be an integer"),
    ],
)
def test_a_scorer_with_wrong_parameters_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_no_attack_at_all_is_refused(fitted, data):
    with pytest.raises(ValueError, match="at least one attack"):
        RobustnessScorer({})(fitted, *data)


# ------------------------------------------------------------------------------------------------ scikit-learn


def test_cross_val_score_equals_a_loop_over_the_folds(pipe, data):
    X, y = data
    scores = cross_val_score(pipe, X, y, cv=CV, scoring=PRECISION)
    expected = [by_hand(clone(pipe).fit(X[a], y[a]), X[b]).precision_at_k.mean() for a, b in CV.split(X, y)]
    np.testing.assert_array_equal(scores, expected)


def test_cross_validate_reports_every_metric(pipe, data):
    result = cross_validate(pipe, *data, cv=CV, scoring=ROBUSTNESS, error_score="raise")
    precision = cross_val_score(pipe, *data, cv=CV, scoring=PRECISION)
    np.testing.assert_array_equal(result["test_precision_at_k_er"], precision)
    assert (result["test_precision_at_k"] <= precision).all()
    assert {"test_roc_auc", "test_thickness", "test_first_flip"} <= result.keys()
    several = cross_validate(pipe, *data, cv=CV, scoring={"p": PRECISION, "auc": "roc_auc"}, error_score="raise")
    np.testing.assert_array_equal(several["test_p"], precision)
    np.testing.assert_allclose(several["test_auc"], result["test_roc_auc"], rtol=1e-12)


def test_grid_search_in_two_processes_refits_for_stability(pipe, data):
    X, y = data
    grid = {"softplusclassifier__beta": [0.5, 20.0]}
    options = {"scoring": ROBUSTNESS, "refit": "precision_at_k", "cv": CV, "error_score": "raise"}
    search = GridSearchCV(pipe, grid, n_jobs=2, **options).fit(X, y)
    serial = GridSearchCV(pipe, grid, **options).fit(X, y)
    for name in ("precision_at_k", "roc_auc", "thickness"):
        column = f"mean_test_{name}"
        np.testing.assert_array_equal(search.cv_results_[column], serial.cv_results_[column])
    mean = search.cv_results_["mean_test_precision_at_k"]
    assert mean[0] > mean[1]  # a smooth network is stabler
    assert search.best_params_ == {"softplusclassifier__beta": 0.5}
    # a search is scored by its best estimator, and so is a pipeline around one
    assert PRECISION(search, X, y) == PRECISION(search.best_estimator_, X, y) < 1
    outer = Pipeline([("search", search)])
    assert PRECISION(outer, X, y) == PRECISION(search, X, y)


def test_randomized_search(pipe, data):
    search = RandomizedSearchCV(
        pipe,
        {"softplusclassifier__lr": [0.01, 0.05], "softplusclassifier__beta": [1.0, 5.0]},
        n_iter=2,
        random_state=0,
        scoring=PRECISION,
        cv=CV,
        error_score="raise",
    ).fit(*data)
    scores = [
        cross_val_score(clone(pipe).set_params(**params), *data, cv=CV, scoring=PRECISION).mean()
        for params in search.cv_results_["params"]
    ]
    np.testing.assert_array_equal(search.cv_results_["mean_test_score"], scores)


def test_a_frame_with_categories_goes_through_a_column_transformer(data):
    X, y = data
    frame = pd.DataFrame(X, columns=list("abcdef"))
    frame["color"] = pd.Categorical(np.array(["red", "green", "blue"])[(X[:, 0] > 0).astype(int) + (X[:, 1] > 3)])
    columns = ColumnTransformer(
        [("n", StandardScaler(), list("abcdef")), ("c", OneHotEncoder(sparse_output=False), ["color"])]
    )
    for output in ("default", "pandas"):
        pipe = make_pipeline(columns, classifier()).set_output(transform=output)
        scores = cross_val_score(pipe, frame, y, cv=CV, scoring=PRECISION, error_score="raise")
        fitted = pipe.fit(frame, y)
        result = by_hand(fitted, frame)
        assert result.attribution.shape == (120, 9)
        assert PRECISION(fitted, frame, y) == result.precision_at_k.mean()
        assert ((scores > 0) & (scores < 1)).all()
        robustness = RobustnessScorer(ER, n_rows=40, n_draws=2, n_points=2)(fitted, frame, pd.Series(y))
        assert robustness["precision_at_k"] == by_hand(fitted, frame[:40]).precision_at_k.mean()


# ------------------------------------------------------------------------------------------------ Optuna


def test_an_optuna_study_maximises_stability(data):
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def objective(trial):
        clf = classifier(beta=trial.suggest_float("beta", 0.5, 20.0, log=True))
        return cross_val_score(make_pipeline(StandardScaler(), clf), *data, cv=CV, scoring=PRECISION).mean()

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(objective, n_trials=3)
    values = [trial.value for trial in study.trials]
    assert study.best_value == max(values)
    assert len(set(values)) > 1
    pipe = make_pipeline(StandardScaler(), classifier(**study.best_params))
    assert cross_val_score(pipe, *data, cv=CV, scoring=PRECISION).mean() == study.best_value


def test_a_stronger_attack_never_raises_the_score(fitted, data):
    both = ROBUSTNESS(fitted, *data)
    three = RobustnessScorer(
        {"er": ER, "random": RANDOM, "boundary": BoundaryMarginAttack(k=3, threat=THREAT, max_iter=8)},
        n_draws=2,
        n_points=2,
    )(fitted, *data)
    assert three["precision_at_k"] <= both["precision_at_k"]
    assert three["precision_at_k"] <= min(three[f"precision_at_k_{name}"] for name in ("er", "random", "boundary"))


def test_the_certified_score_is_the_mean_proof_and_no_attack_gets_below_it(data):
    X, y = data
    clf = classifier().fit(X, y)
    score = CERTIFIED(clf, X, y)
    assert score == certify_top_k(clf, X, 3, epsilon=0.05).precision_at_k.mean()
    assert 0 < score < 1
    attacked = PrecisionAtKScorer(BoundaryMarginAttack(k=3, threat=ThreatModel(0.05), max_iter=20))(clf, X, y)
    assert score <= attacked
    assert CertifiedPrecisionScorer(k=3, epsilon=0.05, n_rows=7)(clf, X) == CERTIFIED(clf, X[:7])


def test_an_attack_that_finds_less_at_a_larger_radius_is_told(fitted, data, monkeypatch):
    weak, strong = (RandomAttack(k=3, threat=ThreatModel(epsilon), max_iter=8) for epsilon in (2.0, 0.5))
    other = RandomAttack(k=3, threat=ThreatModel(0.1), max_iter=9)  # another budget: not the same attack
    bounded = RandomAttack(k=3, threat=ThreatModel(0.2, frozen=[1]), max_iter=8)
    reached = {2.0: 0.7, 0.5: 0.6, 0.1: 0.1, 0.2: 0.2}
    run = RandomAttack.run

    def found(attack, X):
        return replace(run(attack, X), precision_at_k=np.full(len(X), reached[attack.threat.epsilon]))

    monkeypatch.setattr(RandomAttack, "run", found)
    attacks = {"weak": weak, "other": other, "bounded": bounded}
    options = {"n_draws": 3, "n_points": 2}
    with pytest.warns(EvaluationWarning, match=r"rises with epsilon \(0.700 at 2 after 0.600 at 0.5\)") as caught:
        RobustnessScorer(attacks, reference={"strong": strong}, **options)(fitted, *data)
    assert len(caught) == 1
    reached[2.0] = 0.5
    scores = RobustnessScorer(attacks, reference={"strong": strong}, **options)(fitted, *data)  # a warning is an error
    assert scores["precision_at_k_weak"] == 0.5


# ------------------------------------------------------------------------------------------------ shared explanations

SHARED = "of their top-3 sets in common"
STABILITY = {
    "P@k": PrecisionAtKScorer(ER),
    "certified": CERTIFIED,
    "everything": RobustnessScorer(ER, n_draws=2, n_points=2),
    "everything, by the ensemble": RobustnessScorer(
        AutoExplanationAttack(k=3, preset="fast", threat=THREAT), n_draws=2, n_points=2
    ),
}


@pytest.fixture(scope="module")
def shared(data):
    """A linear model: one explanation up to its length, for everybody."""
    X, y = data
    return LinearClassifier().fit(X, y)


@pytest.mark.parametrize("name", STABILITY)
def test_one_explanation_for_everybody_is_told_wherever_its_stability_is(name, shared, data):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", EvaluationWarning)
        scores = STABILITY[name](shared, *data)
    told = [str(word.message) for word in caught if issubclass(word.category, SharedExplanationWarning)]
    assert told
    assert all(SHARED in text and "100 %" in text and "chance_corrected_precision" in text for text in told)
    assert (scores["precision_at_k"] if isinstance(scores, dict) else scores) == 1
    if isinstance(scores, dict):
        assert (scores["between_rows_precision"], scores["distinct_top_k_sets"]) == (1, 1)
        assert np.isnan(scores["corrected_precision_at_k"])


@pytest.mark.parametrize("name", [name for name in STABILITY if name != "everything, by the ensemble"])
def test_explanations_of_ones_own_are_not(name, fitted, data):
    inside = fitted[:-1].transform(data[0])
    assert between_rows_precision(fitted[-1].explain(inside), 3) < 0.9
    with warnings.catch_warnings():
        warnings.simplefilter("error", EvaluationWarning)
        STABILITY[name](fitted, *data)


def test_the_ensemble_tells_by_itself(shared, data):
    attack = AutoExplanationAttack(shared, k=3, preset="fast", threat=THREAT)
    for report in (attack.run, lambda X: attack.fit(X).transform(X), lambda X: attack.curve(X, [0.5, 1.0])):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", EvaluationWarning)
            report(data[0])
        assert len([word for word in caught if issubclass(word.category, SharedExplanationWarning)]) == 1


# ------------------------------------------------------------------ weights of rows

#: Of the rows that are there, whatever they weigh.
UNWEIGHTED = {
    "between_rows_precision",
    "distinct_top_k_sets",
    "commonest_top_k_share",
    "corrected_precision_at_k",
}


def weighted_scores(scorer, fitted, X, y, weights=None):
    scores = scorer(fitted, X, y, sample_weight=weights)
    found = scores if isinstance(scores, dict) else {"score": scores}
    return {name: value for name, value in found.items() if name not in UNWEIGHTED}


@pytest.mark.parametrize("scorer", SCORERS, ids=lambda scorer: type(scorer).__name__)
def test_a_whole_weight_is_as_many_rows(scorer, data):
    X, y = data
    fitted = make_pipeline(StandardScaler(), classifier()).fit(X, y)
    X, y, counts = X[:12], y[:12], np.arange(12) % 3
    weighted = weighted_scores(scorer, fitted, X, y, counts)
    thickness = weighted.pop("score" if scorer is SCORERS[2] else "thickness", None)  # other rows draw other paths
    if thickness is not None:
        options = {"n_draws": 3, "n_points": 2, "epsilon": 1.0 if scorer is ROBUSTNESS else None}
        by_row = ranking_thickness(fitted[-1], fitted[:-1].transform(X), 3, **options)
        assert thickness == pytest.approx(np.average(by_row, weights=counts))
    repeated = weighted_scores(scorer, fitted, np.repeat(X, counts, axis=0), np.repeat(y, counts))
    assert weighted == pytest.approx({name: repeated[name] for name in weighted}, rel=1e-6)
    plain = weighted_scores(scorer, fitted, X, y)
    assert not weighted or weighted != pytest.approx({name: plain[name] for name in weighted}, rel=1e-6)
    assert weighted_scores(scorer, fitted, X, y, np.full(12, 0.3)) == pytest.approx(plain, rel=1e-9)
    with pytest.raises(ValueError, match="negative value"):
        scorer(fitted, X, y, sample_weight=-np.ones(12))
    with pytest.raises(ValueError, match="sample_weight has 11 entries, but X has 12 rows"):
        scorer(fitted, X, y, sample_weight=np.ones(11))


def test_weights_of_the_first_rows(data):
    X, y = data
    fitted = make_pipeline(StandardScaler(), classifier()).fit(X, y)
    weights = np.arange(120) % 4
    for scorer in (replace(CERTIFIED, n_rows=9), replace(ROBUSTNESS, n_rows=9)):
        scores = weighted_scores(scorer, fitted, X, y, weights)
        first = weighted_scores(replace(scorer, n_rows=None), fitted, X[:9], y[:9], weights[:9])
        apart = {"roc_auc", "accuracy"}
        assert {n: v for n, v in scores.items() if n not in apart} == pytest.approx(
            {n: v for n, v in first.items() if n not in apart}
        )
    assert scores["accuracy"] == pytest.approx(accuracy_score(y, fitted.predict(X), sample_weight=weights))
    area = roc_auc_score(y == "good", fitted.predict_proba(X)[:, 1], sample_weight=weights)
    assert scores["roc_auc"] == pytest.approx(area)


def test_scorers_request_weights(data):
    X, y = data
    weights = np.arange(120) % 4 + 1
    options = {"cv": CV, "return_estimator": True}
    with sklearn.config_context(enable_metadata_routing=True):
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        pipe, weighted = (
            make_pipeline(scaler, classifier().set_fit_request(sample_weight=one)) for one in (False, True)
        )
        asking, deaf = (CERTIFIED.set_score_request(sample_weight=one) for one in (True, False))
        assert repr(asking) == repr(CERTIFIED)
        found = cross_validate(pipe, X, y, scoring=asking, params={"sample_weight": weights}, **options)
        ignored = cross_validate(weighted, X, y, scoring=deaf, params={"sample_weight": weights}, **options)
        with pytest.raises(UnsetMetadataPassedError, match="CertifiedPrecisionScorer"):
            cross_validate(pipe, X, y, scoring=CERTIFIED, params={"sample_weight": weights}, **options)
        alias = CERTIFIED.set_score_request(sample_weight="importance")
        named = cross_validate(pipe, X, y, scoring=alias, params={"importance": weights}, **options)
    for number, (_, test) in enumerate(CV.split(X, y)):
        one, other = (result["estimator"][number] for result in (found, ignored))
        score = CERTIFIED(one, X[test], y[test], sample_weight=weights[test])
        assert found["test_score"][number] == named["test_score"][number] == score
        assert ignored["test_score"][number] == CERTIFIED(other, X[test], y[test]) != score
    with pytest.raises(TypeError, match="True, False, None or the name"):
        CERTIFIED.set_score_request(sample_weight=3)
