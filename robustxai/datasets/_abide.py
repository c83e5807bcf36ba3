"""ABIDE: does a person's brain network at rest show autism?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from sklearn.utils import Bunch

from robustxai._arguments import FLAG, Choice, checked
from robustxai.datasets._array_source import Arrays, ArraySource, Spec
from robustxai.datasets._base import HOME, PathLike, fetch
from robustxai.protocols import AbideSite, AbideWeights

__all__ = ["load_abide"]

_LICENSE = """Edges are Pearson correlations between the mean signals of the 116 regions of the AAL atlas at rest
(band-pass filtered, global signal removed); about half of them are negative. Subjects are sorted by identifier, so that
labels come in runs: shuffle, and stratify by label.
Source: Autism Brain Imaging Data Exchange I, Preprocessed Connectomes Project; A. Di Martino et al. (2014), C. Craddock
et al. (2013). License: CC BY-NC-SA 3.0, for non-commercial use only."""

_DESCR = {
    "nyu": f"ABIDE I, one site (NYU): 182 brain networks of 116 nodes; control 103, autism 79.\n{_LICENSE}",
    "multisite": (
        "ABIDE I, four sites: 319 brain networks of 116 nodes; control 159, autism 160.\n"
        "Sites: UM_1 108, USM 101, Yale 56, KKI 54. They differ: stratify by site too, or hold one out.\n"
        f"No subject is in the set of one site as well.\n{_LICENSE}"
    ),
}


@dataclass(frozen=True, kw_only=True)
class _GraphSource(ArraySource):
    def fault(self, arrays: Arrays) -> str:
        """Return what is wrong: an undirected graph needs a symmetric, finite matrix."""
        if reason := super().fault(arrays):
            return reason
        edges = arrays["adjacency"]
        if not np.isfinite(edges).all():
            return "the array adjacency should hold finite numbers"
        if not np.array_equal(edges, edges.swapaxes(1, 2)):
            return "the matrices of the array adjacency should be symmetric"
        return ""


def _source(site: AbideSite) -> _GraphSource:
    arrays = {
        "adjacency": Spec(np.floating, ("subjects", 116, 116)),
        "label": Spec(np.integer, ("subjects",), 2),
    }
    if site == "multisite":
        arrays["site"] = Spec(np.str_, ("subjects",))
    return _GraphSource(
        name=f"abide_{site}",
        arrays=arrays,
        origin=(
            "ABIDE I through the Preprocessed Connectomes Project, as correlation matrices in the GitHub repository "
            "keanelekenns/brain-network-classification (folder data/generated_filt_global/pearson_corr_raw; "
            "CC BY-NC-SA 3.0, non-commercial)"
        ),
        no_download="There is no public download of these matrices as one file",
    )


@checked(
    site=Choice(_DESCR),
    weights=Choice(get_args(AbideWeights)),
    clear_diagonal=FLAG,
    data_home=HOME,
    return_X_y=FLAG,
)
def load_abide(
    *,
    site: AbideSite = "nyu",
    weights: AbideWeights = "signed",
    clear_diagonal: bool = True,
    data_home: PathLike | None = None,
    return_X_y: bool = False,
) -> Any:
    """Load ABIDE: one weighted graph of 116 brain regions for each subject, label 0 (control) or 1 (autism).

    They stand in for the brain networks of the R2ET paper (ADHD with 116 nodes, bipolar with 82), of which no openly
    licensed copy was found. A hard problem: a linear model reaches an accuracy of about 0.7. The data are licensed for
    **non-commercial use** (CC BY-NC-SA 3.0).

    Parameters
    ----------
    site : {"nyu", "multisite"}, default="nyu"
        182 subjects of one scanner, or 319 other subjects of four, whose networks differ by site.
    weights : {"signed", "absolute", "positive"}, default="signed"
        ``"signed"`` keeps the correlations: nearly half of them are negative, and what they tell can be thrown away
        later but not brought back; `GraphNet` takes them as they are. ``"absolute"`` is the strength of a connection,
        ``"positive"`` clears the negative ones; these two are for networks that divide by the sum of a node's edges.
    clear_diagonal : bool, default=True
        Whether to set the diagonal to 0. It is 1 in every graph and tells nothing, and graph networks have a part for
        a node's own features anyway.
    data_home : path-like, default=None
        Folder to look in first for ``abide_nyu/abide_nyu.npz`` or ``abide_multisite/abide_multisite.npz``; then come
        the folder named by the environment variable ``ROBUSTXAI_DATA`` and the cache folder. There is no download.
    return_X_y : bool, default=False
        Return ``(X, y)`` instead of a Bunch.

    Returns
    -------
    Bunch with `data`, `target`, `target_names`, `site`, `DESCR` and `filename`, or (X, y)
        float32 symmetric matrices of shape (n_subjects, 116, 116), and int64 labels. `site` names each subject's site.

    Raises
    ------
    DataNotFoundError
        If the data are not on this machine, or the file is damaged.

    References
    ----------
    .. [1] A. Di Martino et al., "The autism brain imaging data exchange: towards a large-scale evaluation of the
       intrinsic brain architecture in autism", Molecular Psychiatry 19, 2014.
    .. [2] C. Craddock et al., "The Neuro Bureau Preprocessing Initiative: open sharing of preprocessed neuroimaging
       data and derivatives", Frontiers in Neuroinformatics, 2013.
    """
    arrays, filename = fetch(_source(site), data_home)
    X, y = arrays["adjacency"].astype(np.float32), arrays["label"].astype(np.int64)
    if weights == "absolute":
        X = np.abs(X)
    elif weights == "positive":
        X = np.maximum(X, 0)
    if clear_diagonal:
        nodes = np.arange(X.shape[1])
        X[:, nodes, nodes] = 0
    if return_X_y:
        return X, y
    return Bunch(
        data=X,
        target=y,
        target_names=["control", "autism"],
        site=arrays.get("site", np.full(len(y), "NYU")),
        DESCR=_DESCR[site],
        filename=filename,
    )
