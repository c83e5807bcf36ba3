"""Trials belong to processes: which are dead, which live, here and on other machines."""

import datetime
import os
import threading
import time

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import FitFailedWarning

from robustxai.model_selection import _workers, tune
from robustxai.model_selection._workers import Worker

SPACE = {"value": FloatDistribution(0.0, 1.0)}
X, Y = np.zeros((4, 1)), np.array([0, 1, 0, 1])


class Constant(ClassifierMixin, BaseEstimator):
    def __init__(self, value=0.5):
        self.value = value

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0])


class Fails(Constant):
    """Cannot be fitted with every other value."""

    def fit(self, X, y):
        if self.value > 0.5:
            raise ValueError("too large")
        return super().fit(X, y)


@pytest.fixture(autouse=True)
def quiet():
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(before)


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """One database for all studies of the module: the tables of a new one take half a second."""
    return f"sqlite:///{tmp_path_factory.mktemp('database')}/studies.db"


@pytest.fixture
def stored(request, database):
    """Place and name of a study."""
    return {"storage": database, "study_name": request.node.name}


@pytest.fixture(params=["memory", "sqlite", "journal"])
def study(request, tmp_path, database):
    storage = {
        "memory": lambda: optuna.storages.InMemoryStorage(),
        "sqlite": lambda: database,
        "journal": lambda: optuna.storages.JournalStorage(
            optuna.storages.journal.JournalFileBackend(str(tmp_path / "study.log"))
        ),
    }[request.param]()
    return optuna.create_study(storage=storage, study_name=request.node.name, direction="maximize")


def sign(study, name, **changes):
    """A sign of life of a worker, changed."""
    own = {"machine": _workers._machine(), "pid": 2**22 + 1, "started": "1", "time": time.time(), **changes}
    study._storage.set_study_system_attr(study._study_id, f"robustxai:worker:{name}", own)


def running(study, name=None):
    """A running trial of a worker."""
    attrs = {} if name is None else {"robustxai:worker": name}
    study.add_trial(create_trial(state=TrialState.RUNNING, system_attrs=attrs))
    return len(study.trials) - 1


def test_the_dead_are_told_from_the_living(study):
    with Worker(study) as here, Worker(study) as other:
        sign(study, "gone")
        sign(study, "far", machine="elsewhere")
        sign(study, "far and silent", machine="elsewhere", time=time.time() - 3600)
        sign(study, "before the machine was started again", machine="elsewhere", time=time.time() - 7200)
        names = ["gone", "far", "far and silent", "before the machine was started again", "never heard of"]
        trials = {name: running(study, name) for name in [*names, here.name, other.name, None]}
        assert here.fail_abandoned() == 2
        states = {name: study.trials[number].state for name, number in trials.items()}
        assert {name for name, state in states.items() if state == TrialState.RUNNING} == {
            *("far", here.name, other.name, None)
        }
        assert set(states.values()) == {TrialState.RUNNING, TrialState.FAIL}
    assert study.trials[trials[here.name]].state == TrialState.FAIL  # the blocks are over
    assert study.trials[trials["far"]].state == TrialState.RUNNING


def test_a_number_of_a_process_that_another_has_got_is_no_life(study):
    with Worker(study) as here:
        sign(study, "same number", pid=os.getpid())
        sign(study, "parent", pid=os.getppid(), started=_workers._start_of(os.getppid()))
        sign(study, "not that parent", pid=os.getppid(), started="another")
        for name in ("same number", "parent", "not that parent"):
            running(study, name)
        here.fail_abandoned()
    assert [t.state for t in study.trials] == [TrialState.FAIL, TrialState.RUNNING, TrialState.FAIL]


def test_a_trial_that_nobody_asked_for_is_forgotten_after_a_day(study):
    study.ask()
    long_ago = datetime.datetime.now() - datetime.timedelta(days=2)
    trial = create_trial(state=TrialState.RUNNING)
    trial.datetime_start = long_ago
    study.add_trial(trial)
    with Worker(study) as here:
        here.fail_abandoned()
    assert [t.state for t in study.trials] == [TrialState.RUNNING, TrialState.FAIL]


def test_a_trial_is_marked_before_it_runs(study):
    with Worker(study) as here:
        study.enqueue_trial({"value": 0.25})
        assert here.ask(SPACE).params == {"value": 0.25}
        here.ask(SPACE)
        assert [t.state for t in study.trials] == [TrialState.RUNNING] * 2
        assert {t.system_attrs["robustxai:worker"] for t in study.trials} == {here.name}


def test_signs_of_life_go_on(study, monkeypatch):
    monkeypatch.setattr(_workers, "_BEAT", 0.02)
    with Worker(study) as here:
        key, signs, deadline = f"robustxai:worker:{here.name}", set(), time.time() + 20
        while len(signs) < 3 and time.time() < deadline:
            signs.add(study._storage.get_study_system_attrs(study._study_id)[key]["time"])
            time.sleep(0.01)
        assert len(signs) == 3


