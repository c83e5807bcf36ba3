"""Evaluation-mode batch normalization for training steps that explain inputs."""

from __future__ import annotations

from torch import Tensor, nn

from robustxai.engine._differentiation import Differentiation
from robustxai.engine._held_statistics import batchnorm_in_training, held_statistics

__all__ = ["eval_batchnorm"]


def eval_batchnorm(network: nn.Module | Differentiation) -> nn.Module | Differentiation:
    """Return a view of `network` with batch normalization in evaluation mode; `network` itself if it has none.

    The view shares weights and buffers, and does not update running statistics. Dropout and all other layers keep the
    mode of the network. Written-out passes have no layers and are returned unchanged.
    """
    if not isinstance(network, nn.Module) or isinstance(network, _EvalBatchNorm):
        return network
    return _EvalBatchNorm(network) if batchnorm_in_training(network) else network


class _EvalBatchNorm(nn.Module):
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.training = module.training
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        with held_statistics(self.module):
            return self.module(x)
