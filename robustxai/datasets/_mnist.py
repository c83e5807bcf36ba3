"""MNIST: which digit was written?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from robustxai._arguments import checked
from robustxai.datasets._base import PathLike
from robustxai.datasets._image_source import IMAGE_ARGUMENTS, ImageSource, image_arrays, load_images
from robustxai.protocols import Seed, Subset

__all__ = ["load_mnist"]

_DESCR = """MNIST, 70,000 handwritten digits (train 60,000, test 10,000), 28 x 28 pixels, one channel.
Train 0-9: 5923 6742 5958 6131 5842 5421 5918 6265 5851 5949; test: 980 1135 1032 1010 982 892 958 1028 974 1009.
Source: Y. LeCun, L. Bottou, Y. Bengio and P. Haffner (1998); usually given as CC BY-SA 3.0."""

_SOURCE = ImageSource(
    name="mnist",
    arrays=image_arrays(28, 28, n_classes=10),
    target_names=tuple("0123456789"),
    descr=_DESCR,
    origin="Y. LeCun, L. Bottou, Y. Bengio and P. Haffner (1998)",
    openml_id=554,
    n_train=60_000,
    n_test=10_000,
    labels_crc=2_816_178_722,
)


@checked(**IMAGE_ARGUMENTS)
def load_mnist(
    *,
    data_home: PathLike | None = None,
    subset: Subset = "train",
    classes: Iterable[int | str] | None = None,
    n_rows: int | None = None,
    random_state: Seed = 0,
    return_X_y: bool = False,
) -> Any:
    """Load MNIST: 60,000 training and 10,000 test images of digits, in the original order.

    Parameters
    ----------
    data_home : path-like, default=None
        Folder to look in first for ``mnist/mnist.npz``; then come the folder named by the environment variable
        ``ROBUSTXAI_DATA``, the cache folder, and OpenML (data set 554).
    subset : {"train", "test", "all"}, default="train"
        The original split. ``"all"`` has the training images first; it is not the default, since a score on images
        that were mixed compares with no published one.
    classes : list of int or str, default=None
        Keep only these digits, say ``[3, 8]``; the labels stay what they are. None keeps all.
    n_rows : int, default=None
        Draw so many images, each class in its share; a smaller draw is a part of a larger one. None keeps all.
    random_state : int, RandomState or None, default=0
        Seed of the draw.
    return_X_y : bool, default=False
        Return ``(X, y)`` instead of a Bunch.

    Returns
    -------
    Bunch with `data`, `target`, `target_names`, `image_shape`, `DESCR` and `filename`, or (X, y)
        float32 images of shape (n_samples, 1, 28, 28) in [0, 1], and int64 labels from 0 to 9.

    Raises
    ------
    DataNotFoundError
        If the data are neither on this machine nor downloadable, or the file is damaged.
    ValueError
        If `subset` or a class is not known, or there are fewer than `n_rows` images.

    References
    ----------
    .. [1] Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document recognition",
       Proceedings of the IEEE 86, 1998.
    """
    return load_images(
        _SOURCE,
        data_home=data_home,
        subset=subset,
        classes=classes,
        n_rows=n_rows,
        random_state=random_state,
        return_X_y=return_X_y,
    )
