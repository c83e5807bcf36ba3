import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robustxai._arguments import Choice
from robustxai._validation import nearest_name
from robustxai.metrics import precision_at_k
from robustxai.ranking import clip_k


def test_the_nearest_name_is_offered_and_else_all_names():
    assert nearest_name("lamda_gap", ["lambda_gap", "lambda_hessian"]) == " Did you mean 'lambda_gap'?"
    assert nearest_name("zzz", ["b", "a", "b"]) == " Valid names: a, b."


@given(st.sampled_from(["relu", "softplus", "tanh"]), st.data())
def test_one_lost_letter_is_repaired(name, data):
    i = data.draw(st.integers(0, len(name) - 1))
    choice = Choice(("relu", "softplus", "tanh"))
    with pytest.raises(ValueError, match=f"activation=.*Did you mean '{name}'"):
        choice.check("activation", name[:i] + name[i + 1 :])
    choice.check("activation", name)


@pytest.mark.parametrize("call", [lambda: clip_k(3, 3), lambda: precision_at_k(np.eye(3), np.eye(3), 3)])
def test_a_warning_names_the_line_of_the_user(call):
    with pytest.warns(UserWarning, match="using k=2") as caught:
        call()
    assert caught[0].filename == __file__


def test_no_warning_where_there_is_none():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clip_k(2, 3)
