"""A fit that is interrupted and started again."""

import copy
import errno
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback

from robustxai import CertifiedR2ETClassifier, R2ETClassifier, VanillaClassifier
from robustxai.exceptions import AlteredFileError
from robustxai.training import ResumableCheckpoint
from robustxai.training._checkpoint import _digest
from tests.damages import damages, fill_the_disk


class PullThePlug(Callback):
    def __init__(self, after):
        self.after = after

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == self.after:
            raise RuntimeError("the plug is out")


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 6)).astype(np.float32)
    return X, (X[:, 0] * X[:, 1] > 0).astype(int)


def make(folder=None, stop=None, cls=R2ETClassifier, every=1, **params):
    callbacks = [] if folder is None else [("checkpoint", ResumableCheckpoint(folder, every=every))]
    callbacks += [] if stop is None else [("stop", PullThePlug(stop))]
    extra = {} if cls is VanillaClassifier else {"k": 2}
    return cls(**{**extra, "max_epochs": 6, "batch_size": 32, **params}, callbacks=callbacks)


def weights(clf):
    return torch.cat([p.detach().flatten() for p in clf.module_.parameters()])


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"warm_up_epochs": 3},
        {"cls": VanillaClassifier, "module__activation": "tanh"},
        # a bound in every third step or so: the steps since the last one are part of the state
        {"cls": CertifiedR2ETClassifier, "warm_up_epochs": 1, "n_bounds": 5, "n_rows": 4},
    ],
    ids=["r2et", "warm-up", "vanilla", "certified"],
)
@pytest.mark.parametrize("stop", [1, 3])
def test_it_ends_as_if_nothing_had_happened(data, tmp_path, params, stop):
    whole = make(**params).fit(*data)
    with pytest.raises(RuntimeError, match="plug"):
        make(tmp_path, stop=stop, **params).fit(*data)
    resumed = make(tmp_path, **params).fit(*data)
    assert torch.equal(weights(resumed), weights(whole))
    assert len(list(tmp_path.glob("fit-*.pt"))) == (2 if resumed.warm_up_epochs else 1)  # found again, not begun anew
    assert len(resumed.history_) == 6
    assert [row["train_loss"] for row in resumed.history_] == [row["train_loss"] for row in whole.history_]


def test_a_finished_fit_is_not_trained_again(data, tmp_path):
    first = make(tmp_path).fit(*data)
    again = make(tmp_path, stop=1).fit(*data)  # would pull the plug if there were an epoch left
    assert torch.equal(weights(first), weights(again))


def test_epochs_between_two_savings_are_repeated(data, tmp_path):
    whole = make().fit(*data)
    with pytest.raises(RuntimeError, match="plug"):
        make(tmp_path, stop=3, every=2).fit(*data)
    resumed = make(tmp_path, every=2).fit(*data)
    assert torch.equal(weights(resumed), weights(whole))


@pytest.mark.parametrize("change", [{"random_state": 1}, {"lambda_gap": 0.02}, {"lr": 0.001}])
def test_another_fit_begins_anew(data, tmp_path, change):
    make(tmp_path).fit(*data)
    with pytest.raises(RuntimeError, match="plug"):  # its first epoch is trained, not found
        make(tmp_path, stop=1, **change).fit(*data)
    with pytest.raises(RuntimeError, match="plug"):
        make(tmp_path, stop=1).fit(data[0] + 1, data[1])


def test_a_damaged_file_is_named(data, tmp_path):
    make(tmp_path).fit(*data)
    (file,) = tmp_path.glob("fit-*.pt")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"fit-.*is not a state of this fit.*Delete it"):
        make(tmp_path).fit(*data)


@pytest.mark.parametrize("every", [0, -1, 1.5, True])
def test_every_is_a_number_of_epochs(data, tmp_path, every):
    with pytest.raises(ValueError, match="positive number of epochs"):
        make(tmp_path, every=every).fit(*data)


ANOTHER_PROCESS = """
import sys
import numpy as np
from robustxai import R2ETClassifier
from robustxai.training import ResumableCheckpoint

rng = np.random.default_rng(0)
X = rng.normal(size=(90, 6)).astype(np.float32)
callbacks = [("checkpoint", ResumableCheckpoint(sys.argv[1]))]
R2ETClassifier(k=2, max_epochs=6, batch_size=32, callbacks=callbacks).fit(X, (X[:, 0] * X[:, 1] > 0).astype(int))
"""


def test_another_process_finds_the_state(data, tmp_path):
    hash_seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"  # not that of this process
    command = [sys.executable, "-c", ANOTHER_PROCESS, str(tmp_path)]
    subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": hash_seed}, check=True)
    make(tmp_path, stop=1).fit(*data)  # would pull the plug if there were an epoch left
    assert len(list(tmp_path.glob("fit-*.pt"))) == 1


# ------------------------------------------------------------------------------------------- altered files


class Beginning(Callback):
    """Keeps what a checkpoint is given when the training begins."""

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        self.net, self.data = net, (X, y)
        self.first = copy.deepcopy((net.module_.state_dict(), net.optimizer_.state_dict(), net.streams.states()))

    def again(self, folder):
        """What the net is after a checkpoint of the folder was taken up."""
        self.net.module_.load_state_dict(self.first[0])
        self.net.optimizer_.load_state_dict(self.first[1])
        self.net.streams.set_states(self.first[2])
        self.net.history.clear()
        ResumableCheckpoint(folder).on_train_begin(self.net, *self.data)
        return self.now()

    def now(self):
        moments = self.net.optimizer_.state_dict()["state"]
        tensors = [*self.net.module_.state_dict().values(), *(t for m in moments.values() for t in m.values())]
        streams = self.net.streams.states().values()
        return [t.clone() for t in (*tensors, *streams)], self.net.history.to_list()


