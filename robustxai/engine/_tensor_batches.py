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

__all__ = ["TensorBatches", "batch_size_of", "tensors_of"]


class TensorBatches:
    """Iterate over batches for skorch, without workers, collation or Python code per sample.

    skorch's default ``DataLoader`` fetches samples one by one, which takes several times as long as the training step
    of a small network. Here the data is copied to the device once and a batch is one indexing operation.

    Parameters
    ----------
    dataset : skorch Dataset, or a Subset of one
        Data set with array attributes ``X`` and ``y`` (y may be None).
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

    def __len__(self) -> int:
        return -(-len(self.X) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        if not self.shuffle:
            yield from zip(self.X.split(self.batch_size), self.y.split(self.batch_size))
            return
        order = torch.randperm(len(self.X), generator=self.generator).to(self.X.device)
        for rows in order.split(self.batch_size):
            yield self.X.index_select(0, rows), self.y.index_select(0, rows)


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


def batch_size_of(net: NeuralNet) -> int:
    """Return the number of rows of a training batch of `net`; ``sys.maxsize`` for skorch's -1."""
    size = int(vars(net).get("iterator_train__batch_size", net.batch_size))
    return size if size > 0 else sys.maxsize
