import numpy as np
import pytest

from robustxai.metrics import precision_at_k, top_k_intersection


@pytest.mark.parametrize("ranking", ["magnitude", "signed"])
def test_is_precision_at_k_by_another_name(ranking):
    for shape in ((5, 12), (5, 4, 4), (5, 3, 4, 4)):
        first, second = np.random.default_rng(0).normal(size=(2, *shape))
        value = top_k_intersection(first, second, k=5, ranking=ranking)
        np.testing.assert_array_equal(value, precision_at_k(first, second, k=5, ranking=ranking))
        np.testing.assert_array_equal(top_k_intersection(first, second), precision_at_k(first, second))


def test_k_is_clipped_with_a_warning_that_points_here():
    with pytest.warns(UserWarning, match="k=3") as caught:
        top_k_intersection(np.ones((2, 4)), np.ones((2, 4)), k=4)
    assert caught[0].filename == __file__


def test_unusable_attributions_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        top_k_intersection(np.ones((2, 3)), np.ones((2, 4)), k=1)
