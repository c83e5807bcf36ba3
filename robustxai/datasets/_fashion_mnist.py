"""Fashion-MNIST: which piece of clothing does the picture show?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from robustxai._arguments import checked
from robustxai.datasets._base import PathLike
from robustxai.datasets._image_source import IMAGE_ARGUMENTS, ImageSource, image_arrays, load_images
from robustxai.protocols import Seed, Subset

__all__ = ["load_fashion_mnist"]

_DESCR = """Fashion-MNIST, 70,000 pictures of clothes (train 60,000, test 10,000), 28 x 28 pixels, one channel.
Each of the ten classes has 6,000 training and 1,000 test images.
Source: H. Xiao, K. Rasul and R. Vollgraf (2017), arXiv:1708.07747, MIT license (Zalando SE)."""

_SOURCE = ImageSource(
    name="fashion_mnist",
    arrays=image_arrays(28, 28, n_classes=10),
    target_names=(
        "T-shirt/top",
        "trouser",
        "pullover",
        "dress",
        "coat",
        "sandal",
        "shirt",
        "sneaker",
        "bag",
        "ankle boot",
    ),
    descr=_DESCR,
    origin="H. Xiao, K. Rasul and R. Vollgraf (GitHub repository zalandoresearch/fashion-mnist)",
    openml_id=40_996,
    n_train=60_000,
    n_test=10_000,
    labels_crc=4_051_253_088,
)


@checked(**IMAGE_ARGUMENTS)
def load_fashion_mnist(
    *,
    data_home: PathLike | None = None,
    subset: Subset = "train",
    classes: Iterable[int | str] | None = None,
    n_rows: int | None = None,
    random_state: Seed = 0,
    return_X_y: bool = False,
) -> Any:
    """Load Fashion-MNIST: 60,000 training and 10,000 test images of clothes, in the original order.

    Parameters
    ----------
    data_home : path-like, default=None
        Folder to look in first for ``fashion_mnist/fashion_mnist.npz``; then come the folder named by the environment
        variable ``ROBUSTXAI_DATA``, the cache folder, and OpenML (data set 40996).
    subset : {"train", "test", "all"}, default="train"
        The original split. ``"all"`` has the training images first; it is not the default, since a score on images
        that were mixed compares with no published one.
    classes : list of int or str, default=None
        Keep only these classes, by number or by name, say ``["sandal", "sneaker"]``; the labels stay what they are.
        None keeps all.
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
    .. [1] H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine learning
       algorithms", arXiv:1708.07747, 2017.
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
