import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import roc_auc_score

from robustxai.metrics._paths import checked_k, mean_gap, ordered_fraction
from robustxai.ranking import top_k_mask


@given(
    st.integers(2, 8).flatmap(lambda n: arrays(np.float64, (2, 3, n), elements=st.integers(-3, 3))),
    st.integers(1, 7),
)
def test_both_pair_means_equal_the_loop_over_pairs_ties_included(scores, k):
    reference, current = torch.tensor(scores)
    member = top_k_mask(reference, min(k, scores.shape[-1] - 1))
    for row in range(len(member)):
        top, rest = (current[row][mask].tolist() for mask in (member[row], ~member[row]))
        gaps = [i - j for i in top for j in rest]
        assert ordered_fraction(current, member)[row].item() == pytest.approx(np.mean([g >= 0 for g in gaps]))
        assert mean_gap(current, member)[row].item() == pytest.approx(np.mean(gaps))


def test_without_ties_the_ordered_fraction_is_the_roc_auc():
    generator = torch.Generator().manual_seed(0)
    reference, current = torch.randn(2, 20, 15, generator=generator)
    member = top_k_mask(reference, 4)
    expected = [roc_auc_score(m, s) for m, s in zip(member, current)]
    np.testing.assert_allclose(ordered_fraction(current, member), expected)


def test_a_tie_counts_as_ordered():
    member = torch.tensor([[True, False, False]])
    assert ordered_fraction(torch.zeros(1, 3), member) == 1
    assert roc_auc_score(member[0], np.zeros(3)) == 0.5


def test_a_single_unit_leaves_nothing_to_compare():
    with pytest.raises(ValueError, match="two"):
        checked_k(1, 1)
