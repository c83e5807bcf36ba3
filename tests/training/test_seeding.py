import numpy as np
import pytest
import torch

from robustxai.training import draw_seed, seeded


def numpy_state():
    return np.random.mtrand._rand.get_state(legacy=False)


@pytest.mark.parametrize("raises", [False, True])
def test_global_generators_are_left_as_they_were(raises):
    before = torch.get_rng_state(), numpy_state()

    def block():
        with seeded(3):
            torch.rand(5)
            torch.nn.Linear(3, 3)
            if raises:
                raise KeyError

    if raises:
        with pytest.raises(KeyError):
            block()
    else:
        block()
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_equal(numpy_state(), before[1])


def test_the_block_depends_on_the_seed_alone():
    def draw(seed):
        with seeded(seed):
            return torch.rand(4).tolist()

    first = draw(3)
    torch.rand(1)
    assert draw(3) == first
    assert draw(4) != first
    assert draw(np.random.RandomState(3)) == first


def test_a_random_state_object_moves_on_and_an_integer_does_not():
    state = np.random.RandomState(0)
    assert draw_seed(state) != draw_seed(state)
    assert draw_seed(0) == draw_seed(0) == draw_seed(np.random.RandomState(0))
