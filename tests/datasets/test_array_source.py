"""Damaged and foreign archives, the same for every set of arrays."""

from __future__ import annotations

import io
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from robustxai.datasets import load_abide, load_cifar10, load_fashion_mnist, load_mnist
from robustxai.datasets._array_source import ArraySource, Spec, sealed_npz, to_npz
from robustxai.datasets._mnist import _SOURCE as MNIST
from robustxai.exceptions import DataNotFoundError
from tests.damages import damages

from .conftest import save, stored_arrays

SMALL = ArraySource(
    name="small",
    origin="nowhere",
    arrays={"X": Spec(np.uint8, ("n", 2, "width")), "y": Spec(np.integer, ("n",), 3)},
)
CONTENT = {"X": np.arange(24, dtype=np.uint8).reshape(4, 2, 3), "y": np.array([0, 1, 2, 0])}


def put(home: Path, **changes) -> Path:
    return save(stored_arrays(MNIST) | changes, home / "mnist" / "mnist.npz")


def test_the_argument_comes_before_the_environment_and_that_before_the_cache(tmp_path, empty_machine, monkeypatch):
    images = stored_arrays(MNIST)["X_train"]
    for place, value in ((empty_machine, 1), (tmp_path / "environment", 2), (tmp_path / "argument", 3)):
        put(place, X_train=np.full_like(images, value))
    assert load_mnist().data[0, 0, 0, 0] == np.float32(1 / 255)
    monkeypatch.setenv("ROBUSTXAI_DATA", str(tmp_path / "environment"))
    assert load_mnist().data[0, 0, 0, 0] == np.float32(2 / 255)
    bunch = load_mnist(data_home=tmp_path / "argument")
    assert bunch.data[0, 0, 0, 0] == np.float32(3 / 255)
    assert bunch.filename == str(tmp_path / "argument" / "mnist" / "mnist.npz")


def test_a_flat_file_is_found_too(tmp_path, empty_machine):
    path = save(stored_arrays(MNIST), tmp_path / "mnist.npz")
    assert load_mnist(data_home=tmp_path).filename == str(path)


@pytest.mark.parametrize(
    ("load", "name", "origin"),
    [
        (load_mnist, "mnist", "Y. LeCun"),
        (load_fashion_mnist, "fashion_mnist", "zalandoresearch/fashion-mnist"),
        (load_cifar10, "cifar10", "A. Krizhevsky"),
        (load_abide, "abide_nyu", "Preprocessed Connectomes Project"),
        (lambda **options: load_abide(site="multisite", **options), "abide_multisite", "non-commercial"),
    ],
)
def test_the_message_for_missing_data_says_what_to_put_where(tmp_path, empty_machine, load, name, origin):
    with pytest.raises(DataNotFoundError) as caught:
        load(data_home=tmp_path)
    message = str(caught.value)
    assert f"no {name}/{name}.npz in {tmp_path} (data_home), {empty_machine} (cache)" in message
    assert f"{name}/{name}.npz is a numpy archive with" in message
    assert origin in message


def damage_truncated(path):
    path.write_bytes(path.read_bytes()[:-400])


def damage_flipped_bits(path):
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 8] = bytes(byte ^ 0xFF for byte in content[middle : middle + 8])
    path.write_bytes(content)


def damage_text(path):
    path.write_text("<html>not found</html>")


def damage_empty(path):
    path.write_bytes(b"")


def damage_single_array(path):
    with path.open("wb") as file:
        np.save(file, np.zeros((40, 28, 28), np.uint8))


def damage_pickle(path):
    path.write_bytes(pickle.dumps(stored_arrays(MNIST)))


def damage_objects(path):
    save(stored_arrays(MNIST) | {"y_train": np.array([1, "one"] * 20, dtype=object)}, path)


def damage_keys(path):
    arrays = stored_arrays(MNIST)
    save({"x_train": arrays["X_train"], "y_train": arrays["y_train"]}, path)


