import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skorch.dataset import Dataset
from torch.utils.data import DataLoader, Subset, TensorDataset

from robustxai.training import TensorBatches


def dataset_of(n_rows):
    X = np.arange(3 * n_rows, dtype=np.float32).reshape(n_rows, 3)
    return Dataset(X, np.arange(n_rows) * 10)


@given(st.integers(1, 40), st.integers(1, 45), st.booleans())
def test_every_row_comes_once_with_its_label(n_rows, batch_size, shuffle):
    batches = TensorBatches(dataset_of(n_rows), batch_size, shuffle)
    for _ in range(2):
        seen = list(batches)
        assert len(batches) == len(seen)
        assert [len(x) for x, _ in seen[:-1]] == [batch_size] * (len(seen) - 1)
        X, y = (torch.cat(part) for part in zip(*seen))
        assert sorted(y.tolist()) == [10 * i for i in range(n_rows)]
        assert torch.equal(X[:, 0], 3 * y.float() / 10)


@pytest.mark.parametrize("rows", [slice(None), [7, 3, 3, 0, 9]])
def test_equals_the_data_loader(rows):
    dataset = dataset_of(11) if rows == slice(None) else Subset(dataset_of(11), rows)
    for ours, loaded in zip(TensorBatches(dataset, 4), DataLoader(dataset, 4), strict=True):
        for a, b in zip(ours, loaded, strict=True):
            assert torch.equal(a, b)


def test_a_subset_of_a_subset_and_a_dataset_of_the_users_own():
    nested = Subset(Subset(dataset_of(11), [8, 6, 4, 2]), np.array([3, 1]))
    assert TensorBatches(nested).y.tolist() == [20, 60]
    X, y = torch.rand(5, 2, 3), torch.tensor([2, 0, 1, 1, 0])
    own = TensorBatches(TensorDataset(X, y))
    assert torch.equal(own.X, X)
    assert torch.equal(own.y, y)


def test_the_order_follows_the_seed():
    batches = TensorBatches(dataset_of(30), 30, shuffle=True)

    def orders(seed):
        torch.manual_seed(seed)
        return [next(iter(batches))[1].tolist() for _ in range(2)]

    assert orders(1) == orders(1)
    assert orders(1) != orders(2)
    assert orders(1)[0] != orders(1)[1]


def test_no_labels_are_zeros():
    assert TensorBatches(Dataset(np.ones((3, 2), dtype=np.float32))).y.tolist() == [0, 0, 0]
