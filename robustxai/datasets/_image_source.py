"""Images: an archive with a training and a test part, returned channel-first with values in [0, 1]."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from sklearn.utils import Bunch, check_random_state

from robustxai._arguments import COUNT, FLAG, SEED, Choice, Either, Has, Instance, Nothing, Number, Rows, optional
from robustxai._validation import nearest_name
from robustxai.datasets._array_source import Arrays, ArraySource, Spec, sealed_npz, to_npz
from robustxai.datasets._base import HOME, PathLike, fetch
from robustxai.protocols import Seed, Subset

__all__ = ["IMAGE_ARGUMENTS", "ImageSource", "image_arrays", "load_images", "stratified_subset"]

#: Constraints on the arguments of the image loaders.
IMAGE_ARGUMENTS = {
    "data_home": HOME,
    "subset": Choice(get_args(Subset)),
    "classes": Either(
        (Rows(), Instance((str, set, frozenset)), Has(("__next__",)), Nothing()),
        words="a list of names or numbers of classes, or None",
    ),
    "n_rows": optional(COUNT),
    "random_state": SEED,
    "return_X_y": FLAG,
}


def image_arrays(*shape: int, n_classes: int) -> dict[str, Spec]:
    """Describe the four arrays of an archive of images: pixels from 0 to 255, channels (if any) last."""
    arrays = {}
    for part in ("train", "test"):
        arrays[f"X_{part}"] = Spec(np.uint8, (f"n_{part}", *shape))
        arrays[f"y_{part}"] = Spec(np.integer, (f"n_{part}",), n_classes)
    return arrays


@dataclass(frozen=True, kw_only=True)
class ImageSource(ArraySource):
    """Content of the stored archive of one image data set, and its other sources."""

    target_names: tuple[str, ...]
    descr: str
    #: For a download only: numbers of training and test images, in its order.
    n_train: int = 0
    n_test: int = 0
    #: The CRC-32 of all labels, one byte each, in the order that tells the two parts apart. A download must have
    #: it, and a file with as many images: other sets have the same form.
    labels_crc: int = 0

    def fault(self, arrays: Arrays) -> str:
        """Return what is wrong with the arrays, or an empty text."""
        if reason := super().fault(arrays):
            return reason
        labels = arrays["y_train"], arrays["y_test"]
        complete = tuple(map(len, labels)) == (self.n_train, self.n_test)
        if complete and _crc(*labels) != self.labels_crc:
            return f"it has the labels of another set than {self.name}"
        return ""

    def from_openml(self, fetched: Any) -> tuple[Arrays, bytes]:
        """Return the four arrays of a download with one row of pixels per image, and the archive to store."""
        flat, labels = np.asarray(fetched.data), np.asarray(fetched.target).astype(np.int64)
        if len(flat) != self.n_train + self.n_test or len(labels) != len(flat):
            n_images = self.n_train + self.n_test
            raise ValueError(f"it has {len(flat)} images and {len(labels)} labels instead of {n_images}")
        with np.errstate(invalid="ignore"):
            pixels = flat.astype(np.uint8)
        if not np.array_equal(pixels, flat):
            raise ValueError("its pixels are not whole numbers from 0 to 255")
        if _crc(labels) != self.labels_crc:
            raise ValueError("its labels are not in the order that tells training from test images")
        pixels = pixels.reshape(-1, *(int(size) for size in self.arrays["X_train"].shape[1:]))
        parts = {"train": slice(None, self.n_train), "test": slice(self.n_train, None)}
        arrays: Arrays = {}
        for part, rows in parts.items():
            arrays |= {f"X_{part}": pixels[rows], f"y_{part}": labels[rows].astype(np.uint8)}
        return arrays, sealed_npz(to_npz(arrays), self.name)


def _crc(*labels: np.ndarray) -> int:
    return zlib.crc32(np.concatenate(labels).astype(np.uint8).tobytes())


def load_images(
    source: ImageSource,
    *,
    data_home: PathLike | None,
    subset: Subset,
    classes: Iterable[int | str] | None,
    n_rows: int | None,
    random_state: Seed,
    return_X_y: bool,
) -> Any:
    """Load images; the arguments are those of the public loaders."""
    wanted = None if classes is None else _labels_of(classes, source.target_names)
    arrays, filename = fetch(source, data_home)
    parts = ("train", "test") if subset == "all" else (subset,)
    images, labels = (np.concatenate([arrays[f"{name}_{part}"] for part in parts]) for name in "Xy")
    rows = np.arange(len(labels)) if wanted is None else np.flatnonzero(np.isin(labels, wanted))
    if n_rows is not None:
        rows = rows[stratified_subset(labels[rows], n_rows, random_state)]
    # converted last, because float32 takes four times the memory of the stored bytes
    X, y = _channels_first(images[rows]), labels[rows].astype(np.int64)
    if return_X_y:
        return X, y
    return Bunch(
        data=X,
        target=y,
        target_names=list(source.target_names),
        image_shape=X.shape[1:],
        DESCR=source.descr,
        filename=filename,
    )


def _labels_of(classes: Iterable[int | str], names: tuple[str, ...]) -> list[int]:
    """Return the numbers of classes that are given by name or number."""
    if isinstance(classes, str):
        raise TypeError(f"classes must be a list of names or numbers, got {classes!r}; use [{classes!r}].")
    labels = []
    for one in classes:
        if isinstance(one, str):
            if one not in names:
                raise ValueError(f"There is no class {one!r}.{nearest_name(one, names)}")
            labels.append(names.index(one))
        else:
            Number(0, integer=True).check("a class", one)
            if one >= len(names):
                raise ValueError(f"There is no class {one}; the classes are 0 to {len(names) - 1}.")
            labels.append(int(one))
    if not labels:
        raise ValueError("classes is empty; None keeps all of them.")
    return labels


def stratified_subset(y: np.ndarray, n_rows: int, random_state: Seed) -> np.ndarray:
    """Draw `n_rows` ascending positions in `y` with the class shares of `y`.

    The r-th drawn of the n_c samples of a class has the key (r - 1/2) / n_c, and the lowest keys are taken: so the
    shares are right for every `n_rows`, and a smaller subset lies inside a larger one of the same seed.
    """
    if n_rows > len(y):
        raise ValueError(f"n_rows={n_rows} is more than the {len(y)} samples that there are.")
    order = check_random_state(random_state).permutation(len(y))
    keys = np.empty(len(y))
    for label in np.unique(y):
        drawn = order[y[order] == label]
        keys[drawn] = (np.arange(len(drawn)) + 0.5) / len(drawn)
    # stable, so that ties between classes of one size are broken at random
    return np.sort(order[np.argsort(keys[order], kind="stable")[:n_rows]])


def _channels_first(images: np.ndarray) -> np.ndarray:
    """Convert stored bytes to float32 of shape (n, channels, height, width) in [0, 1]."""
    stored = images[:, None] if images.ndim == 3 else np.moveaxis(images, -1, 1)
    pixels = np.ascontiguousarray(stored, dtype=np.float32)
    pixels /= 255
    return pixels
