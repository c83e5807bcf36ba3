"""Devices by name."""

from __future__ import annotations

import torch

from robustxai._arguments import Either, Instance, Text

__all__ = ["DEVICE", "resolve_device"]

#: Constraint on `device`.
DEVICE = Either((Text(), Instance(torch.device)), words="'auto' or the name of a torch device")


def resolve_device(device: str | torch.device) -> torch.device:
    """Return the torch device of that name; "auto" is the GPU if there is one, else the CPU."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"device={device!r} is no torch device; use 'auto', 'cpu' or 'cuda'.") from error
    if resolved.type == "cpu":
        return torch.device("cpu")  # pickles of tensors on "cpu:0" cannot be read
    if resolved.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            f"device={device!r} was asked for, but torch {torch.__version__} sees no GPU here. "
            "Use device='cpu' or 'auto', or install a CUDA build of torch."
        )
    return resolved
