import numpy as np
import pytest
import torch

from robustxai.metrics import first_flip_iteration, precision_at_k


@pytest.fixture(scope="module")
def trajectory():
    """A random walk from the reference: some samples flip early, some late, some never."""
    rng = np.random.default_rng(0)
    reference = rng.normal(size=(12, 7))
    return reference, reference + np.cumsum(rng.normal(scale=0.1, size=(9, 12, 7)), axis=0)


@pytest.mark.parametrize("ranking", ["magnitude", "signed"])
def test_equals_a_search_sample_by_sample(trajectory, ranking):
    reference, attributions = trajectory
    expected = []
    for i in range(len(reference)):
        flips = [
            t
            for t in range(1, len(attributions) + 1)
            if precision_at_k(reference[[i]], attributions[t - 1][[i]], k=3, ranking=ranking)[0] < 1
        ]
        expected.append(flips[0] if flips else len(attributions) + 1)
    value = first_flip_iteration(attributions, reference, k=3, ranking=ranking)
    assert value.dtype.kind == "i"
    assert len(set(expected)) > 1
    assert max(expected) == len(attributions) + 1  # the walk has censored samples
    np.testing.assert_array_equal(value, expected)


def test_a_generator_of_tensors_serves_too(trajectory):
    reference, attributions = trajectory
    lazy = (torch.tensor(a, requires_grad=True) for a in attributions)
    np.testing.assert_array_equal(
        first_flip_iteration(lazy, torch.tensor(reference), k=3), first_flip_iteration(attributions, reference, k=3)
    )


def test_a_set_that_returns_counts_from_its_first_change():
    stay, flip = [[2.0, 1.0, 0.0]], [[0.0, 1.0, 2.0]]
    assert first_flip_iteration([stay, flip, stay, flip], stay, k=1) == [2]


def test_an_order_changed_inside_the_set_is_no_flip():
    assert first_flip_iteration([[[1.0, 2.0, 0.0]]], [[2.0, 1.0, 0.0]], k=2) == [2]


def test_images_have_their_channels_summed():
    reference = np.zeros((1, 2, 1, 3))
    reference[0, :, 0, 0] = 1.0, 1.0
    moved = reference.copy()
    moved[0, 0, 0, 1] = 1.5  # the largest entry, but not the largest pixel
    assert first_flip_iteration(moved[None], reference, k=1) == [2]


def test_empty_or_misshapen_trajectories_are_refused():
    with pytest.raises(ValueError, match="no iteration"):
        first_flip_iteration([], np.ones((2, 3)), k=1)
    with pytest.raises(ValueError, match=r"attributions\[1\]"):
        first_flip_iteration([np.ones((2, 3)), np.ones((2, 4))], np.ones((2, 3)), k=1)
