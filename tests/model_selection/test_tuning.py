import functools
import os
import signal
import subprocess
import sys
import textwrap
import time
import traceback
import warnings

import numpy as np
import optuna
import pandas as pd
import pytest
import sklearn
import torch
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from robustxai import ExactHessianClassifier, R2ETClassifier
from robustxai._fingerprint import fingerprint
from robustxai.attacks import ERAttack
from robustxai.model_selection import PrecisionAtKScorer, tune

SPACE = {"lambda_gap": FloatDistribution(1e-4, 1e-2, log=True), "k": CategoricalDistribution([1, 2])}
CLF = R2ETClassifier(k=2, max_epochs=4, batch_size=64, module__hidden=(8,))
SCORING = {"auc": "roc_auc", "p": PrecisionAtKScorer(ERAttack(k=2, max_iter=4))}


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


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One database and one journal for all studies of the module: the tables of a new one take half a second."""
    return tmp_path_factory.mktemp("studies")


@pytest.fixture
def name_of_study(request):
    return request.node.name


def states(study):
    return [trial.state for trial in study.trials]


def test_a_trial_is_worth_what_cross_validation_says(data):
    study = tune(CLF, SPACE, *data, n_trials=5, batch_size=3, scoring="roc_auc", cv=3, n_reports=1)
    assert states(study) == [TrialState.COMPLETE] * 5
    for trial in study.trials:
        clf = R2ETClassifier(**CLF.get_params()).set_params(**trial.params)
        assert trial.value == pytest.approx(cross_val_score(clf, *data, cv=3, scoring="roc_auc").mean(), abs=1e-4)
        assert trial.user_attrs == {"score": trial.value}


@pytest.mark.parametrize("routed", [False, True])
def test_weights_of_rows_are_those_of_fits_and_scores(routed, data):
    X, y = data
    weights = np.random.default_rng(0).integers(0, 4, size=len(y))
    scorer = PrecisionAtKScorer(ERAttack(k=2, max_iter=3))
    clf, scaler = CLF, StandardScaler()
    options = {"n_trials": 2, "batch_size": 2, "cv": KFold(2), "n_reports": 1, "sample_weight": weights}
    with sklearn.config_context(enable_metadata_routing=routed):
        if routed:
            clf = R2ETClassifier(**CLF.get_params()).set_fit_request(sample_weight=True)
            scaler.set_fit_request(sample_weight=False)
            scorer = scorer.set_score_request(sample_weight=True)
        space = {"r2etclassifier__lambda_gap": SPACE["lambda_gap"]}
        study = tune(make_pipeline(scaler, clf), space, X, y, scoring=scorer, **options)
    for trial in study.trials:
        values = []
        for train, test in KFold(2).split(X):
            scaler = StandardScaler().fit(X[train])
            own = {name.removeprefix("r2etclassifier__"): value for name, value in trial.params.items()}
            alone = R2ETClassifier(**CLF.get_params()).set_params(**own)
            alone.fit(scaler.transform(X[train]), y[train], weights[train])
            values.append(scorer(alone, scaler.transform(X[test]), sample_weight=weights[test]))
        assert trial.value == pytest.approx(np.mean(values), abs=0.02)


def test_what_cannot_be_weighted_says_so(data):
    def accuracy(estimator, X, y):
        return estimator.score(X, y)

    for scoring, name in ((accuracy, "accuracy"), ({"mine": accuracy, "auc": "roc_auc"}, "mine")):
        with pytest.raises(TypeError, match=f"The scorer .*{name}.* does not take sample_weight"):
            tune(CLF, SPACE, *data, n_trials=1, scoring=scoring, sample_weight=np.ones(140))
    with pytest.raises(ValueError, match="sample_weight has 3 entries"):
        tune(CLF, SPACE, *data, n_trials=1, sample_weight=np.ones(3))


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
    clf = ExactHessianClassifier(max_epochs=2, batch_size=32, module__hidden=(4,), n_draws=1)
    study = tune(clf, {"lr": FloatDistribution(1e-3, 1e-2)}, *data, n_trials=3, cv=2)
    assert states(study) == [TrialState.COMPLETE] * 3


@pytest.mark.parametrize("url", ["sqlite:///{}/study.db", "journal:///{}/study.log"])
def test_a_study_goes_on_in_its_storage(url, data, folder, name_of_study):
    options = {"storage": url.format(folder), "study_name": name_of_study, "cv": 2, "batch_size": 2}
    first = [(t.params, t.value) for t in tune(CLF, SPACE, *data, n_trials=2, **options).trials]
    second = tune(CLF, SPACE, *data, n_trials=5, **options)
    assert [(t.params, t.value) for t in second.trials[:2]] == first
    assert len(second.trials) == 5
    assert len(tune(CLF, SPACE, *data, n_trials=5, **options).trials) == 5


def test_an_interrupted_batch_is_told_and_the_study_goes_on(data, folder, name_of_study):
    def interrupted(estimator, X, y):
        raise KeyboardInterrupt

    options = {"storage": f"sqlite:///{folder}/study.db", "study_name": name_of_study, "cv": 2, "batch_size": 2}
    with pytest.raises(KeyboardInterrupt):
        tune(CLF, SPACE, *data, n_trials=4, scoring=interrupted, **options)
    study = tune(CLF, SPACE, *data, n_trials=4, **options)
    assert states(study) == [TrialState.FAIL] * 2 + [TrialState.COMPLETE] * 4


KILLS = """
    import os, signal, sys, time
    import numpy as np
    import optuna
    from optuna.distributions import CategoricalDistribution, FloatDistribution
    from robustxai import VanillaClassifier
    from robustxai.model_selection import tune

    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3)).astype(np.float32)
    y = (X[:, 0] > 0).astype(int)
    clf = VanillaClassifier(max_epochs=2, batch_size=32, module__hidden=(4,), device="cpu")
    space = {"lr": FloatDistribution(1e-3, 1e-1), "module__hidden": CategoricalDistribution([(4,), (3, 3)])}
    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def blocked(write, after):
        calls = []

        def block(*args):
            calls.append(args)
            if len(calls) == after:
                os.write(write, b"!")
                time.sleep(600)

        return block

    def run(url, n_trials, block=lambda *args: None, at="score", sampler=None):
        def scored(estimator, X, y):
            if at == "score":
                block()
            return estimator.score(X, y)

        for kind, name in ((optuna.Study, "add_trial"), (optuna.Study, "ask"), (optuna.Study, "tell")):
            def wrapped(*args, _do=getattr(kind, name), _name=name, **kwargs):
                result = _do(*args, **kwargs)
                if at == _name:
                    block()
                return result

            if at == name:
                setattr(kind, name, wrapped)
        options = {"storage": url, "study_name": "mine", "batch_size": 3, "cv": 2, "n_reports": 2, "sampler": sampler}
        return tune(clf, space, X, y, n_trials=n_trials, scoring=scored, **options)

    if sys.argv[1:]:  # what every child would import for itself
        tune(clf, space, X, y, n_trials=1, cv=2, storage="sqlite://", study_name="imports")
    for url in sys.argv[1:]:
        SAMPLER = optuna.samplers.RandomSampler(seed=0) if url.startswith("journal") else None
        for at, after in (("score", 3), ("add_trial", 5), ("ask", 2), ("tell", 2), ("score", 11)):
            read, write = os.pipe()
            child = os.fork()
            if not child:
                run(url, 9, blocked(write, after), at, SAMPLER)
                os._exit(0)
            os.close(write)  # or a child that dies by itself would be waited for
            assert os.read(read, 1) == b"!"
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        run(url, 9, sampler=SAMPLER)
"""


def assert_resumed(trials, n_trials):
    """The asked number of results, nothing that runs or waits, and no parameters twice."""
    assert sum(t.state in (TrialState.COMPLETE, TrialState.PRUNED) for t in trials) == n_trials
    assert {t.state for t in trials} <= {TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL}
    rates = [t.params["lr"] for t in trials if "lr" in t.params]
    assert len(set(rates)) == len(rates) >= n_trials


LABELS = """
import numpy as np, torch
from robustxai.model_selection._choices import _label

