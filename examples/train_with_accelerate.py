"""Train one network on several GPUs, or in several processes, with skorch's AccelerateMixin (extra ``accelerate``).

The same script runs in one process, on all GPUs of a machine, or on several machines; ``accelerate config`` asks for
the rest. Without a GPU, ``accelerate launch`` needs MPI for several processes, and torch's own launcher does not:

    python examples/train_with_accelerate.py
    accelerate launch --multi_gpu --num_processes 4 examples/train_with_accelerate.py
    ACCELERATE_USE_CPU=true torchrun --nproc_per_node 2 examples/train_with_accelerate.py

Every process gets its own share of every batch, and the gradients are averaged before each step. It pays for wide
networks on much data; a small one spends its time waiting for the other processes.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator, DataLoaderConfiguration
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import MinMaxScaler
from skorch.hf import AccelerateMixin
from torch.utils.data import DataLoader

from robustxai import R2ETClassifier
from robustxai.attacks import BoundaryMarginAttack
from robustxai.perturbation import ThreatModel
from robustxai.training import ObjectiveNet


class CriterionTolerant(Accelerator):
    def prepare_model(self, model: torch.nn.Module, *args: Any, **options: Any) -> torch.nn.Module:
        # skorch hands over the criterion too, and where there are several CPU processes accelerate refuses a module
        # without weights
        trains = any(p.requires_grad for p in model.parameters())
        return super().prepare_model(model, *args, **options) if trains else model


def make_accelerator() -> Accelerator:
    # split_batches: `batch_size` counts the rows of all processes together, so that the number of steps, and with it
    # the learning-rate schedule, is that of a single process. device_placement: the classifier puts the network on its
    # device itself.
    sharing = DataLoaderConfiguration(split_batches=True)
    return CriterionTolerant(device_placement=False, dataloader_config=sharing)


class AcceleratedNet(AccelerateMixin, ObjectiveNet):
    """The library's training step, with the mixin's preparation of network, optimizer and data."""

    def __init__(self, *args: Any, **params: Any) -> None:
        super().__init__(*args, accelerator=make_accelerator(), **params)

    def train_step_single(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        # the mixin's own step knows no penalties
        return ObjectiveNet.train_step_single(self, batch, **fit_params)

    def backward(self, loss: torch.Tensor) -> None:
        self.accelerator.backward(loss)


class AcceleratedR2ET(R2ETClassifier):
    """R2ET in as many processes as were launched. Other classifiers take the same two lines.

    Not :class:`CertifiedR2ETClassifier`, which reads the layers of the network: accelerate puts a wrapper around them.
    """

    net_class = AcceleratedNet
    # accelerate shares out the batches of a DataLoader; the library's own iterator would give all to everybody
    net_defaults = {**R2ETClassifier.net_defaults, "iterator_train": DataLoader}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--copies", type=int, default=8, help="how many times the table, with a little noise")
    parser.add_argument("--width", type=int, default=256)
    args = parser.parse_args()

    X, y = load_breast_cancer(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
    scaler = MinMaxScaler(clip=True).fit(X_train)
    noise = np.random.default_rng(0).normal(scale=0.01, size=(args.copies, *X_train.shape))
    X_train = np.concatenate(scaler.transform(X_train) + noise)
    y_train, X_test = np.tile(y_train, args.copies), scaler.transform(X_test)

    accelerator = make_accelerator()
    clf = AcceleratedR2ET(
        k=8,
        device=str(accelerator.device),
        max_epochs=args.epochs,
        batch_size=128,  # a multiple of the number of processes
        module__hidden=(args.width, args.width),
    ).fit(X_train, y_train)

    # every process holds the whole model now, and one of them is enough for the rest
    if accelerator.is_main_process:
        attack = BoundaryMarginAttack(clf, k=8, threat=ThreatModel(epsilon=0.3, bounds=(0, 1)), max_iter=20)
        print(f"processes  {accelerator.num_processes}")
        print(f"steps      {len(clf.history_) * clf.history_[0]['train_batch_count']}")
        print(f"AUC        {roc_auc_score(y_test, clf.predict_proba(X_test)[:, 1]):.4f}")
        print(f"P@8        {attack.run(X_test).precision_at_k.mean():.3f}")
    accelerator.end_training()


if __name__ == "__main__":
    main()
