"""Bank marketing: does the client subscribe to a term deposit after the phone call?"""

from __future__ import annotations

from typing import Any

from robustxai._arguments import FLAG, checked
from robustxai.datasets._base import HOME, PathLike, fetch
from robustxai.datasets._table_source import TableSource, as_bunch, as_categories

__all__ = ["load_bank"]

_NEVER = 999

_DESCR = """Bank marketing, 41,188 calls of a Portuguese bank, May 2008 to November 2010, in date order: shuffle.
Label `y`: no 36,548, yes 4,640. 20 features, 9 of them numeric; `duration` only if asked for.
Missing values: default 8,597, education 1,731, housing 990, loan 990, job 330, marital 80, pdays 39,673.
Source: UCI Machine Learning Repository, doi:10.24432/C5K306, CC BY 4.0; S. Moro, P. Cortez and P. Rita (2014)."""

_SOURCE = TableSource(
    name="bank",
    features=(
        "age",
        "job",
        "marital",
        "education",
        "default",
        "housing",
        "loan",
        "contact",
        "month",
        "day_of_week",
        "duration",
        "campaign",
        "pdays",
        "previous",
        "poutcome",
        "emp.var.rate",
        "cons.price.idx",
        "cons.conf.idx",
        "euribor3m",
        "nr.employed",
    ),
    numeric=(
        "age",
        "duration",
        "campaign",
        "pdays",
        "previous",
        "emp.var.rate",
        "cons.price.idx",
        "cons.conf.idx",
        "euribor3m",
        "nr.employed",
    ),
    target="y",
    labels=("no", "yes"),
    n_rows=41_188,
    origin=(
        "the UCI Machine Learning Repository (Bank Marketing, doi:10.24432/C5K306, archive bank-additional.zip, "
        "member bank-additional-full.csv)"
    ),
    missing_mark="unknown",
    original="bank-additional-full.csv",
    original_separator=";",
)


@checked(data_home=HOME, include_duration=FLAG, return_X_y=FLAG)
def load_bank(
    *,
    data_home: PathLike | None = None,
    include_duration: bool = False,
    return_X_y: bool = False,
) -> Any:
    """Load Bank marketing (the set with economic indicators): 41,188 phone calls, label ``"no"`` or ``"yes"``.

    **The rows are in date order** and the economy changes within them: shuffle before splitting, which
    ``train_test_split`` does and ``KFold`` does only with ``shuffle=True``.

    ``pdays``, the days since the client was last called in an earlier campaign, is 999 in the file for "never". Here
    it is missing in these 39,673 rows, since 999 next to 0-27 would turn every scaled value into a second flag; the
    flag itself is the added column ``pdays_known`` (``"no"``/``"yes"``). It is not the same as ``previous > 0``:
    4,110 clients were called before with no day on record. ``"unknown"`` in the text columns is missing too.

    Parameters
    ----------
    data_home : path-like, default=None
        Folder to look in first for ``bank/bank.csv.gz`` (or the publisher's ``bank/bank-additional-full.csv``); then
        come the folder named by the environment variable ``ROBUSTXAI_DATA`` and the cache folder. There is no
        download: the set that OpenML has (1461) is the older one, with other columns.
    include_duration : bool, default=False
        Whether to return ``duration``, the length of the call. It is known only when the call has ended, as the label
        is: a model for use before the call cannot have it.
    return_X_y : bool, default=False
        Return ``(X, y)`` instead of a Bunch.

    Returns
    -------
    Bunch with `data`, `target`, `frame`, `feature_names`, `target_names`, `DESCR` and `filename`, or (X, y)
        20 features (21 with ``duration``); numeric columns hold numbers, all others and the label are categories.

    Raises
    ------
    DataNotFoundError
        If the data are not on this machine, or the file is damaged.

    References
    ----------
    .. [1] S. Moro, P. Cortez, P. Rita, "A data-driven approach to predict the success of bank telemarketing",
       Decision Support Systems 62, 2014, doi:10.1016/j.dss.2014.03.001.
    """
    frame, filename = fetch(_SOURCE, data_home)
    known = frame["pdays"] != _NEVER
    frame["pdays"] = frame["pdays"].where(known)
    frame.insert(frame.columns.get_loc("pdays") + 1, "pdays_known", known.map({False: "no", True: "yes"}))
    if not include_duration:
        frame = frame.drop(columns="duration")
    return as_bunch(as_categories(frame), "y", descr=_DESCR, filename=filename, return_X_y=return_X_y)
