import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris
from sklearn.ensemble import (
    BaggingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, SGDClassifier
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV, TunedThresholdClassifierCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from skorch import NeuralNetClassifier
from torch import nn

from robustxai import R2ETClassifier, SoftplusClassifier, VanillaClassifier, retrain
from robustxai._models import resolve_model
from robustxai.attacks import BlackBox, ERAttack
from robustxai.exceptions import EvaluationWarning
from robustxai.inspection import SaliencyDisplay
from robustxai.metrics import comprehensiveness, prediction_sensitivity
from robustxai.model_selection import BatchedSearchCV
from robustxai.perturbation import ThreatModel
from tests.victims import ATTACKED, DIFFERENTIATED, EXPLAINED, PREDICTED, K

pytestmark = [
    pytest.mark.filterwarnings("ignore::robustxai.exceptions.EvaluationWarning"),
    pytest.mark.usefixtures("quick_ensemble"),
]


def _small():
    return SoftplusClassifier(max_epochs=2)


@pytest.fixture(scope="module")
def table():
    X, y = load_iris(return_X_y=True, as_frame=True)
    chosen = np.flatnonzero(y > 0)[::4]
    return X.iloc[chosen], y.iloc[chosen].to_numpy()


@pytest.fixture(scope="module")
def clf(table):
    X, y = table
    return _small().fit(StandardScaler().fit_transform(X), y)


# ------------------------------------------------------------------------------------------- what is looked into

NESTED = {
    "pipeline": lambda: make_pipeline(StandardScaler(), _small()),
    "nested pipelines": lambda: make_pipeline(make_pipeline(StandardScaler()), make_pipeline("passthrough", _small())),
    "search around a pipeline": lambda: GridSearchCV(
        make_pipeline(StandardScaler(), _small()), {"softplusclassifier__lr": [0.005]}, cv=2
    ),
    "batched search around a pipeline": lambda: BatchedSearchCV(
        make_pipeline(StandardScaler(), _small()), {"softplusclassifier__lr": [0.005]}, cv=2
    ),
    "pipeline around a search": lambda: make_pipeline(StandardScaler(), GridSearchCV(_small(), {"lr": [0.005]}, cv=2)),
    "passthrough": lambda: Pipeline([("no", "passthrough"), ("scale", StandardScaler()), ("model", _small())]),
    "pipeline of a frozen one": lambda: make_pipeline(StandardScaler(), FrozenEstimator(_small())),
    "frozen pipeline": lambda: FrozenEstimator(make_pipeline(StandardScaler(), _small())),
}


def _fitted(name, X, y):
    model = NESTED[name]()
    if name == "frozen pipeline":
        model.estimator.fit(X, y)
    elif name == "pipeline of a frozen one":
        model[-1].estimator.fit(StandardScaler().fit_transform(X), y)
        model.fit(X, y)
    else:
        model.fit(X, y)
    return model


@pytest.fixture(scope="module")
def nested(table):
    return {name: _fitted(name, *table) for name in NESTED}


@pytest.mark.parametrize("name", NESTED)
@pytest.mark.parametrize("caller", ["ERAttack", "FGSM", "certify_top_k", "hessian_norm", "comprehensiveness"])
def test_every_nesting_is_looked_into(caller, name, nested, clf, table):
    X, y = table
    model, seen = nested[name], StandardScaler().fit(X).transform(X.iloc[::9])
    call = {**ATTACKED, **EXPLAINED}[caller]
    np.testing.assert_allclose(call(model, X.iloc[::9], y[::9]), call(clf, seen, y[::9]), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    "caller", [name for name in (*ATTACKED, *EXPLAINED, *PREDICTED) if name != "CenterOfMassAttack"]
)
def test_a_pipeline_is_what_its_last_step_is_at_what_the_others_make_of_X(caller, nested, clf, table):
    X, y = table
    rows, labels = X.iloc[::5], y[::5]
    seen = StandardScaler().fit(X).transform(rows)
    call = {**ATTACKED, **EXPLAINED, **PREDICTED}[caller]
    np.testing.assert_allclose(call(nested["pipeline"], rows, labels), call(clf, seen, labels), rtol=1e-5, atol=1e-7)


def test_what_an_attack_on_a_pipeline_finds_has_the_names_and_the_index_that_X_has(nested, table):
    X, _ = table
    pipe = nested["pipeline"]
    result = ERAttack(pipe, k=K, max_iter=2).run(X)
    for part in (result.X_adv, result.attribution, result.attribution_adv):
        assert isinstance(part, pd.DataFrame)
        assert list(part.columns) == list(X.columns)
        assert part.index.equals(X.index)
    assert isinstance(ERAttack(pipe, k=K, max_iter=2).run(X.to_numpy()).X_adv, np.ndarray)


def test_names_are_those_of_the_features_that_the_last_step_sees(table):
    from robustxai.datasets import make_preprocessor

    X, y = table
    X = X.assign(color=np.where(np.arange(len(X)) % 3, "red", "blue"), size=np.arange(len(X)) % 4)
    X["size"] = X["size"].map({0: "S", 1: "M", 2: "L", 3: "XL"})
    pipe = make_pipeline(make_preprocessor(X), _small()).fit(X, y)
    names = list(pipe[:-1].get_feature_names_out())
    attack = ERAttack(pipe, k=K, max_iter=2, threat=ThreatModel(frozen=["size"]))
    result = attack.run(X)
    assert list(result.X_adv.columns) == names
    assert list(attack.get_feature_names_out()) == names
    assert list(attack.set_output(transform="pandas").transform(X).columns) == names
    levels = [name for name in names if name.startswith("size_")]
    assert len(levels) == 4
    np.testing.assert_allclose(result.X_adv[levels], pipe[:-1].transform(X)[:, [names.index(n) for n in levels]])
    assert not np.allclose(result.X_adv, pipe[:-1].transform(X))


def test_attributions_of_a_pipeline_are_judged_in_the_features_that_its_last_step_sees(nested, clf, table):
    X, _ = table
    pipe = nested["pipeline"]
    seen = pipe[:-1].transform(X)
    attribution = pd.DataFrame(clf.explain(seen), index=X.index, columns=X.columns)
    expected = comprehensiveness(clf, seen, attribution.to_numpy())
    mixed = attribution.sort_index(axis=1).iloc[::-1]
    np.testing.assert_allclose(comprehensiveness(pipe, X, mixed), expected)
    with pytest.raises(ValueError, match=r"last step of the Pipeline sees X in shape .*BlackBox"):
        comprehensiveness(pipe, X, attribution.iloc[:, :2])


def test_a_saliency_display_of_a_result_transforms_X_as_the_pipeline_does(nested, table):
    X, _ = table
    pipe, rows = nested["pipeline"], X.iloc[:3]
    result = ERAttack(pipe, k=K, max_iter=2).run(rows)
    display = SaliencyDisplay.from_result(result, rows, k=K, estimator=pipe)
    np.testing.assert_allclose(np.asarray(display.X), pipe[:-1].transform(rows))
    np.testing.assert_allclose(display.precision_at_k_, result.precision_at_k)


def test_retrain_gives_a_pipeline_back_for_a_pipeline(nested, table):
    X, y = table
    pipe = nested["pipeline"]
    new = retrain(R2ETClassifier(k=K), pipe, X, y, max_epochs=1)
    assert isinstance(new, Pipeline)
    assert isinstance(new[-1], R2ETClassifier)
    assert new[0] is pipe[0]
    bare = retrain(R2ETClassifier(k=K), pipe[-1], pipe[:-1].transform(X), y, max_epochs=1)
    np.testing.assert_allclose(new.predict_proba(X), bare.predict_proba(pipe[:-1].transform(X)))


def test_a_search_and_a_pipeline_have_weights_to_start_from(nested, table):
    X, y = table
    seen = nested["pipeline"][:-1].transform(X)
    starts = [nested[name] for name in ("pipeline", "search around a pipeline")] + [nested["pipeline"][-1]]
    fits = [SoftplusClassifier(max_epochs=1, lr=1e-9, init=start).fit(seen, y) for start in starts]
    for fit in fits[:-1]:
        np.testing.assert_array_equal(fit.predict_proba(seen), fits[-1].predict_proba(seen))


# ------------------------------------------------------------------------------------------- what is refused


class _Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, x):
        return self.layer(x)


