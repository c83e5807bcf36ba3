import numpy as np
import pandas as pd
import pytest

from robustxai.experiments.r2et import CandidatesDisplay

pytestmark = pytest.mark.usefixtures("plt")


@pytest.fixture
def search():
    rows = [
        ("Logistic regression", 0.87, 1.0),
        ("SP", 0.88, 0.9),
        ("SP", 0.89, 0.6),
        ("SP", 0.885, 0.5),
        ("R2ET", 0.885, 0.97),
        ("R2ET", 0.5, 1.0),
    ]
    table = pd.DataFrame(rows, columns=["method", "roc_auc", "precision_at_k"])
    return table.assign(data="adult", k=8)


def test_every_method_has_a_line_through_its_best_and_a_point_for_each_candidate(search):
    display = CandidatesDisplay.from_results(search, min_auc=0.86)
    lines = {line.get_label(): line.get_xydata() for line in display.ax_.lines}
    assert list(lines) == ["Logistic regression", "SP", "R2ET"]
    np.testing.assert_allclose(lines["SP"], [[0.88, 0.9], [0.89, 0.6]])
    np.testing.assert_allclose(lines["R2ET"], [[0.5, 1.0], [0.885, 0.97]])
    assert sum(len(points.get_offsets()) for points in display.ax_.collections) == len(search)
    assert display.ax_.get_xlim()[0] == 0.86
    assert "P@8" in display.ax_.get_ylabel()
    display.figure_.clear()


def test_two_data_sets_do_not_mix(search):
    with pytest.raises(ValueError, match="one data set, got \\['adult', 'bank'\\]"):
        CandidatesDisplay.from_results(pd.concat([search, search.assign(data="bank")]))
