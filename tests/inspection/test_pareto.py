from types import SimpleNamespace

import numpy as np
import pytest

from robustxai.inspection import ParetoDisplay


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