def _tiny():
    return VanillaClassifier(max_epochs=1)


#: Object -> how it is made of X and y, the type of the error, and what names the way.
WRONG = {
    "class": (lambda X, y: VanillaClassifier, TypeError, r"VanillaClassifier\(\)\.fit\(X, y\)"),
    "string": (lambda X, y: "er", TypeError, r"VanillaClassifier\(\)\.fit\(X, y\)"),
    "number": (lambda X, y: 3, TypeError, r"VanillaClassifier\(\)\.fit\(X, y\)"),
    "array": (lambda X, y: np.zeros((3, 4)), TypeError, r"VanillaClassifier\(\)\.fit\(X, y\)"),
    "table": (lambda X, y: X, TypeError, r"VanillaClassifier\(\)\.fit\(X, y\)"),
    "dict": (lambda X, y: {"a": _tiny()}, TypeError, r"VanillaClassifier\(\)\.fit\(X, y\)"),
    "module": (lambda X, y: _Net(), TypeError, r"VanillaClassifier\(module=module, init=module\)"),
    "regressor": (lambda X, y: LinearRegression().fit(X, y), TypeError, "regressor LinearRegression. Predict classes"),
    "clusterer": (lambda X, y: KMeans(2, n_init=1).fit(X), TypeError, "KMeans is none"),
    "scaler": (lambda X, y: StandardScaler().fit(X), TypeError, "StandardScaler is none"),
    "attack": (lambda X, y: ERAttack(k=2), TypeError, "ERAttack is none"),
    "unfitted": (lambda X, y: _tiny(), NotFittedError, r"VanillaClassifier.* not fitted yet: call its fit"),
    "unfitted pipeline": (
        lambda X, y: make_pipeline(StandardScaler(), _tiny()),
        NotFittedError,
        "Pipeline.* not fitted yet: call its fit",
    ),
    "unfitted search": (
        lambda X, y: GridSearchCV(_tiny(), {"lr": [0.1]}),
        NotFittedError,
        "GridSearchCV.* not fitted yet: call its fit",
    ),
    "search without a model": (
        lambda X, y: GridSearchCV(_tiny(), {"lr": [0.1]}, cv=2, refit=False).fit(X, y),
        TypeError,
        "refit=False. Pass refit=True",
    ),
}
#: The same of fitted classifiers that do not explain themselves, which metrics of predictions take.
SILENT = {
    "linear, of other probabilities": (
        lambda X, y: SGDClassifier("modified_huber", random_state=0).fit(X, y),
        "probabilities of this SGDClassifier|must be a fitted classifier of robustxai",
    ),
    "forest": (lambda X, y: RandomForestClassifier(2).fit(X, y), "BlackBox|certify_smoothed_top_k"),
    "boosting": (lambda X, y: HistGradientBoostingClassifier(max_iter=1).fit(X, y), "BlackBox|certify_smoothed_top_k"),
    "forest in a pipeline": (
        lambda X, y: make_pipeline(StandardScaler(), RandomForestClassifier(2)).fit(X, y),
        "BlackBox|certify_smoothed_top_k",
    ),
    "frozen forest": (
        lambda X, y: FrozenEstimator(RandomForestClassifier(2).fit(X, y)),
        "BlackBox|certify_smoothed_top_k",
    ),
    "skorch": (
        lambda X, y: NeuralNetClassifier(_Net, max_epochs=1, verbose=0).fit(X.to_numpy(np.float32), y - 1),
        r"VanillaClassifier\(module=net.module, init=net\)",
    ),
    "calibrated": (
        lambda X, y: CalibratedClassifierCV(_tiny(), cv=2).fit(X, y),
        r"model\.calibrated_classifiers_\[0\]\.estimator",
    ),
    "calibrated in a pipeline": (
        lambda X, y: make_pipeline(StandardScaler(), CalibratedClassifierCV(_tiny(), cv=2)).fit(X, y),
        r"model\[-1\]\.calibrated_classifiers_\[0\]\.estimator",
    ),
    "calibrated pipeline": (
        lambda X, y: CalibratedClassifierCV(make_pipeline(StandardScaler(), _tiny()), cv=2).fit(X, y),
        r"model\.calibrated_classifiers_\[0\]\.estimator",
    ),
    "tuned threshold": (lambda X, y: TunedThresholdClassifierCV(_tiny(), cv=2).fit(X, y), r"model\.estimator_"),
    "fixed threshold": (lambda X, y: FixedThresholdClassifier(_tiny()).fit(X, y), r"model\.estimator_"),
    "voting": (
        lambda X, y: VotingClassifier([("a", _tiny())], voting="soft").fit(X, y),
        r"model\.estimators_\[0\]",
    ),
    "stacking": (lambda X, y: StackingClassifier([("a", _tiny())], cv=2).fit(X, y), r"model\.estimators_\[0\]"),
    "bagging": (lambda X, y: BaggingClassifier(_tiny(), 1).fit(X, y), r"model\.estimators_\[0\]"),
    "one against the rest": (lambda X, y: OneVsRestClassifier(_tiny()).fit(X, y), r"model\.estimators_\[0\]"),
}


