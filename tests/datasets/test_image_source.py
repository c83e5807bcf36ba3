"""What all loaders of images share: parts, classes, draws, downloads."""

from __future__ import annotations

import io
import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils import Bunch

from robustxai.datasets import load_cifar10, load_fashion_mnist, load_mnist
from robustxai.datasets._fashion_mnist import _SOURCE as FASHION
from robustxai.datasets._image_source import stratified_subset
from robustxai.datasets._mnist import _SOURCE as MNIST
from robustxai.exceptions import DataNotFoundError

from .conftest import save, stored_arrays


@pytest.fixture
def home(tmp_path, empty_machine):
    arrays = stored_arrays(FASHION, 60)
    arrays |= {"X_test": arrays["X_test"][:20], "y_test": arrays["y_test"][:20]}
    save(arrays, tmp_path / "fashion_mnist" / "fashion_mnist.npz")
    return tmp_path


def test_each_part_is_the_stored_one_between_0_and_1(home):
    with np.load(home / "fashion_mnist" / "fashion_mnist.npz") as stored:
        for subset in ("train", "test"):
            X, y = load_fashion_mnist(data_home=home, subset=subset, return_X_y=True)
            np.testing.assert_allclose(X[:, 0], stored[f"X_{subset}"] / 255, rtol=1e-6)
            np.testing.assert_array_equal(y, stored[f"y_{subset}"])
            assert (X.dtype, y.dtype) == (np.float32, np.int64)
            assert X.flags.c_contiguous
            assert X.min() >= 0
            assert X.max() <= 1


def test_all_is_train_then_test_and_train_is_the_default(home):
    train, test, both = (load_fashion_mnist(data_home=home, subset=part) for part in ("train", "test", "all"))
    np.testing.assert_array_equal(both.data, np.concatenate([train.data, test.data]))
    np.testing.assert_array_equal(both.target, np.concatenate([train.target, test.target]))
    np.testing.assert_array_equal(load_fashion_mnist(data_home=home).data, train.data)


def test_the_bunch_names_its_classes_and_X_y_is_the_same(home):
    bunch = load_fashion_mnist(data_home=home)
    assert bunch.target_names[5] == "sandal"
    assert len(bunch.target_names) == 10
    assert bunch.image_shape == (1, 28, 28)
    assert "Xiao" in bunch.DESCR
    X, y = load_fashion_mnist(data_home=home, return_X_y=True)
    np.testing.assert_array_equal(X, bunch.data)
    np.testing.assert_array_equal(y, bunch.target)


def test_classes_by_name_or_number_keep_their_labels_and_their_order(home):
    every = load_fashion_mnist(data_home=home)
    some = load_fashion_mnist(data_home=home, classes=["sandal", 9])
    keep = (every.target == 5) | (every.target == 9)
    np.testing.assert_array_equal(some.target, every.target[keep])
    np.testing.assert_array_equal(some.data, every.data[keep])
    assert some.target_names == every.target_names


def test_a_draw_is_stratified_reproducible_and_in_the_order_of_the_file(home):
    every = load_fashion_mnist(data_home=home)
    draw = load_fashion_mnist(data_home=home, n_rows=20)
    np.testing.assert_array_equal(np.bincount(draw.target), [2] * 10)
    np.testing.assert_array_equal(draw.data, load_fashion_mnist(data_home=home, n_rows=20, random_state=0).data)
    assert (draw.data != load_fashion_mnist(data_home=home, n_rows=20, random_state=1).data).any()
    positions = [int(np.flatnonzero((every.data == image).all(axis=(1, 2, 3)))[0]) for image in draw.data]
    assert positions == sorted(positions)
    np.testing.assert_array_equal(every.target[positions], draw.target)


