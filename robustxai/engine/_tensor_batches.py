"""Batches as slices of tensors on the device."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import torch
from skorch import NeuralNet
from skorch.dataset import unpack_data
from torch import Tensor
from torch.utils.data import Dataset, Subset

from robustxai._arguments import COUNT, FLAG, Either, Instance, Text, checked, optional

__all__ = [
    "TensorBatches",
    "WeightedBatch",
    "batch_size_of",
    "set_soft_labels",
    "set_weights",
    "soft_labels_of",
    "tensors_of",
    "weights_of",
]


class WeightedBatch(tuple[Tensor, Tensor]):
    """Inputs and labels of a batch, with the weights and the soft labels of its rows.

    Attributes
    ----------
    sample_weight : Tensor of shape (n_rows,) or None
        Weights, with mean 1 over all rows of the pass; None if all are 1.
    soft_labels : Tensor of shape (n_rows, n_classes) or None
        Targets of the cross-entropy; None if they are the labels.
    """

    sample_weight: Tensor | None
    soft_labels: Tensor | None

    def __new__(
        cls, x: Tensor, y: Tensor, sample_weight: Tensor | None, soft_labels: Tensor | None = None
    ) -> WeightedBatch:
        """Return a pair, which skorch and its callbacks unpack."""
        batch = super().__new__(cls, (x, y))
        batch.sample_weight = sample_weight
        batch.soft_labels = soft_labels
        return batch


class TensorBatches:
    """Iterate over batches for skorch, without workers, collation or Python code per sample.

    skorch's default ``DataLoader`` fetches samples one by one, which takes several times as long as the training step
    of a small network. Here the data is copied to the device once and a batch is one indexing operation.

    Parameters
    ----------
    dataset : skorch Dataset, or a Subset of one
        Data set with array attributes ``X`` and ``y`` (y may be None). If it has weights of rows (`sample_weight`) or
        `soft_labels`, the batches are `WeightedBatch`.
    batch_size : int, default=256
        Rows of a batch; the last batch may be smaller.
    shuffle : bool, default=False
        Draw a new order in every pass. Orders are drawn on the CPU and are therefore the same on every device.
    device : str or torch.device, default="cpu"
        Device of the tensors.
    generator : torch.Generator, optional
        CPU generator of the orders. By default the net that makes the iterator sets its own stream; without one,
        torch's global generator is used.
    """

    #: Batches are on the device of the net, and their orders come from the `generator` that the net sets.
    on_device: ClassVar[bool] = True

    @checked(
        batch_size=COUNT,
        shuffle=FLAG,
        device=Either((Text(), Instance(torch.device))),
        generator=optional(Instance(torch.Generator)),
    )
    def __init__(
        self,
        dataset: Dataset[Any],
        batch_size: int = 256,
        shuffle: bool = False,
        device: str | torch.device = "cpu",
        generator: torch.Generator | None = None,
    ) -> None:
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.generator = generator
        self.X, self.y = (part.to(device) for part in tensors_of(dataset))
        weights, soft = weights_of(dataset), soft_labels_of(dataset)
        self.sample_weight = None if weights is None else weights.to(device)
        self.soft_labels = None if soft is None else soft.to(device)

    def __len__(self) -> int:
        return -(-len(self.X) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        more = (self.sample_weight, self.soft_labels)
        plain = all(values is None for values in more)
        if not self.shuffle:
            for start in range(0, len(self.X), self.batch_size):
                part = slice(start, start + self.batch_size)
                pair = self.X[part], self.y[part]
                yield pair if plain else WeightedBatch(*pair, *(v if v is None else v[part] for v in more))
            return
        order = torch.randperm(len(self.X), generator=self.generator).to(self.X.device)
        for rows in order.split(self.batch_size):
            pair = self.X.index_select(0, rows), self.y.index_select(0, rows)
            yield pair if plain else WeightedBatch(*pair, *(v if v is None else v.index_select(0, rows) for v in more))


def tensors_of(dataset: Any) -> tuple[Tensor, Tensor]:
    """Return the inputs and labels of a skorch dataset or of a subset of it."""
    if isinstance(dataset, Subset):
        X, y = tensors_of(dataset.dataset)
        rows = torch.as_tensor(np.asarray(dataset.indices))
        return X[rows], y[rows]
    if not hasattr(dataset, "X"):  # a user's own torch Dataset
        pairs = [unpack_data(dataset[i]) for i in range(len(dataset))]
        return torch.stack([torch.as_tensor(x) for x, _ in pairs]), torch.as_tensor([int(y) for _, y in pairs])
    X = torch.as_tensor(dataset.X)
    y = torch.zeros(len(X), dtype=torch.long) if dataset.y is None else torch.as_tensor(np.asarray(dataset.y))
    return X, y


def set_weights(dataset: Any, sample_weight: np.ndarray) -> None:
    """Set the weights of all rows of a data set, or of the data set of which `dataset` is a subset."""
    _whole(dataset, "sample_weight", len(sample_weight)).sample_weight = sample_weight


def set_soft_labels(dataset: Any, soft_labels: np.ndarray) -> None:
    """Set the soft labels of all rows of a data set, or of the data set of which `dataset` is a subset."""
    _whole(dataset, "soft_labels", len(soft_labels)).soft_labels = soft_labels


def _whole(dataset: Any, name: str, n_rows: int) -> Any:
    """Return the data set of which `dataset` is a subset; raise NotImplementedError unless it has `n_rows` rows."""
    while isinstance(dataset, Subset):
        dataset = dataset.dataset
    if len(dataset) != n_rows:
        raise NotImplementedError(
            f"The data set for training has {len(dataset)} rows and {name} {n_rows}: {name} needs a train_split that "
            "returns torch Subsets of the rows of X."
        )
    return dataset


def weights_of(dataset: Any) -> Tensor | None:
    """Return the weights of the rows of a data set or subset, scaled to mean 1; None without, or if all are 1."""
    weights = _values_of(dataset, "sample_weight")
    if weights is None:
        return None
    weights = weights / weights.max()  # their sum might overflow
    scaled = torch.from_numpy((weights / weights.mean()).astype(np.float32))
    return None if bool((scaled == 1).all()) else scaled


def soft_labels_of(dataset: Any) -> Tensor | None:
    """Return the soft labels of the rows of a data set or subset; None without."""
    soft = _values_of(dataset, "soft_labels")
    return None if soft is None else torch.from_numpy(soft.astype(np.float32))


def _values_of(dataset: Any, name: str) -> np.ndarray | None:
    """Return the values of the rows of a data set or subset under an attribute of the whole data set."""
    if not isinstance(dataset, Subset):
        return getattr(dataset, name, None)
    values = _values_of(dataset.dataset, name)
    return None if values is None else values[np.asarray(dataset.indices)]


def batch_size_of(net: NeuralNet) -> int:
    """Return the number of rows of a training batch of `net`; ``sys.maxsize`` for skorch's -1."""
    size = int(vars(net).get("iterator_train__batch_size", net.batch_size))
    return size if size > 0 else sys.maxsize
