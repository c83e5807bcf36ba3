"""CIFAR-10: which thing or animal does the small photograph show?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from robustxai._arguments import checked
from robustxai.datasets._base import PathLike
from robustxai.datasets._image_source import IMAGE_ARGUMENTS, ImageSource, image_arrays, load_images
from robustxai.protocols import Seed, Subset

__all__ = ["load_cifar10"]

_DESCR = """CIFAR-10, a subset of 20,000 photographs (train 15,000, test 5,000), 32 x 32 pixels, three channels.
Each of the ten classes has 1,500 training and 500 test images. The test part is not the standard one (1,000 images of
the original test batch, 4,000 of training batch 5): accuracies do not compare with published ones.
Source: A. Krizhevsky (2009), University of Toronto; no license is stated, the author asks for the citation."""

_SOURCE = ImageSource(
    name="cifar10",
    arrays=image_arrays(32, 32, 3, n_classes=10),
    target_names=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    descr=_DESCR,
    origin=(
        "A. Krizhevsky, University of Toronto; the subset has the first 1,500 training images of each class, the first "
        "1,000 test images, and 4,000 images of training batch 5"
    ),
    no_download=(
        "The 60,000 images on OpenML (data set 40927) are not downloaded in the place of this subset of 20,000, whose "
        "test part is another: results would depend on which of the two was found"
    ),
)


@checked(**IMAGE_ARGUMENTS)
def load_cifar10(
    *,
    data_home: PathLike | None = None,
    subset: Subset = "train",
    classes: Iterable[int | str] | None = None,
    n_rows: int | None = None,
    random_state: Seed = 0,
    return_X_y: bool = False,
) -> Any:
    """Load a subset of CIFAR-10: 15,000 training and 5,000 test photographs, balanced.

    **The test part is not the standard one**: it has the first 1,000 images of the original test batch and 4,000 of
    training batch 5, which the training part does not use. Accuracies do not compare with published ones.

    Parameters
    ----------
    data_home : path-like, default=None
        Folder to look in first for ``cifar10/cifar10.npz``; then come the folder named by the environment variable
        ``ROBUSTXAI_DATA`` and the cache folder. There is no download: OpenML has the full set (40927), which would
        give other results under the same name. A file with the full set's arrays is read like any other.
    subset : {"train", "test", "all"}, default="train"
        The split of the file. ``"all"`` has the training images first.
    classes : list of int or str, default=None
        Keep only these classes, by number or by name, say ``["ship", "deer"]``; the labels stay what they are. None
        keeps all.
    n_rows : int, default=None
        Draw so many images, each class in its share; a smaller draw is a part of a larger one. None keeps all.
    random_state : int, RandomState or None, default=0
        Seed of the draw.
    return_X_y : bool, default=False
        Return ``(X, y)`` instead of a Bunch.

    Returns
    -------
    Bunch with `data`, `target`, `target_names`, `image_shape`, `DESCR` and `filename`, or (X, y)
        float32 images of shape (n_samples, 3, 32, 32) in [0, 1], channels red, green, blue, and int64 labels from 0
        to 9.

    Raises
    ------
    DataNotFoundError
        If the data are not on this machine, or the file is damaged.
    ValueError
        If `subset` or a class is not known, or there are fewer than `n_rows` images.

    References
    ----------
    .. [1] A. Krizhevsky, "Learning multiple layers of features from tiny images", technical report, University of
       Toronto, 2009.
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
