"""COMPAS: is a defendant charged with another offence within two years?"""

from __future__ import annotations

from typing import Any

import pandas as pd

from robustxai._arguments import FLAG, checked
from robustxai.datasets._base import HOME, PathLike, fetch
from robustxai.datasets._table_source import TableSource, as_bunch, as_categories

__all__ = ["load_compas"]

_DESCR = """COMPAS two-year recidivism, 6,172 of 7,214 defendants in Broward County, Florida, after ProPublica's filter.
Label `two_year_recid`: no 3,363, yes 2,809. 12 features, 8 of them numeric, none of them missing.
Left out: `is_recid`, which gives the label away, and the outputs of the COMPAS score itself.
Source: ProPublica, J. Larson, S. Mattu, L. Kirchner and J. Angwin (2016); no license is stated.
The labels are arrests, not offences, and carry the bias of policing: for method comparison, not for deployment."""


def _from_original(frame: pd.DataFrame) -> pd.DataFrame:
    """Compute the stay in jail, in calendar days, from the two dates in ProPublica's file."""
    jail_in, jail_out = (pd.to_datetime(frame[column]).dt.normalize() for column in ("c_jail_in", "c_jail_out"))
    return frame.assign(length_of_stay=(jail_out - jail_in).dt.days)


_SOURCE = TableSource(
    name="compas",
    features=(
        "sex",
        "age",
        "age_cat",
        "race",
        "juv_fel_count",
        "juv_misd_count",
        "juv_other_count",
        "priors_count",
        "days_b_screening_arrest",
        "c_days_from_compas",
        "length_of_stay",
        "c_charge_degree",
        "c_charge_desc",
    ),
    numeric=(
        "age",
        "juv_fel_count",
        "juv_misd_count",
        "juv_other_count",
        "priors_count",
        "days_b_screening_arrest",
        "c_days_from_compas",
        "length_of_stay",
        "is_recid",
    ),
    target="two_year_recid",
    labels=("0", "1"),
    n_rows=7_214,
    origin=(
        "ProPublica (the file compas-scores-two-years.csv of the GitHub repository propublica/compas-analysis, from "
        "which names, dates and everything about later offences were removed)"
    ),
    extra=("is_recid",),
    original="compas-scores-two-years.csv",
    convert=_from_original,
)


@checked(data_home=HOME, include_charge=FLAG, return_X_y=FLAG)
def load_compas(
    *,
    data_home: PathLike | None = None,
    include_charge: bool = False,
    return_X_y: bool = False,
) -> Any:
    """Load COMPAS two-year recidivism: 6,172 defendants, label ``"no"`` or ``"yes"``.

    ProPublica's filter is applied: a charge within 30 days of the screening, a known outcome (``is_recid != -1``), and
    no ordinary traffic offence (``c_charge_degree != "O"``), which leaves 3,363 "no" and 2,809 "yes".

    Never returned: ``is_recid``, which gives the label away, and ``decile_score``, ``score_text``, ``v_decile_score``
    and ``v_score_text``, the outputs of the COMPAS score, which is itself a model of this label.

    ``age_cat`` is a function of ``age``; drop one of them where an explanation must not be split between the two.
    ``length_of_stay`` (calendar days in jail for the charge) is known at release, not yet at the screening.

    Parameters
    ----------
    data_home : path-like, default=None
        Folder to look in first for ``compas/compas.csv.gz`` (or ProPublica's ``compas/compas-scores-two-years.csv``);
        then come the folder named by the environment variable ``ROBUSTXAI_DATA`` and the cache folder. There is no
        download: the sets that OpenML has (42192, 42193) were cut to two races and other columns.
    include_charge : bool, default=False
        Whether to return ``c_charge_desc``, the charge in words, with 389 levels most of which are rare.
    return_X_y : bool, default=False
        Return ``(X, y)`` instead of a Bunch.

    Returns
    -------
    Bunch with `data`, `target`, `frame`, `feature_names`, `target_names`, `DESCR` and `filename`, or (X, y)
        12 features (13 with ``c_charge_desc``); numeric columns hold numbers, all others and the label are categories.

    Raises
    ------
    DataNotFoundError
        If the data are not on this machine, or the file is damaged.

    References
    ----------
    .. [1] J. Larson, S. Mattu, L. Kirchner, J. Angwin, "How we analyzed the COMPAS recidivism algorithm",
       ProPublica, 2016.
    """
    frame, filename = fetch(_SOURCE, data_home)
    in_time = frame["days_b_screening_arrest"].between(-30, 30)
    keep = in_time & (frame["is_recid"] != -1) & (frame["c_charge_degree"] != "O")
    frame = frame[keep].drop(columns="is_recid").reset_index(drop=True)
    if not include_charge:
        frame = frame.drop(columns="c_charge_desc")
    frame["two_year_recid"] = frame["two_year_recid"].map({0: "no", 1: "yes"})
    return as_bunch(as_categories(frame), "two_year_recid", descr=_DESCR, filename=filename, return_X_y=return_X_y)
