from __future__ import annotations

import numpy as np
import pytest
from sklearn.model_selection import cross_val_score
from sklearn.svm import SVC

from robustxai.datasets import load_abide
from robustxai.datasets._abide import _source
from robustxai.exceptions import DataNotFoundError

from .conftest import save, stored_arrays

SITES = {"UM_1": 108, "USM": 101, "Yale": 56, "KKI": 54}


@pytest.mark.parametrize(("site", "counts"), [("nyu", [103, 79]), ("multisite", [159, 160])])
def test_subjects_labels_and_matrices(data_home, real_arrays, site, counts):
    stored = real_arrays(f"abide_{site}")
    bunch = load_abide(site=site, data_home=data_home)
    assert np.bincount(bunch.target).tolist() == counts
    assert bunch.target_names == ["control", "autism"]
    assert bunch.data.shape == (sum(counts), 116, 116)
    assert (bunch.data.dtype, bunch.target.dtype) == (np.float32, np.int64)
    np.testing.assert_array_equal(bunch.data, bunch.data.swapaxes(1, 2))
    np.testing.assert_array_equal(bunch.data, stored["adjacency"] * (1 - np.eye(116, dtype=np.float32)))
    np.testing.assert_array_equal(bunch.target, stored["label"])
    assert 0.4 < (bunch.data < 0).mean() < 0.6
    assert "non-commercial" in bunch.DESCR


def test_each_subject_has_its_site(data_home, real_arrays):
    stored = real_arrays("abide_multisite")
    bunch = load_abide(site="multisite", data_home=data_home)
    np.testing.assert_array_equal(bunch.site, stored["site"])
    names, counts = np.unique(bunch.site, return_counts=True)
    assert dict(zip(names.tolist(), counts.tolist())) == SITES
    one = load_abide(data_home=data_home)
    assert set(one.site) == {"NYU"}
    assert len(one.site) == len(one.target)


def test_a_linear_model_is_as_good_as_the_literature_says(data_home, real_arrays):
    real_arrays("abide_nyu")
    X, y = load_abide(data_home=data_home, return_X_y=True)
    upper = np.triu_indices(116, 1)
    accuracy = cross_val_score(SVC(kernel="linear"), X[:, upper[0], upper[1]], y, cv=10).mean()
    assert 0.6 < accuracy < 0.8


@pytest.fixture
def home(tmp_path, empty_machine):
    for site in ("nyu", "multisite"):
        save(stored_arrays(_source(site), 6), tmp_path / f"abide_{site}" / f"abide_{site}.npz")
    return tmp_path


@pytest.mark.parametrize("site", ["nyu", "multisite"])
def test_weights_and_diagonal_entry_by_entry(home, site):
    stored = stored_arrays(_source(site), 6)["adjacency"]
    rules = {"signed": lambda w: w, "absolute": abs, "positive": lambda w: max(w, 0)}
    for weights, rule in rules.items():
        whole = load_abide(site=site, weights=weights, clear_diagonal=False, data_home=home).data
        for subject, i, j in [(0, 0, 0), (1, 3, 7), (2, 7, 3), (5, 115, 115), (4, 2, 9), (3, 60, 61)]:
            assert whole[subject, i, j] == rule(stored[subject, i, j])
        cleared = load_abide(site=site, weights=weights, data_home=home).data
        assert (cleared[:, range(116), range(116)] == 0).all()
        np.testing.assert_array_equal(cleared + whole * np.eye(116, dtype=np.float32), whole)
    assert (stored < 0).any()


def test_X_y_is_the_same_and_signed_is_the_default(home):
    bunch = load_abide(data_home=home, weights="signed")
    X, y = load_abide(data_home=home, return_X_y=True)
    np.testing.assert_array_equal(X, bunch.data)
    np.testing.assert_array_equal(y, bunch.target)


def tilt(edges):
    edges[2, 3, 4] += 1
    return edges


def hole(edges):
    edges[2, 3, 4] = edges[2, 4, 3] = np.nan
    return edges


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda arrays: arrays | {"adjacency": tilt(arrays["adjacency"])}, "should be symmetric"),
        (lambda arrays: arrays | {"adjacency": hole(arrays["adjacency"])}, "finite numbers"),
        (lambda arrays: arrays | {"adjacency": arrays["adjacency"][:, :82, :82]}, r"\(6, 82, 82\)"),
        (lambda arrays: arrays | {"label": arrays["label"] + 1}, "labels from 0 to 1"),
        (lambda arrays: arrays | {"site": arrays["site"][:3]}, "site should be str_"),
        (lambda arrays: {name: arrays[name] for name in ("adjacency", "label")}, "lacks the array.* site"),
    ],
)
def test_a_damaged_file_is_explained(home, change, reason):
    path = save(change(stored_arrays(_source("multisite"), 6)), home / "abide_multisite" / "abide_multisite.npz")
    with pytest.raises(DataNotFoundError, match=reason) as caught:
        load_abide(site="multisite", data_home=home)
    assert str(caught.value).startswith(f"{path} is damaged")


@pytest.mark.parametrize("arguments", [{"site": "multisites"}, {"weights": "absolut"}])
def test_unknown_choices_are_refused_with_the_nearest_name(empty_machine, arguments):
    with pytest.raises(ValueError, match=r"Did you mean '(multisite|absolute)'"):
        load_abide(**arguments)