def changed(name, change):
    def damage(path):
        arrays = stored_arrays(MNIST)
        save(arrays | {name: change(arrays[name])}, path)

    return damage


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (damage_truncated, "no numpy archive"),
        (damage_flipped_bits, "cannot be read"),
        (damage_text, "no numpy archive"),
        (damage_empty, "no numpy archive"),
        (damage_single_array, "no numpy archive"),
        (damage_pickle, "no numpy archive"),
        (damage_objects, "cannot be read .*allow_pickle=False"),
        (damage_keys, r"lacks the array\(s\) X_train, X_test, y_test"),
        (changed("X_test", lambda X: X / 255), "X_test should be uint8 .* but is of type float64"),
        (changed("y_test", lambda y: y.astype(float)), "y_test should be integer .* but is of type float64"),
        (changed("X_train", lambda X: X.reshape(-1, 784)), r"has the shape \(40, 784\)"),
        (changed("X_train", lambda X: X[:, :, :27]), r"has the shape \(40, 28, 27\)"),
        (changed("X_train", lambda X: X[:0]), r"has the shape \(0, 28, 28\)"),
        (changed("y_train", lambda y: y[:-1]), r"with n_train=40 but has the shape \(39,\)"),
        (changed("y_test", lambda y: y + 1), "labels from 0 to 9 but has 1 to 10"),
        (changed("y_test", lambda y: y - 1), "labels from 0 to 9 but has -1 to 8"),
    ],
)
def test_a_damaged_file_is_named_and_explained_and_not_passed_over(tmp_path, empty_machine, damage, reason):
    put(empty_machine)  # a good copy further down must not hide the damage
    path = put(tmp_path)
    damage(path)
    with pytest.raises(DataNotFoundError, match=reason) as caught:
        load_mnist(data_home=tmp_path)
    assert str(caught.value).startswith(f"{path} is damaged")
    assert "replace it" in str(caught.value)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_bytes_that_were_changed_anywhere_are_noticed_or_make_no_difference(tmp_path, data):
    content = bytearray(to_npz(CONTENT))
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=3)):
        content[place] = data.draw(st.integers(0, 255))
    path = tmp_path / "small.npz"
    path.write_bytes(content)
    try:
        arrays = SMALL.read(path)
    except DataNotFoundError:
        return  # any other error would be a failure
    for name, expected in CONTENT.items():
        np.testing.assert_array_equal(arrays[name], expected)


def test_what_is_kept_is_what_was_given_and_other_arrays_are_passed_over(tmp_path):
    stored = to_npz(CONTENT | {"more": np.zeros(2)})
    (tmp_path / "small.npz").write_bytes(stored)
    arrays = SMALL.read(tmp_path / "small.npz")
    assert list(arrays) == ["X", "y"]
    np.testing.assert_array_equal(arrays["X"], CONTENT["X"])
    with np.load(io.BytesIO(stored)) as archive:
        assert set(archive.files) == {"X", "y", "more"}


def test_a_named_size_is_the_same_wherever_it_stands():
    assert SMALL.fault(CONTENT) == ""
    assert "y should be" in SMALL.fault(CONTENT | {"y": np.zeros(5, int)})
    square = replace(SMALL, arrays={"X": Spec(np.uint8, ("n", "nodes", "nodes"))})
    assert square.fault({"X": np.zeros((2, 3, 3), np.uint8)}) == ""
    assert "(2, 3, 4)" in square.fault({"X": np.zeros((2, 3, 4), np.uint8)})


ARCHIVES = {"one of the library": sealed_npz(to_npz(CONTENT), "small"), "one of one's own": to_npz(CONTENT)}


@pytest.mark.parametrize("good", ARCHIVES.values(), ids=ARCHIVES)
def test_a_damaged_archive_is_refused_or_holds_the_same(tmp_path, good):
    path = tmp_path / "small.npz"
    foreign = to_npz({"X_train": CONTENT["X"]})
    refused = []
    for name, content in damages(good, foreign=foreign):
        path.write_bytes(content)
        try:
            arrays = SMALL.read(path)
        except DataNotFoundError as error:
            refused.append(str(error))
        else:
            for key, expected in CONTENT.items():
                np.testing.assert_array_equal(arrays[key], expected, err_msg=name)
    assert len(refused) > 100
    assert all(message.startswith(f"{path} is damaged") for message in refused)


def test_an_archive_of_the_library_knows_its_set_and_others_read_it(tmp_path):
    path = tmp_path / "small.npz"
    path.write_bytes(sealed_npz(to_npz(CONTENT), "other"))
    with pytest.raises(DataNotFoundError, match="it is of another set: robustxai other sha256"):
        SMALL.read(path)
    path.write_bytes(ARCHIVES["one of the library"])
    with np.load(path) as archive:
        np.testing.assert_array_equal(archive["X"], CONTENT["X"])
    assert zipfile.ZipFile(path).testzip() is None
    # not a byte can change but in the name of the comment, which then is that of somebody else's archive
    raw = path.read_bytes()
    places = [place for place in range(len(raw)) if place not in range(raw.rindex(b"robustxai"), len(raw))]
    for place in places:
        path.write_bytes(raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :])
        with pytest.raises(DataNotFoundError):
            SMALL.read(path)
