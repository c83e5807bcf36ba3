import numpy as np
import pandas as pd
import pytest

from robustxai.experiments.r2et import FlipsDisplay

pytestmark = pytest.mark.usefixtures("plt")


@pytest.fixture
def flips():
    rng = np.random.default_rng(0)
    rows = []
    for method, first in (("Vanilla", rng.integers(1, 1002, 40)), ("R2ET", np.full(40, 1001))):
        quantities = {"thickness": list(rng.uniform(size=40)), "hessian_norm": list(rng.uniform(size=40))}
        rows.append(
            {"data": "adult", "method": method, "first_flip": list(first), **quantities}
            | {"spearman_thickness": 0.71 if method == "Vanilla" else np.nan, "spearman_hessian_norm": np.nan}
        )
    return pd.DataFrame(rows)


def test_every_row_is_a_point_and_those_that_never_flip_are_hollow(flips):
    display = FlipsDisplay.from_results(flips)
    assert display.axes_.shape == (2, 2)
    for number, row in flips.iterrows():
        for ax, quantity in zip(display.axes_[number], ("thickness", "hessian_norm")):
            flipped, never = ax.collections
            drawn = np.concatenate([flipped.get_offsets(), never.get_offsets()])
            expected = np.column_stack([row[quantity], row["first_flip"]])
            np.testing.assert_allclose(drawn[np.lexsort(drawn.T)], expected[np.lexsort(expected.T)])
            assert (np.asarray(never.get_offsets())[:, 1] == 1001).all()
            assert len(never.get_facecolors()) == 0
    assert display.axes_[0, 0].get_title() == "Vanilla: rank correlation 0.71"
    assert display.axes_[0, 1].get_title() == "Vanilla: constant"
    assert display.axes_[1, 0].get_title() == "R2ET: no row flips"


def test_models_are_chosen_by_name(flips):
    assert list(FlipsDisplay.from_results(flips, methods=["R2ET"]).rows) == ["R2ET"]
    with pytest.raises(ValueError, match=r"no method 'R2TE'.*'Vanilla', 'R2ET'"):
        FlipsDisplay.from_results(flips, methods=["R2TE"])


def test_two_data_sets_do_not_mix(flips):
    with pytest.raises(ValueError, match="one data set"):
        FlipsDisplay.from_results(pd.concat([flips, flips.assign(data="bank")]))
