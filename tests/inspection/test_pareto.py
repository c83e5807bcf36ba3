from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robustxai.inspection import ParetoDisplay
from robustxai.inspection._pareto import _front

pytest.importorskip("matplotlib", reason="the extra 'plot' is not installed")


def make_search(**more):
    results = {
        "params": [{"clf__lambda_gap": 10.0**-i, "clf__k": 8} for i in range(4)],
        "mean_test_auc": np.array([0.7, 0.8, 0.75, 0.9]),
        "std_test_auc": np.array([0.01, 0.02, 0.03, 0.04]),
        "mean_test_p": np.array([1.0, 0.9, 0.8, 0.5]),
        "std_test_p": np.zeros(4),
    }
    return SimpleNamespace(cv_results_={**results, **more})


def test_the_front_is_drawn_and_named_by_what_varies():
    display = ParetoDisplay.from_search(make_search(), "auc", "p")
    assert display.front_.tolist() == [0, 1, 3]
    line = next(line for line in display.ax_.lines if len(line.get_xdata()) == 3)
    np.testing.assert_allclose(line.get_xydata(), [[0.7, 1.0], [0.8, 0.9], [0.9, 0.5]])
    texts = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert texts == ["candidates", "1: lambda_gap=1", "2: lambda_gap=0.1", "3: lambda_gap=0.001"]
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("auc", "p")


def test_candidates_that_halving_dropped_stay_out():
    display = ParetoDisplay.from_search(make_search(rung=np.array([0, 1, 1, 0])), "auc", "p")
    assert display.x.tolist() == [0.8, 0.75]
    assert display.front_.tolist() == [0]


def test_a_metric_that_there_is_not():
    with pytest.raises(ValueError, match=r"no metric 'acc'.*auc"):
        ParetoDisplay.from_search(make_search(), "acc", "p")


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=30))
def test_the_front_is_what_no_candidate_surpasses(points):
    x, y = (np.array(values, dtype=float) for values in zip(*points))
    naive = {(a, p) for a, p in points if not any(b >= a and q >= p and (b, q) != (a, p) for b, q in points)}
    front = _front(x, y)
    assert {(int(x[i]), int(y[i])) for i in front} == naive
    assert len(front) == len(naive)