@pytest.fixture(scope="module")
def wrong(table):
    made = {}

    def get(name):
        if name not in made:
            made[name] = ({**WRONG, **SILENT})[name][0](*table)
        return made[name]

    return get


STARTED = {
    "retrain": lambda model, X, y: retrain(R2ETClassifier(k=K), model, X, y),
    "init": lambda model, X, y: VanillaClassifier(init=model, max_epochs=1).fit(X, y),
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("caller", [*ATTACKED, *EXPLAINED, *PREDICTED, *STARTED])
def test_what_is_no_fitted_classifier_is_refused_by_a_sentence(caller, name, wrong, table):
    if caller in STARTED and name == "module":
        pytest.skip("a module has weights to start from")
    X, y = table
    _, error, match = WRONG[name]
    with pytest.raises(error, match=match) as caught:
        {**ATTACKED, **EXPLAINED, **PREDICTED, **STARTED}[caller](wrong(name), X.iloc[::9], y[::9])
    assert type(caught.value) is error


@pytest.mark.parametrize("name", SILENT)
@pytest.mark.parametrize("caller", [*ATTACKED, *EXPLAINED, *STARTED])
def test_classifiers_without_an_explanation_are_refused_by_a_sentence_that_names_the_way(caller, name, wrong, table):
    if caller in STARTED and name == "skorch":
        pytest.skip("a skorch net has weights to start from")
    X, y = table
    match = SILENT[name][1]
    if caller in STARTED and "model" not in match:
        match = "must be a fitted classifier of robustxai"
    with pytest.raises(TypeError, match=match):
        {**ATTACKED, **EXPLAINED, **STARTED}[caller](wrong(name), X.iloc[::9], y[::9])


@pytest.mark.parametrize("name", [name for name in SILENT if name != "skorch"])
@pytest.mark.parametrize("caller", PREDICTED)
def test_metrics_of_predictions_take_any_classifier_with_probabilities(caller, name, wrong, table):
    X, y = table
    assert np.isfinite(PREDICTED[caller](wrong(name), X, y)).all()


@pytest.mark.parametrize("caller", PREDICTED)
def test_metrics_of_predictions_ask_for_probabilities(caller, table):
    X, y = table
    with pytest.raises(TypeError, match=r"LinearSVC has no predict_proba. .* CalibratedClassifierCV"):
        PREDICTED[caller](LinearSVC().fit(X, y), X, y)


@pytest.mark.parametrize("caller", DIFFERENTIATED)
def test_a_black_box_is_refused_where_its_gradient_would_be_needed(caller, table):
    X, y = table
    box = BlackBox(RandomForestClassifier(2).fit(X.to_numpy(), y), lambda points: np.asarray(points))
    with pytest.raises(TypeError, match="BlackBox gives answers without gradients"):
        {**ATTACKED, **EXPLAINED}[caller](box, X.to_numpy()[::9], y[::9])


@pytest.mark.parametrize("name", ["class", "string", "regressor", "unfitted", "search without a model"])
def test_a_black_box_is_around_a_fitted_classifier(name, wrong, table):
    _, error, match = WRONG[name]
    with pytest.raises(error, match=match):
        ERAttack(BlackBox(wrong(name), np.asarray), k=K).fit(table[0])


@pytest.mark.parametrize("last", ["passthrough", None])
@pytest.mark.parametrize("caller", [*ATTACKED, *EXPLAINED])
def test_a_pipeline_without_a_model_is_refused(caller, last, table):
    X, y = table
    pipe = Pipeline([("scale", StandardScaler()), ("last", last)])
    pipe.fit(X, y)
    with pytest.raises(TypeError, match="Pipeline that ends in a classifier, and the last step of this one is"):
        {**ATTACKED, **EXPLAINED}[caller](pipe, X.iloc[::9], y[::9])


@pytest.mark.parametrize("caller", [*EXPLAINED, *PREDICTED])
def test_none_is_refused(caller, table):
    X, y = table
    with pytest.raises((TypeError, ValueError), match="pass a fitted classifier"):
        {**EXPLAINED, **PREDICTED}[caller](None, X.iloc[::9], y[::9])


def test_the_way_that_a_message_names_leads_to_an_attack(wrong, table):
    X, _ = table
    for name, path in (
        ("calibrated", lambda model: model.calibrated_classifiers_[0].estimator),
        ("calibrated pipeline", lambda model: model.calibrated_classifiers_[0].estimator),
        ("tuned threshold", lambda model: model.estimator_),
        ("voting", lambda model: model.estimators_[0]),
        ("bagging", lambda model: model.estimators_[0]),
    ):
        assert ERAttack(path(wrong(name)), k=K, max_iter=1).run(X).precision_at_k.shape == (len(X),)


def test_retrain_asks_for_a_defense_of_this_library(nested, table):
    X, y = table
    with pytest.raises(TypeError, match=r"classifier of robustxai that trains, .* R2ETClassifier\(k=8\)"):
        retrain(nested["pipeline"], nested["pipeline"], X, y)


def test_an_object_of_the_users_own_with_the_right_attributes_is_taken(table):
    class Own:
        classes_ = np.array([0, 1])

        def predict_proba(self, X):
            return np.tile([0.3, 0.7], (len(X), 1))

    X, _ = table
    own = Own()
    assert resolve_model(own, X, needs=("predict_proba",), what="This")[0] is own
    np.testing.assert_array_equal(prediction_sensitivity(own, X, X), 0.0)
    with pytest.raises(TypeError, match="Own has no 'explain'"):
        comprehensiveness(own, X)


@pytest.mark.filterwarnings("default::robustxai.exceptions.EvaluationWarning")
def test_attacked_inputs_of_the_last_step_handed_to_the_whole_pipeline_are_noticed(nested, table, recwarn):
    X, _ = table
    pipe = nested["pipeline"]
    X_adv = ERAttack(pipe, k=K, max_iter=2).run(X).X_adv
    recwarn.clear()
    prediction_sensitivity(pipe, X, X + 0.01)
    prediction_sensitivity(pipe[-1], pipe[:-1].transform(X), X_adv.to_numpy())
    assert not [w for w in recwarn if issubclass(w.category, EvaluationWarning)]
    with pytest.warns(EvaluationWarning, match=r"prediction_sensitivity\(pipe\[-1\], pipe"):
        prediction_sensitivity(pipe, X, X_adv)