def test_two_processes_that_share_a_study_sample_apart_and_end_together(stored):
    options = {"cv": [(np.arange(4), np.arange(4))], "batch_size": 2, **stored}
    tune(Constant(), SPACE, X, Y, n_trials=1, **options)
    studies = []

    def work():
        studies.append(tune(Constant(), SPACE, X, Y, n_trials=12, **options))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    trials = studies[0].trials
    assert len(studies) == 2
    assert {t.state for t in trials} == {TrialState.COMPLETE}
    assert 12 <= len(trials) <= 14  # both may have begun the last ones at the same time
    assert len({t.params["value"] for t in trials}) == len(trials)


def test_a_resumed_study_is_the_one_that_was_never_stopped(stored):
    options = {"cv": [(np.arange(4), np.arange(4))], "batch_size": 1, "random_state": 3, "scoring": score}
    whole = tune(Constant(), SPACE, X, Y, n_trials=14, **options)
    for n_trials in (3, 5, 11, 14):
        parts = tune(Constant(), SPACE, X, Y, n_trials=n_trials, **options, **stored)
    assert [t.params for t in parts.trials] == [t.params for t in whole.trials]
    assert len({t.params["value"] for t in whole.trials}) == 14


def score(estimator, X, y):
    return -((estimator.value - 0.3) ** 2)


@pytest.mark.parametrize(
    "sampler",
    [
        lambda: optuna.samplers.TPESampler(seed=0),
        lambda: optuna.samplers.RandomSampler(seed=0),
        lambda: optuna.samplers.NSGAIISampler(seed=0),
        lambda: optuna.samplers.QMCSampler(seed=0),
        lambda: optuna.samplers.GridSampler({"value": list(np.linspace(0, 1, 7))}, seed=0),
    ],
)
def test_samplers_of_the_users_sample_anew(sampler, stored):
    options = {"cv": [(np.arange(4), np.arange(4))], "batch_size": 2, **stored}
    for n_trials in (2, 4, 6):
        study = tune(Constant(), SPACE, X, Y, n_trials=n_trials, sampler=sampler(), **options)
    assert len({t.params["value"] for t in study.trials}) == 6


def test_a_sampler_that_goes_on_in_its_process_is_left_alone(database):
    def told(n_calls):
        sampler, options = optuna.samplers.RandomSampler(seed=0), {"cv": [(np.arange(4), np.arange(4))]}
        for call in range(n_calls):
            n_trials = 6 * (call + 1) // n_calls
            study = tune(
                *(Constant(), SPACE, X, Y),
                n_trials=n_trials,
                sampler=sampler,
                storage=database,
                study_name=f"in {n_calls} calls",
                **options,
            )
        return [t.params for t in study.trials]

    assert told(1) == told(3)


# ---------------------------------------------------------------- errors


def raises(estimator, X, y):
    raise RuntimeError("no score")


def raises_above(estimator, X, y):
    if estimator.value > 0.5:
        raise RuntimeError("no score there")
    return 1.0


def nan_above(estimator, X, y):
    return np.nan if estimator.value > 0.5 else 1.0


@pytest.mark.parametrize(
    ("estimator", "scoring", "why"),
    [(Fails(), None, "too large"), (Constant(), raises_above, "no score there"), (Constant(), nan_above, "nan")],
)
def test_an_error_ends_its_trial_and_no_other(estimator, scoring, why):
    with pytest.warns(FitFailedWarning, match=why):
        study = tune(estimator, SPACE, X, Y, n_trials=12, scoring=scoring, cv=2)
    assert len(study.trials) == 12
    for trial in study.trials:
        failed = trial.params["value"] > 0.5
        assert trial.state == (TrialState.FAIL if failed else TrialState.COMPLETE)
        assert (why in trial.user_attrs.get("error", "")) == failed
    assert {t.state for t in study.trials} == {TrialState.FAIL, TrialState.COMPLETE}


def test_an_error_of_all_trials_is_raised():
    with pytest.raises(RuntimeError, match="no score"):
        tune(Constant(), SPACE, X, Y, n_trials=12, scoring=raises, cv=2)


def test_a_metric_beside_the_objective_may_fail():
    scoring = {"good": "accuracy", "bad": raises}
    with pytest.warns(UserWarning, match="'bad' failed"):
        study = tune(Constant(), SPACE, X, Y, n_trials=2, scoring=scoring, objectives=["good"], cv=2)
    assert [t.state for t in study.trials] == [TrialState.COMPLETE] * 2
    assert np.isnan(study.trials[0].user_attrs["bad"])
    with pytest.raises(ValueError, match="no value of bad"):
        tune(Constant(), SPACE, X, Y, n_trials=2, scoring=scoring, objectives=["bad"], cv=2)