def same(one, other):
    (tensors, history), (others, rows) = one, other
    return len(tensors) == len(others) and all(map(torch.equal, tensors, others)) and history == rows


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A folder with one checkpoint, and how its fit began."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 6)).astype(np.float32)
    folder = tmp_path_factory.mktemp("checkpoints")
    beginning = Beginning()
    callbacks = [("beginning", beginning), ("checkpoint", ResumableCheckpoint(folder))]
    R2ETClassifier(k=2, max_epochs=2, batch_size=16, callbacks=callbacks).fit(X, (X[:, 0] > 0).astype(int))
    return folder, beginning


def test_a_damaged_checkpoint_gives_the_same_model_or_none(stored, tmp_path):
    folder, beginning = stored
    (path,) = folder.glob("fit-*.pt")
    right, good = beginning.again(folder), path.read_bytes()
    assert len(right[1]) == 2
    other = make(tmp_path).fit(np.zeros((30, 6), np.float32), np.arange(30) % 2)
    assert len(other.history_) == 6
    (foreign,) = tmp_path.glob("fit-*.pt")
    refused = []
    for name, content in damages(good, foreign=foreign.read_bytes()):
        path.write_bytes(content)
        try:
            assert same(beginning.again(folder), right), name
            assert content == good
        except AlteredFileError as error:
            refused.append(str(error))
            untouched = map(torch.equal, beginning.now()[0], beginning.first[0].values())
            assert all(untouched), name
            assert not beginning.net.history, name
    path.write_bytes(good)
    assert len(refused) > 250
    advice = "It is not a state of this fit. Delete it to start over."
    assert all(str(path) in message and message.endswith(advice) for message in refused)
    assert same(beginning.again(folder), right)


def test_a_checkpoint_is_of_its_fit_alone(data, tmp_path):
    make(tmp_path / "one").fit(*data)
    make(tmp_path / "two", random_state=1).fit(*data)
    (one,), (two,) = ((tmp_path / name).glob("fit-*.pt") for name in ("one", "two"))
    assert one.name != two.name
    one.write_bytes(two.read_bytes())
    with pytest.raises(AlteredFileError, match="it belongs to something else"):
        make(tmp_path / "one").fit(*data)


def test_a_folder_in_its_place_and_a_full_disk_are_named(data, tmp_path, monkeypatch):
    make(tmp_path).fit(*data)
    (path,) = tmp_path.glob("fit-*.pt")
    path.unlink()
    path.mkdir()
    with pytest.raises(AlteredFileError, match=r"fit-.*\.pt cannot be used: A folder is in the place.*Delete it"):
        make(tmp_path).fit(*data)
    path.rmdir()
    with monkeypatch.context() as patch:
        fill_the_disk(patch, 1_000)
        with pytest.raises(OSError, match=r"No space left on device.*fit-.*\.pt") as error:
            make(tmp_path).fit(*data)
    assert error.value.errno == errno.ENOSPC
    assert not list(tmp_path.iterdir())
    make(tmp_path).fit(*data)
    assert path.exists()


class Holder:
    """Something with an array, whose repr leaves most of it out."""

    def __init__(self, array):
        self.array = array

    def __repr__(self):
        return f"Holder({self.array})"


class Net:
    """As much of a net as its digest needs."""

    module_ = torch.nn.Linear(2, 2)

    def __init__(self, parameter):
        self.parameter = parameter

    def get_params(self, deep):
        return {"parameter": self.parameter, "verbose": object(), "callbacks": object(), "_own": object()}


def parametrized(array):
    layer = torch.nn.Linear(len(array), 1)
    layer.load_state_dict({"weight": torch.tensor(array)[None], "bias": torch.zeros(1)})
    return torch.nn.utils.parametrizations.weight_norm(layer)


LONG = np.arange(5_000.0)
CHANGED = LONG + (np.arange(5_000) == 2_500)  # the same repr


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda a: a,
        lambda a: torch.tensor(a),
        lambda a: [1, {"weights": (a,)}],
        lambda a: torch.nn.CrossEntropyLoss(weight=torch.tensor(a)),
        lambda a: [str(number) for number in a],
        lambda a: a.astype(object),
        lambda a: Holder(a),
        lambda a: lambda x: x + a,
        lambda a: parametrized(a),
    ],
    ids=["array", "tensor", "nested", "module", "list", "objects", "holder", "function", "parametrized"],
)
def test_fits_are_told_apart_by_the_content_of_their_parameters(wrapped):
    one, again, other = (_digest(Net(wrapped(a)), LONG, LONG) for a in (LONG, LONG.copy(), CHANGED))
    assert one == again
    assert one != other


def test_what_cannot_be_read_is_refused(data, tmp_path):
    with open(tmp_path / "open", "w", encoding="utf-8") as file, pytest.raises(TypeError, match="cannot be read"):
        _digest(Net(file), *data)


def test_a_digest_knows_where_one_value_ends(data):
    begun = Beginning()
    VanillaClassifier(max_epochs=1, callbacks=[("beginning", begun)]).fit(*data)
    X, y = begun.data
    assert len({_digest(begun.net, *parts) for parts in ((X, y), (X[:-1], y), (X, y[:-1]), (y, X))}) == 4
