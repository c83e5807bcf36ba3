"""Transformers and models of scikit-learn, through skops."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator

from robustxai.exceptions import UntrustedTypeError
from robustxai.saving._values import Reader, Writer

__all__ = ["read_step", "write_step"]

#: What is trusted beside what skops trusts: the library's own preprocessing.
_OWN = frozenset({
    "numpy.dtype",
    "robustxai.datasets._gap_marks.GapMarks",
    "robustxai.datasets._preparation.ColumnTransformer",
    "robustxai.datasets._preparation.as_float32",
    "robustxai.datasets._preparation.as_text",
    # of MLPClassifier: numbers alone
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
})  # fmt: skip
#: Largest size of unpacked parts for each byte of their archive.
_MOST_UNPACKED = 100
#: Depth of archives inside of archives: a sparse matrix is one in that of a step.
_MOST_DEPTH = 2


def write_step(step: Any, writer: Writer, *, trusted: bool = False) -> dict[str, Any]:
    """Return the description of an estimator of scikit-learn, whose bytes in the form of skops go to the writer.

    Raises
    ------
    TypeError
        A step that skops cannot write, or with a function without a name; with `trusted`, one with anything that
        `read_step` does not trust by itself.
    """
    import skops.io

    try:
        content = skops.io.dumps(step)
        unknown = set(skops.io.get_untrusted_types(data=content)) - _OWN
    except Exception as error:  # skops raises many
        raise TypeError(f"The step {type(step).__name__} cannot be written to a file: {error}") from error
    nameless = sorted(name for name in unknown if "<" in name or trusted)
    if nameless:
        raise TypeError(
            f"The step {type(step).__name__} cannot be written to a file, because load could not be given "
            f"{nameless[0]}. Define it in a module, under a name of its own."
        )
    return {"kind": "step", "bytes": writer.add(torch.tensor(np.frombuffer(content, np.uint8)), "step")}


def read_step(node: Any, reader: Reader) -> Any:
    """Return the estimator of a description.

    Raises
    ------
    UntrustedTypeError
        It has classes or functions that are neither scikit-learn's nor the library's nor trusted.
    ValueError
        Its bytes are not those of a step.
    """
    import skops.io

    content = reader.tensors[node["bytes"]].numpy().tobytes()
    _check_archive(content)
    unknown = sorted(set(skops.io.get_untrusted_types(data=content)) - _OWN - set(reader.names.trusted))
    if unknown:
        raise UntrustedTypeError(unknown)
    step = skops.io.loads(content, trusted=[*_OWN, *reader.names.trusted])
    if not isinstance(step, BaseEstimator):
        raise ValueError(f"a step is a {type(step).__name__}")
    return step


def _check_archive(content: bytes, depth: int = 0) -> None:
    """Raise ValueError for an archive that unpacks to much more than its size, or whose arrays claim to be larger."""
    if depth > _MOST_DEPTH:
        raise ValueError("archives lie in archives")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = archive.infolist()
        if len({part.filename for part in parts}) < len(parts):
            raise ValueError("two parts of a step have one name")
        if sum(part.file_size for part in parts) > _MOST_UNPACKED * len(content):
            raise ValueError("a step unpacks to much more than its size")
        for part in parts:
            if part.filename.endswith(".npy"):
                _check_array(archive.read(part))
            elif part.filename.endswith(".npz"):
                _check_archive(archive.read(part), depth + 1)


def _check_array(content: bytes) -> None:
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    if dtype.hasobject or any(size < 0 for size in shape):
        raise ValueError("an array of a step holds objects")
    size = dtype.itemsize
    for length in shape:
        size *= int(length)
    if size != len(content) - file.tell():
        raise ValueError("an array of a step is not of its declared size")
