"""One safetensors file: tensors, a description in JSON, and a checksum of every part."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from robustxai._files import check_place, written_at_once

__all__ = ["FORMAT_VERSION", "read", "write"]

#: Version of the form of the description. A library reads its own version and earlier ones.
FORMAT_VERSION = 1
_FORMAT = "robustxai model"
#: Largest description; that of a model is some kilobytes.
_MOST_TEXT = 2**25


def write(path: str | Path, description: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    """Write a description and tensors atomically; an error leaves what was there before."""
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    parts = {name: _digest(tensor) for name, tensor in tensors.items()}
    text = json.dumps({**description, "parts": parts}, allow_nan=False)
    metadata = {
        "format": _FORMAT,
        "format_version": str(FORMAT_VERSION),
        "description": text,
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
    }
    content = safetensors.torch.save(tensors, metadata)
    with written_at_once(path) as file:
        file.write(content)


def read(path: str | Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the description and the tensors of a file.

    The memory is that of the file: a tensor is refused whose declared size is not what the file holds.

    Raises
    ------
    ValueError
        With the reason why the file cannot be used.
    OSError
        It cannot be read.
    """
    check_place(path := Path(path))
    content = path.read_bytes()
    try:
        tensors = safetensors.torch.load(content)
    except Exception as error:  # of the parser, which has several
        raise ValueError(f"it is no safetensors file, or was cut or altered ({error})") from error
    end = 8 + int.from_bytes(content[:8], "little")  # the parser has checked both
    metadata = json.loads(content[8:end]).get("__metadata__") or {}
    if metadata.get("format") != _FORMAT:
        raise ValueError("it holds tensors, and no model that robustxai.save wrote")
    version = metadata.get("format_version", "")
    if not version.isdecimal() or int(version[:9]) > FORMAT_VERSION:
        raise ValueError(f"its format {version[:20]!r} is newer than this robustxai, which reads {FORMAT_VERSION}")
    text = metadata.get("description", "")
    if len(text) > _MOST_TEXT or hashlib.sha256(text.encode()).hexdigest() != metadata.get("sha256"):
        raise ValueError("the checksum of its description does not fit: it was altered")
    description = json.loads(text)
    parts = description.get("parts") if isinstance(description, dict) else None
    if not isinstance(parts, dict) or parts.keys() != tensors.keys():
        raise ValueError("its tensors are not those of its description")
    for name, tensor in tensors.items():
        if parts[name] != _digest(tensor):
            raise ValueError(f"the checksum of the part {name[:80]!r} does not fit: it was altered")
    return description, tensors


def _digest(tensor: Tensor) -> str:
    data = hashlib.sha256(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
    if tensor.numel():
        data.update(tensor.reshape(-1).contiguous().view(torch.uint8).numpy().data)
    return data.hexdigest()
