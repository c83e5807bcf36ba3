import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robustxai._validation import check_choice, check_k, check_number, clip_k, nearest_name


def test_the_nearest_name_is_offered_and_else_all_names():
    assert nearest_name("lamda_gap", ["lambda_gap", "lambda_hessian"]) == " Did you mean 'lambda_gap'?"
    assert nearest_name("zzz", ["b", "a", "b"]) == " Valid names: a, b."


@given(st.sampled_from(["relu", "softplus", "tanh"]), st.data())
def test_one_lost_letter_is_repaired(name, data):
    i = data.draw(st.integers(0, len(name) - 1))
    with pytest.raises(ValueError, match=f"activation=.*Did you mean '{name}'"):
        check_choice("activation", name[:i] + name[i + 1 :], ["relu", "softplus", "tanh"])
    check_choice("activation", name, ["relu", "softplus", "tanh"])


@given(st.floats(allow_nan=True), st.floats(-10, 10), st.booleans())
def test_numbers_pass_exactly_when_they_are_in_range(value, minimum, inclusive):
    inside = math.isfinite(value) and (value >= minimum if inclusive else value > minimum)
    if inside:
        check_number("lr", value, minimum=minimum, inclusive=inclusive)
    else:
        with pytest.raises(ValueError, match=f"lr must be a finite number {'>=' if inclusive else '>'} "):
            check_number("lr", value, minimum=minimum, inclusive=inclusive)


@pytest.mark.parametrize("value", [1.0, True, "1", None])
def test_an_integer_is_asked_for(value):
    with pytest.raises(TypeError, match="k must be an integer"):
        check_k(value)


@pytest.mark.parametrize("value", [True, "1", None, 1j])
def test_a_number_is_asked_for(value):
    with pytest.raises(TypeError, match="lr must be a number"):
        check_number("lr", value)


@pytest.mark.parametrize("number", [np.int64(3), np.float32(3), 3])
def test_numbers_of_numpy_are_numbers(number):
    check_number("lr", number, minimum=3)
    if not isinstance(number, np.floating):
        check_k(number)


@given(st.integers(-3, 12), st.integers(1, 9))
def test_k_is_clipped_with_a_warning_exactly_when_it_must_be(k, n_units):
    if k < 1:
        with pytest.raises(ValueError, match="k must be"):
            clip_k(k, n_units)
    elif k < n_units or k == n_units == 1:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert clip_k(k, n_units) == k
    else:
        with pytest.warns(UserWarning, match=f"k={k} is not smaller than the number of ranked features"):
            assert clip_k(k, n_units) == max(n_units - 1, 1)
