"""A fit that is interrupted and started again."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback

from robustxai import CertifiedR2ETClassifier, R2ETClassifier, VanillaClassifier
from robustxai.training import ResumableCheckpoint


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
    return cls(**{**extra, "max_epochs": 6, "batch_size": 16, **params}, callbacks=callbacks)


def weights(clf):
    return torch.cat([p.detach().flatten() for p in clf.module_.parameters()])


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"warm_up": 3},
        {"cls": VanillaClassifier, "module__activation": "tanh"},
        # a bound in every third step or so: the steps since the last one are part of the state
        {"cls": CertifiedR2ETClassifier, "warm_up": 1, "n_bounds": 11},
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
    assert len(list(tmp_path.glob("fit-*.pt"))) == (2 if resumed.warm_up else 1)  # found again, not begun anew
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
    with pytest.raises(ValueError, match=r"fit-.*is no state of this fit.*Delete it"):
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
R2ETClassifier(k=2, max_epochs=6, batch_size=16, callbacks=callbacks).fit(X, (X[:, 0] * X[:, 1] > 0).astype(int))
"""


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_another_process_finds_the_state(data, tmp_path, hash_seed):
    command = [sys.executable, "-c", ANOTHER_PROCESS, str(tmp_path)]
    subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": hash_seed}, check=True)
    make(tmp_path, stop=1).fit(*data)  # would pull the plug if there were an epoch left
    assert len(list(tmp_path.glob("fit-*.pt"))) == 1
