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

__all__ = ["TensorBatches", "WeightedBatch", "batch_size_of", "set_weights", "tensors_of", "weights_of"]


class WeightedBatch(tuple[Tensor, Tensor]):
    """Inputs and labels of a batch, and the weights of its rows, with mean 1 over all rows of the pass."""

    sample_weight: Tensor

    def __new__(cls, x: Tensor, y: Tensor, sample_weight: Tensor) -> WeightedBatch:
        """Return a pair, which skorch and its callbacks unpack."""
        batch = super().__new__(cls, (x, y))
        batch.sample_weight = sample_weight
        return batch


class TensorBatches:
    """Iterate over batches for skorch, without workers, collation or Python code per sample.

    skorch's default ``DataLoader`` fetches samples one by one, which takes several times as long as the training step
    of a small network. Here the data is copied to the device once and a batch is one indexing operation.

    Parameters
    ----------
    dataset : skorch Dataset, or a Subset of one
        Data set with array attributes ``X`` and ``y`` (y may be None). If it has weights of rows (`sample_weight`), the
        batches are `WeightedBatch`.
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
        weights = weights_of(dataset)
        self.sample_weight = None if weights is None else weights.to(device)

    def __len__(self) -> int:
        return -(-len(self.X) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        if not self.shuffle:
            parts = zip(self.X.split(self.batch_size), self.y.split(self.batch_size))
            if self.sample_weight is None:
                yield from parts
            else:
                yield from (
                    WeightedBatch(*part, w) for part, w in zip(parts, self.sample_weight.split(self.batch_size))
                )
            return
        order = torch.randperm(len(self.X), generator=self.generator).to(self.X.device)
        for rows in order.split(self.batch_size):
            part = self.X.index_select(0, rows), self.y.index_select(0, rows)
            yield part if self.sample_weight is None else WeightedBatch(*part, self.sample_weight.index_select(0, rows))


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
    while isinstance(dataset, Subset):
        dataset = dataset.dataset
    if len(dataset) != len(sample_weight):
        raise NotImplementedError(
            f"The data set for training has {len(dataset)} rows and sample_weight {len(sample_weight)}: weights need a "
            "train_split that returns torch Subsets of the rows of X."
        )
    dataset.sample_weight = sample_weight


def weights_of(dataset: Any) -> Tensor | None:
    """Return the weights of the rows of a data set or subset, scaled to mean 1; None without, or if all are 1."""
    weights = _raw_weights(dataset)
    if weights is None:
        return None
    weights = weights / weights.max()  # their sum might overflow
    scaled = torch.from_numpy((weights / weights.mean()).astype(np.float32))
    return None if bool((scaled == 1).all()) else scaled


def _raw_weights(dataset: Any) -> np.ndarray | None:
    if not isinstance(dataset, Subset):
        return getattr(dataset, "sample_weight", None)
    weights = _raw_weights(dataset.dataset)
    return None if weights is None else weights[np.asarray(dataset.indices)]


def batch_size_of(net: NeuralNet) -> int:
    """Return the number of rows of a training batch of `net`; ``sys.maxsize`` for skorch's -1."""
    size = int(vars(net).get("iterator_train__batch_size", net.batch_size))
    return size if size > 0 else sys.maxsize
