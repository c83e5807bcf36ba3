import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from robustxai._pareto import pareto_front


def test_non_dominated():
    scores = np.array([[1.0, 0.0], [0.5, 0.5], [0.4, 0.4], [0.0, 1.0], [np.nan, 2.0], [0.5, 0.5]])
    assert pareto_front(scores).tolist() == [0, 1, 5, 3]
    assert pareto_front(scores, keep_ties=False).tolist() == [0, 1, 3]


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=30))
def test_the_front_is_what_no_candidate_surpasses(points):
    scores = np.array(points, dtype=float)
    naive = {(a, p) for a, p in points if not any(b >= a and q >= p and (b, q) != (a, p) for b, q in points)}
    front = pareto_front(scores, keep_ties=False)
    assert {tuple(scores[i]) for i in front} == naive
    assert len(front) == len(naive)
    assert (np.diff(scores[front, 0]) < 0).all()
    assert {tuple(scores[i]) for i in pareto_front(scores)} == naive
