"""The temporary files of a search."""

import joblib
import pytest

from robustxai.exceptions import AlteredFileError
from robustxai.model_selection._search_pool import _lay_down, _pick_up
from tests.damages import damages, fill_the_disk


def test_a_damaged_fit_is_never_unpickled(tmp_path, monkeypatch):
    path = tmp_path / "fit.joblib"
    _lay_down({"weights": list(range(300))}, path)
    _lay_down({"weights": [1]}, tmp_path / "other.joblib")
    assert _pick_up(path) == {"weights": list(range(300))}
    good, foreign = path.read_bytes(), (tmp_path / "other.joblib").read_bytes()

    def never(file):
        raise AssertionError("altered bytes are not for joblib")

    monkeypatch.setattr(joblib, "load", never)
    n_refused = 0
    for name, content in damages(good, foreign=foreign):
        path.write_bytes(content)
        with pytest.raises(AlteredFileError, match=r"fit\.joblib cannot be used: .*start the search again"):
            raise AssertionError(f"{name}: {_pick_up(path)}")
        n_refused += 1
    assert n_refused > 250


def test_a_full_disk_leaves_no_half_of_a_fit(tmp_path, monkeypatch):
    fill_the_disk(monkeypatch, 100)
    with pytest.raises(OSError, match="No space left on device"):
        _lay_down(list(range(300)), tmp_path / "fit.joblib")
    assert not list(tmp_path.iterdir())
