import warnings

import numpy as np
import pandas as pd
import pytest
import torch

from robustxai._frames import like
from robustxai.metrics import _inputs
from robustxai.metrics._inputs import chunks, explained_scores, module_batch, plain_array, ranked_scores

from .doubles import Double, Recorder


@pytest.mark.parametrize("size", [1, 3, 1000, 2**25])
def test_chunks_cover_every_item_once_within_the_budget(size):
    parts = list(chunks(10, size))
    assert [i for part in parts for i in range(part.start, part.stop)] == list(range(10))
    assert all(part.stop - part.start == 1 or (part.stop - part.start) * size <= _inputs.MAX_ELEMENTS for part in parts)


def test_plain_array_takes_frames_tensors_lists_and_keeps_the_precision():
    values = np.arange(6).reshape(2, 3)
    for X in (values, values.tolist(), pd.DataFrame(values), torch.tensor(values)):
        array = plain_array(X)
        assert array.dtype == np.float64
        np.testing.assert_array_equal(array, values)
    assert plain_array(torch.ones(2, 3, requires_grad=True)).dtype == np.float32
    with pytest.raises(ValueError, match="n_samples"):
        plain_array(np.ones(3))


def test_frames_come_back_as_frames():
    frame = pd.DataFrame(np.ones((2, 2)), columns=["u", "v"])
    assert list(like(frame, np.zeros((5, 2))).columns) == ["u", "v"]
    assert isinstance(like(np.ones((2, 2)), np.zeros((5, 2))), np.ndarray)


def test_a_read_only_array_is_ranked_without_a_warning():
    values = np.ones((2, 3))
    values.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ranked_scores(values, "signed").shape == (2, 3)
        module_batch(Double(torch.nn.Identity()), values)


def test_explained_scores_asks_for_the_given_class_in_parts(net, X, monkeypatch):
    whole = explained_scores(net, X, X, np.array([0, 1, 2, 0, 1]), "signed")
    np.testing.assert_array_equal(whole, net.explain(X, ["a", "b", "c", "a", "b"]))
    monkeypatch.setattr(_inputs, "MAX_ELEMENTS", 2 * X.shape[1])
    recorder = Recorder(net)
    parts = explained_scores(recorder, X, X, np.array([0, 1, 2, 0, 1]), "signed")
    assert [len(points) for points, _ in recorder.calls] == [2, 2, 1]
    torch.testing.assert_close(parts, whole)


def test_module_batch_has_the_precision_of_the_module():
    assert module_batch(Double(torch.nn.Linear(3, 2)), np.ones((2, 3))).dtype == torch.float32
    assert module_batch(Double(torch.nn.Identity()), np.ones((2, 3))).dtype == torch.float64