def mine(x):
    return {"a", "b", x}

values = ((8, [4]), {"b", "a"}, np.float32(0.1), torch.nn.ReLU, mine, np.arange(9), lambda x: {"p", "q", "r"})
print([_label(value) for value in values], flush=True)
"""


@pytest.fixture(scope="module")
def another_process(tmp_path_factory):
    """Studies, by the kind of their storage, whose processes were killed at every step of a trial; and `LABELS`."""
    folder = tmp_path_factory.mktemp("killed")
    urls = {"sqlite": f"sqlite:///{folder}/study.db", "journal": f"journal:///{folder}/study.log"}
    killed = urls.values() if hasattr(os, "fork") else []
    command = [sys.executable, "-W", "ignore", "-c", LABELS + textwrap.dedent(KILLS), *killed]
    place = {**os.environ, "PYTHONHASHSEED": "1"}
    said = subprocess.run(command, check=True, timeout=240, stdout=subprocess.PIPE, text=True, env=place)
    return urls, said.stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the script forks")
@pytest.mark.parametrize("storage", ["sqlite", "journal"])
def test_killed_five_times_and_resumed(storage, another_process):
    """At every step of a trial: made, asked, half scored, told."""
    assert_resumed(_open_study_of(another_process[0][storage]).trials, 9)


def _open_study_of(url):
    if url.startswith("journal"):
        backend = optuna.storages.journal.JournalFileBackend(url.removeprefix("journal:///"))
        return optuna.load_study(study_name="mine", storage=optuna.storages.JournalStorage(backend))
    return optuna.load_study(study_name="mine", storage=url)


@pytest.mark.slow
@pytest.mark.parametrize("url", ["sqlite:///{}/study.db", "journal:///{}/study.log"])
def test_killed_five_times_at_any_time(url, tmp_path):
    url = url.format(tmp_path)
    script = textwrap.dedent(KILLS).partition("for url in sys.argv")[0] + f"\nrun({url!r}, 40)"
    command = [sys.executable, "-W", "ignore", "-c", script]
    rng = np.random.default_rng(0)
    for kill in range(5):
        process = subprocess.Popen(command)
        deadline, finished = time.time() + 120, -1
        while finished < 5 * (kill + 1) and time.time() < deadline and process.poll() is None:
            time.sleep(0.3)
            try:
                finished = len(_open_study_of(url).get_trials(states=(TrialState.COMPLETE,)))
            except Exception:  # it is just being made
                continue
        time.sleep(rng.random())
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run(command, check=True, timeout=300)
    assert_resumed(_open_study_of(url).trials, 40)


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


class Point:
    def __init__(self, x):
        self.x = x


def double(x):
    return 2 * x


CHOICES = {
    "tuples": [(8,), (8, 4)],
    "nested": [[8, [4, (2,)]], (8, [4, (2,)]), ()],
    "numbers of numpy": [np.int64(3), np.float32(0.1), np.float64(0.1), np.bool_(True)],
    "equal and of several types": [1, True, 1.0, np.int64(1), "1", "True"],
    "and zero": [0, False, None, 0.0, ""],
    "plain": [None, True, 2, 0.5, "relu"],
    "a text that looks like a tuple": ["(8,)", (8,)],
    "sets and dicts": [{"a": 1}, {"a": 2}, frozenset({1, 2}), {3}, {}],
    "classes": [torch.nn.ReLU, torch.nn.Tanh, Point, int],
    "functions": [double, np.tanh, torch.relu, lambda x: x, lambda x: x + 1],
    "closures": [functools.partial(double, 1), functools.partial(double, 2)],
    "arrays": [np.zeros(3), np.ones(3), np.zeros(5000), np.r_[np.zeros(4999), 1.0]],
    "tensors": [torch.zeros(2), torch.ones(2)],
    "frames": [pd.DataFrame({"a": [1]}), pd.DataFrame({"b": [1]})],
    "estimators": [StandardScaler(), StandardScaler(with_mean=False), "passthrough"],
    "objects": [Point(1), Point(2)],
    "random states": [np.random.RandomState(0), np.random.RandomState(1)],
    "ranges and bytes": [range(3), range(4), b"a", 1j],
}


class Keeper(ClassifierMixin, BaseEstimator):
    """Remembers what it was given."""

    def __init__(self, value=None):
        self.value = value

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0])


@pytest.mark.parametrize(
    ("name", "url"),
    [
        *((name, "sqlite:///{}/study.db") for name in CHOICES),
        *((name, "journal:///{}/study.log") for name in ("nested", "equal and of several types", "classes", "arrays")),
        *((name, None) for name in ("nested", "equal and of several types", "arrays")),
    ],
)
def test_a_storage_gives_choices_back_as_they_were_given(name, url, folder, name_of_study):
    choices, seen = CHOICES[name], []

    def score(estimator, X, y):
        seen.append(estimator.value)
        return float(len(seen))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna's about choices of these types
        space = {"value": CategoricalDistribution(choices)}
    options = {"scoring": score, "cv": [(np.arange(4), np.arange(4))], "batch_size": 2}
    options |= {"storage": None if url is None else url.format(folder), "study_name": name_of_study}
    for n_trials in (2, 6):  # the second time it is found again
        study = tune(Keeper(), space, np.zeros((4, 1)), np.array([0, 1, 0, 1]), n_trials=n_trials, **options)
    assert states(study) == [TrialState.COMPLETE] * 6
    given = [trial.params["value"] for trial in study.trials]
    assert list(map(fingerprint, given)) == list(map(fingerprint, seen[-6:]))
    kinds = {(type(choice), fingerprint(choice)) for choice in choices}
    assert {(type(value), fingerprint(value)) for value in given} <= kinds
    assert fingerprint(study.best_params["value"]) == fingerprint(given[5])
    assert fingerprint(study.best_trials[0].params["value"]) == fingerprint(given[5])
    assert len(study.trials_dataframe()) == 6
    assert list(map(fingerprint, study.best_trial.distributions["value"].choices)) == list(map(fingerprint, choices))


def test_choices_that_a_storage_knows_are_left_alone(data, folder, name_of_study):
    url = f"sqlite:///{folder}/study.db"
    study = tune(CLF, SPACE, *data, n_trials=1, cv=2, storage=url, study_name=name_of_study)
    assert type(study) is optuna.Study
    assert optuna.load_study(study_name=name_of_study, storage=url).trials[0].distributions == SPACE


def test_labels_are_the_same_in_another_process(capsys, another_process):
    exec(LABELS, {"__name__": "__main__"})
    here = capsys.readouterr().out
    assert another_process[1] == here
    assert "torch.nn.modules.activation.ReLU" in here


def test_other_choices_under_the_same_name_are_refused(data, folder, name_of_study):
    options = {"n_trials": 1, "cv": 2, "storage": f"sqlite:///{folder}/study.db", "study_name": name_of_study}
    tune(CLF, {"module__hidden": CategoricalDistribution([(8,), (4,)])}, *data, **options)
    with pytest.raises(ValueError, match="another study_name"):
        tune(CLF, {"module__hidden": CategoricalDistribution([(8,), (5,)])}, *data, **{**options, "n_trials": 2})


@pytest.mark.parametrize(
    ("storage", "secrets"),
    [
        ("postgresql://user:s3cret@nowhere.invalid:1/db", ["s3cret"]),
        ("postgresql://user:s3%40cret@nowhere.invalid:1/db", ["s3%40cret", "s3@cret"]),
        ("postgresql://user:s3@c/r?et@nowhere.invalid:1/db", ["s3@c", "r?et"]),
        ("postgresql://nowhere.invalid:1/db?user=u&password=s3cret", ["s3cret"]),
        ("postgresql://user:s3cret@host:port/db", ["s3cret"]),
        ("mysql+pymysql://user:s3cret@nowhere.invalid:1/db", ["s3cret"]),
        ("nonsense://user:s3cret@host/db", ["s3cret"]),
        ("redis://:s3cret@host", ["s3cret"]),
        ("sqlite+pysqlcipher://:s3cret@/nowhere/at/all.db", ["s3cret"]),
    ],
)
def test_no_message_has_a_password(storage, secrets, data):
    with pytest.raises(ConnectionError) as caught:
        tune(CLF, SPACE, *data, n_trials=1, cv=2, storage=storage)
    for secret in secrets:
        assert secret not in "".join(traceback.format_exception(caught.value))


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