@settings(max_examples=100, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=6), share=st.floats(0, 1), seed=st.integers(0, 2**32 - 1)
)
def test_a_draw_has_the_shares_of_the_classes_and_lies_in_every_larger_one(sizes, share, seed):
    y = np.random.RandomState(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    n = max(1, round(share * len(y)))
    drawn = stratified_subset(y, n, seed)
    assert len(np.unique(drawn)) == len(drawn) == n
    assert (np.diff(drawn) > 0).all()
    # the keys of a class lie 1/size apart, so that a class has the whole number next to a common share of it; that
    # share is n / len(y) up to half a sample in each class
    counts = np.bincount(y[drawn], minlength=len(sizes))
    assert (np.abs(counts - n / len(y) * np.array(sizes)) <= 1 + len(sizes) / 2).all()
    assert set(drawn) <= set(stratified_subset(y, min(n + 3, len(y)), seed))


def test_a_draw_of_classes_of_one_size_is_exact():
    y = np.arange(500) % 10
    for n in (10, 50, 130):
        np.testing.assert_array_equal(np.bincount(y[stratified_subset(y, n, 0)]), [n // 10] * 10)


@pytest.mark.parametrize(
    ("arguments", "error", "reason"),
    [
        ({"subset": "tset"}, ValueError, "Did you mean 'test'"),
        ({"classes": ["sandle"]}, ValueError, "no class 'sandle'. Did you mean 'sandal'"),
        ({"classes": [10]}, ValueError, "no class 10; the classes are 0 to 9"),
        ({"classes": [-1]}, ValueError, "a class must be"),
        ({"classes": [1.5]}, TypeError, "a class must be an integer"),
        ({"classes": []}, ValueError, "classes is empty"),
        ({"classes": "sandal"}, TypeError, r"use \['sandal'\]"),
        ({"n_rows": 0}, ValueError, "n_rows must be"),
        ({"n_rows": 0.5}, TypeError, "n_rows must be an integer"),
    ],
)
def test_arguments_are_checked_before_any_file_is_looked_for(empty_machine, arguments, error, reason):
    with pytest.raises(error, match=reason):
        load_fashion_mnist(**arguments)


def test_a_draw_of_more_than_there_are_is_refused(home):
    with pytest.raises(ValueError, match="n_rows=61 is more than the 60 samples"):
        load_fashion_mnist(data_home=home, n_rows=61)


N_TRAIN, N_TEST = 30, 12
LABELS = np.arange(N_TRAIN + N_TEST) * 7 % 10


@pytest.fixture
def openml(empty_machine, monkeypatch):
    """Makes `fetch_openml` return a small set that passes for MNIST, and records how it was called."""

    class FakeOpenML:
        data = np.random.default_rng(0).integers(0, 256, (N_TRAIN + N_TEST, 784))
        target = LABELS.astype(str).astype(object)

        def __init__(self):
            self.calls: list[dict] = []

        def __call__(self, **arguments):
            self.calls.append(arguments)
            return Bunch(data=self.data, target=self.target)

    fake = FakeOpenML()
    small = replace(MNIST, n_train=N_TRAIN, n_test=N_TEST, labels_crc=zlib.crc32(LABELS.astype(np.uint8).tobytes()))
    monkeypatch.setattr("robustxai.datasets._mnist._SOURCE", small)
    monkeypatch.setattr("robustxai.datasets._base.fetch_openml", fake)
    return fake


def test_a_download_is_split_kept_and_not_repeated(openml, empty_machine):
    train = load_mnist()
    assert openml.calls == [{"data_id": 554, "as_frame": False, "cache": False}]
    np.testing.assert_allclose(train.data.reshape(N_TRAIN, -1), openml.data[:N_TRAIN] / 255, rtol=1e-6)
    np.testing.assert_array_equal(train.target, LABELS[:N_TRAIN])
    kept = empty_machine / "mnist" / "mnist.npz"
    assert train.filename == str(kept)
    assert [path.name for path in kept.parent.iterdir()] == [kept.name]  # no temporary file is left
    test = load_mnist(subset="test")
    assert len(openml.calls) == 1
    np.testing.assert_allclose(test.data.reshape(N_TEST, -1), openml.data[N_TRAIN:] / 255, rtol=1e-6)
    np.testing.assert_array_equal(test.target, LABELS[N_TRAIN:])


def test_a_download_that_was_altered_or_is_another_set_is_refused(openml, empty_machine, monkeypatch):
    load_mnist()
    kept = empty_machine / "mnist" / "mnist.npz"
    good = kept.read_bytes()
    for place in (0, len(good) // 3, len(good) // 2, len(good) - 70, len(good) - 1):
        kept.write_bytes(good[:place] + bytes([good[place] ^ 4]) + good[place + 1 :])
        with pytest.raises(DataNotFoundError, match=r"mnist\.npz is damaged"):
            load_mnist()
    # as many images as the set has, with the labels of another: a file that somebody put there
    with np.load(io.BytesIO(good)) as archive:
        arrays = dict(archive)
    save(arrays, kept)
    assert len(load_mnist().data) == N_TRAIN
    save(arrays | {"y_train": arrays["y_train"][::-1]}, kept)
    with pytest.raises(DataNotFoundError, match="it has the labels of another set than mnist"):
        load_mnist()


def test_a_download_that_cannot_be_kept_is_still_returned_and_the_warning_shows_the_users_line(openml, empty_machine):
    empty_machine.parent.mkdir(parents=True)
    empty_machine.write_text("a file where the folder should be")
    with pytest.warns(UserWarning, match="could not be kept") as caught:
        bunch = load_mnist()
    assert bunch.data.shape == (N_TRAIN, 1, 28, 28)
    assert bunch.filename == "OpenML data set 554"
    assert caught[0].filename == __file__


def test_an_interrupted_write_leaves_no_file(openml, empty_machine, monkeypatch):
    def full_disk(*_):
        raise OSError("no space left")

    monkeypatch.setattr("robustxai.datasets._base.os.replace", full_disk)
    with pytest.warns(UserWarning, match="no space left"):
        load_mnist()
    assert list((empty_machine / "mnist").iterdir()) == []


@pytest.mark.parametrize(
    ("data", "target", "reason"),
    [
        (lambda X: X[:-1], lambda y: y[:-1], "41 images and 41 labels instead of 42"),
        (lambda X: X, lambda y: y[:-1], "42 images and 41 labels instead of 42"),
        (lambda X: X / 255, lambda y: y, "not whole numbers from 0 to 255"),
        (lambda X: X - 1, lambda y: y, "not whole numbers from 0 to 255"),
        (lambda X: np.where(X > 3, X, np.nan), lambda y: y, "not whole numbers from 0 to 255"),
        (lambda X: X.astype(str), lambda y: np.array(["five"] * len(y)), "not the expected set of arrays"),
        (lambda X: X[:, :-1], lambda y: y, "not the expected set of arrays"),
        (lambda X: X[::-1], lambda y: y[::-1], "not in the order that tells training from test"),
        (lambda X: None, lambda y: None, "not the expected set of arrays"),
    ],
)
def test_another_set_from_openml_is_refused_and_not_kept(openml, empty_machine, data, target, reason):
    openml.data, openml.target = data(openml.data), target(openml.target)
    with pytest.raises(DataNotFoundError, match=reason):
        load_mnist()
    assert not empty_machine.exists()


def test_a_failed_download_is_data_not_found(empty_machine):
    with pytest.raises(DataNotFoundError, match="download of OpenML data set 40996 failed"):
        load_fashion_mnist()


def test_the_full_cifar_set_is_not_downloaded_in_the_place_of_the_subset(openml):
    with pytest.raises(DataNotFoundError, match=r"40927.* not downloaded in the place of this subset"):
        load_cifar10()
    assert openml.calls == []
