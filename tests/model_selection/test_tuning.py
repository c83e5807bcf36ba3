import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from robustxai import ExactHessianClassifier, R2ETClassifier
from robustxai.attacks import ERAttack
from robustxai.model_selection import PrecisionAtKScorer, tune

SPACE = {"lambda_gap": FloatDistribution(1e-4, 1e-2, log=True), "k": CategoricalDistribution([1, 2])}
CLF = R2ETClassifier(k=2, max_epochs=4, batch_size=32, module__hidden=(8,))
SCORING = {"auc": "roc_auc", "p": PrecisionAtKScorer(ERAttack(k=2, max_iter=10))}


@pytest.fixture(autouse=True)
def quiet():
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(before)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(140, 5)).astype(np.float32)
    return X, (X[:, 0] + X[:, 1] ** 2 + 0.3 * rng.normal(size=140) > 0.7).astype(int)


def states(study):
    return [trial.state for trial in study.trials]


def test_a_trial_is_worth_what_cross_validation_says(data):
    study = tune(CLF, SPACE, *data, n_trials=5, batch_size=3, scoring="roc_auc", cv=3, n_reports=1)
    assert states(study) == [TrialState.COMPLETE] * 5
    for trial in study.trials:
        clf = R2ETClassifier(**CLF.get_params()).set_params(**trial.params)
        assert trial.value == pytest.approx(cross_val_score(clf, *data, cv=3, scoring="roc_auc").mean(), abs=1e-4)
        assert trial.user_attrs == {"score": trial.value}


def test_the_same_seed_asks_the_same(data):
    pair = [tune(CLF, SPACE, *data, n_trials=4, scoring="roc_auc", cv=2, random_state=1) for _ in range(2)]
    assert [t.params for t in pair[0].trials] == [t.params for t in pair[1].trials]
    assert pair[0].best_value == pytest.approx(pair[1].best_value)


def test_a_pipeline_and_two_processes(data):
    space = {"r2etclassifier__lr": FloatDistribution(1e-4, 1e-2, log=True)}
    pipe = make_pipeline(StandardScaler(), CLF)
    alone, parallel = (tune(pipe, space, *data, n_trials=4, cv=2, n_jobs=n) for n in (None, 2))
    assert [t.value for t in alone.trials] == pytest.approx([t.value for t in parallel.trials], abs=1e-3)


def test_a_pruner_ends_trials_on_the_way(data):
    space = {"lr": CategoricalDistribution([1e-7, 1e-2])}
    pruner = optuna.pruners.ThresholdPruner(lower=1e-3)
    lengths = []

    def rate(estimator, X, y):
        lengths.append((estimator.lr, len(estimator.history_)))
        return estimator.lr

    study = tune(CLF, space, *data, n_trials=8, scoring=rate, cv=2, n_reports=4, pruner=pruner)
    by_rate = {rate: {t.state for t in study.trials if t.params["lr"] == rate} for rate in (1e-7, 1e-2)}
    assert by_rate[1e-7] == {TrialState.PRUNED}
    assert by_rate[1e-2] == {TrialState.COMPLETE}
    assert {length for lr, length in lengths if lr == 1e-7} == {1}  # of four epochs
    assert {length for lr, length in lengths if lr == 1e-2} == {1, 2, 3, 4}
    finished = [t for t in study.trials if t.state == TrialState.COMPLETE]
    assert all(sorted(t.intermediate_values) == [1, 2, 3] for t in finished)


def test_several_objectives_have_a_front(data):
    study = tune(CLF, SPACE, *data, n_trials=6, batch_size=6, scoring=SCORING, objectives=["auc", "p"], cv=2)
    assert study.metric_names == ["auc", "p"]
    values = np.array([trial.values for trial in study.trials])
    best = {trial.number for trial in study.best_trials}
    for number, mine in enumerate(values):
        dominated = ((values >= mine).all(axis=1) & (values > mine).any(axis=1)).any()
        assert dominated == (number not in best)


def test_one_objective_of_several_metrics(data):
    study = tune(CLF, SPACE, *data, n_trials=2, scoring=SCORING, objectives=["p"], cv=2)
    assert study.best_value == study.best_trial.user_attrs["p"]
    assert "auc" in study.best_trial.user_attrs


def test_a_trial_that_diverges_fails_and_the_others_go_on(data):
    space = {"lr": CategoricalDistribution([0.005, 1e30])}
    study = tune(CLF, space, *data, n_trials=8, scoring="roc_auc", cv=2)
    for trial in study.trials:
        assert trial.state == (TrialState.FAIL if trial.params["lr"] == 1e30 else TrialState.COMPLETE)
    assert "diverged" in next(t.user_attrs["error"] for t in study.trials if t.state == TrialState.FAIL)


def test_what_cannot_be_stacked_is_tuned_all_the_same(data):
    clf = ExactHessianClassifier(max_epochs=2, batch_size=32, module__hidden=(4,), n_probes=1)
    study = tune(clf, {"lr": FloatDistribution(1e-3, 1e-2)}, *data, n_trials=3, cv=2)
    assert states(study) == [TrialState.COMPLETE] * 3


@pytest.mark.parametrize("url", ["sqlite:///{}/study.db", "journal:///{}/study.log"])
def test_a_study_goes_on_in_its_storage(url, data, tmp_path):
    options = {"storage": url.format(tmp_path), "study_name": "mine", "cv": 2, "batch_size": 2}
    first = [(t.params, t.value) for t in tune(CLF, SPACE, *data, n_trials=2, **options).trials]
    second = tune(CLF, SPACE, *data, n_trials=5, **options)
    assert [(t.params, t.value) for t in second.trials[:2]] == first
    assert len(second.trials) == 5
    assert len(tune(CLF, SPACE, *data, n_trials=5, **options).trials) == 5


def test_an_interrupted_batch_is_told_and_the_study_goes_on(data, tmp_path):
    def interrupted(estimator, X, y):
        raise KeyboardInterrupt

    options = {"storage": f"sqlite:///{tmp_path}/study.db", "study_name": "mine", "cv": 2, "batch_size": 2}
    with pytest.raises(KeyboardInterrupt):
        tune(CLF, SPACE, *data, n_trials=4, scoring=interrupted, **options)
    study = tune(CLF, SPACE, *data, n_trials=4, **options)
    assert states(study) == [TrialState.FAIL] * 2 + [TrialState.COMPLETE] * 2


@pytest.mark.slow
def test_a_killed_process_loses_no_more_than_its_batch(data, tmp_path):
    script = """
        import numpy as np
        from optuna.distributions import FloatDistribution
        from robustxai import R2ETClassifier
        from robustxai.model_selection import tune
        rng = np.random.default_rng(0)
        X = rng.normal(size=(140, 5)).astype(np.float32)
        y = (X[:, 0] > 0).astype(int)
        clf = R2ETClassifier(k=2, max_epochs=20, batch_size=32, module__hidden=(8,))
        space = {"lr": FloatDistribution(1e-3, 1e-2)}
        tune(clf, space, X, y, n_trials=500, batch_size=2, cv=2, storage="STORAGE", study_name="mine")
    """
    storage = f"sqlite:///{tmp_path}/study.db"
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script).replace("STORAGE", storage)])
    deadline = time.time() + 120
    finished = 0
    while finished < 4 and time.time() < deadline:
        time.sleep(1)
        if os.path.exists(tmp_path / "study.db"):
            try:
                study = optuna.load_study(study_name="mine", storage=storage)
            except Exception:  # it is just being made
                continue
            finished = len(study.get_trials(states=(TrialState.COMPLETE,)))
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert finished >= 4
    before = {t.number: t.value for t in optuna.load_study(study_name="mine", storage=storage).trials if t.value}
    clf = R2ETClassifier(k=2, max_epochs=20, batch_size=32, module__hidden=(8,))
    space = {"lr": FloatDistribution(1e-3, 1e-2)}
    study = tune(clf, space, *data, n_trials=len(before) + 2, cv=2, storage=storage, study_name="mine")
    after = {t.number: t.value for t in study.trials if t.state == TrialState.COMPLETE}
    assert {n: after[n] for n in before} == before
    assert len(after) == len(before) + 2


@pytest.mark.parametrize(
    ("change", "error", "why"),
    [
        ({"space": {}}, ValueError, "space is empty"),
        ({"space": {"lamda_gap": IntDistribution(1, 2)}}, ValueError, "Did you mean 'lambda_gap'"),
        ({"space": {"lambda_gap": [0.1, 0.2]}}, TypeError, "FloatDistribution"),
        ({"objectives": ["acc"], "scoring": SCORING}, ValueError, "no metric 'acc'.*auc"),
        ({"scoring": SCORING}, ValueError, "name objectives among auc, p"),
        ({"n_trials": 0}, ValueError, "n_trials"),
        ({"storage": "sqlite:////nowhere/at/all/study.db"}, ConnectionError, "journal:///"),
        ({"storage": "nonsense://x"}, ConnectionError, "nonsense"),
    ],
)
def test_bad_input(change, error, why, data):
    arguments = {"space": SPACE, "n_trials": 1, "cv": 2, **change}
    with pytest.raises(error, match=why):
        tune(CLF, X=data[0], y=data[1], **arguments)
