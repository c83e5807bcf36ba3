"""Adult (census income): does a person earn more than 50,000 dollars a year?"""

from __future__ import annotations

from typing import Any, get_args

import pandas as pd

from robustxai._arguments import FLAG, Choice, checked
from robustxai.datasets._base import HOME, PathLike, fetch
from robustxai.datasets._table_source import TableSource, as_bunch, as_categories
from robustxai.protocols import AdultColumns, Subset

__all__ = ["load_adult"]

_N_TEST = 16_281
_DICE_COLUMNS = ["age", "workclass", "education", "marital_status", "occupation", "race", "gender", "hours_per_week"]
_UNKNOWN = "Other/Unknown"

#: Levels that the DiCE form joins; other levels keep their names.
_DICE_LEVELS: dict[str, dict[str, list[str]]] = {
    "workclass": {
        "Government": ["Federal-gov", "State-gov", "Local-gov"],
        "Self-Employed": ["Self-emp-inc", "Self-emp-not-inc"],
        _UNKNOWN: ["Without-pay", "Never-worked"],
    },
    "education": {
        "Assoc": ["Assoc-acdm", "Assoc-voc"],
        "School": ["Preschool", "1st-4th", "5th-6th", "7th-8th", "9th", "10th", "11th", "12th"],
    },
    "marital_status": {
        "Married": ["Married-civ-spouse", "Married-AF-spouse", "Married-spouse-absent"],
        "Single": ["Never-married"],
    },
    "occupation": {
        "Blue-Collar": [
            "Craft-repair",
            "Farming-fishing",
            "Handlers-cleaners",
            "Machine-op-inspct",
            "Transport-moving",
        ],
        "White-Collar": ["Adm-clerical", "Exec-managerial"],
        "Professional": ["Prof-specialty"],
        "Service": ["Other-service", "Priv-house-serv", "Protective-serv", "Tech-support"],
        _UNKNOWN: ["Armed-Forces"],
    },
    "race": {"Other": ["Black", "Asian-Pac-Islander", "Amer-Indian-Eskimo"]},
}

_DESCR = """Adult (census income), 48,842 persons of the 1994 US census (train 32,561, test 16,281).
Label `income`: <=50K 37,155, >50K 11,687. 13 features, 5 of them numeric.
Missing values: workclass 2,799, occupation 2,809, native-country 857. `fnlwgt`, a sampling weight, is left out.
Source: UCI Machine Learning Repository, B. Becker and R. Kohavi (1996), doi:10.24432/C5XW20, CC BY 4.0."""


def _from_openml(frame: pd.DataFrame) -> pd.DataFrame:
    """Mark the split: OpenML stores the test rows before the training rows. Both first rows are checked."""
    frame = frame.rename(columns={"class": "income"}).reset_index(drop=True)
    whole_numbers = dict.fromkeys((*_SOURCE.numeric, "fnlwgt"), "int64")
    frame = frame.astype(whole_numbers)
    first_rows = frame.loc[[0, _N_TEST], ["age", "fnlwgt"]].to_numpy().tolist()
    if first_rows != [[25, 226_802], [39, 77_516]]:
        raise ValueError("its rows are not in the order that tells training from test rows")
    frame["split"] = "train"
    frame.loc[: _N_TEST - 1, "split"] = "test"
    return pd.concat([frame.iloc[_N_TEST:], frame.iloc[:_N_TEST]], ignore_index=True)


_SOURCE = TableSource(
    name="adult",
    features=(
        "age",
        "workclass",
        "education",
        "education-num",
        "marital-status",
        "occupation",
        "relationship",
        "race",
        "sex",
        "capital-gain",
        "capital-loss",
        "hours-per-week",
        "native-country",
    ),
    numeric=("age", "education-num", "capital-gain", "capital-loss", "hours-per-week"),
    target="income",
    labels=("<=50K", ">50K"),
    n_rows=48_842,
    origin="the UCI Machine Learning Repository (Adult, doi:10.24432/C5XW20)",
    missing_mark="?",
    extra=("split",),
    openml_id=1590,
    convert=_from_openml,
)


@checked(data_home=HOME, subset=Choice(get_args(Subset)), columns=Choice(get_args(AdultColumns)), return_X_y=FLAG)
def load_adult(
    *,
    data_home: PathLike | None = None,
    subset: Subset = "all",
    columns: AdultColumns = "all",
    return_X_y: bool = False,
) -> Any:
    """Load Adult (census income): 48,842 persons, label ``"<=50K"`` or ``">50K"``.

    The column ``fnlwgt`` is the census' sampling weight, says nothing about the person, and is never returned.

    Parameters
    ----------
    data_home : path-like, default=None
        Folder to look in first for ``adult/adult.csv.gz``; then come the folder named by the environment variable
        ``ROBUSTXAI_DATA``, the cache folder, and OpenML (data set 1590).
    subset : {"all", "train", "test"}, default="all"
        The original split has 32,561 training and 16,281 test rows.
    columns : {"all", "dice"}, default="all"
        ``"all"`` gives the 13 original features under their original names, unknown values as missing. ``"dice"``
        gives the 8 features of [2]_ with their levels joined as there, unknown values as level ``"Other/Unknown"``:
        29 features when each level gets its own, 27 from `make_preprocessor`, which spends one on a binary feature.
    return_X_y : bool, default=False
        Return ``(X, y)`` instead of a Bunch.

    Returns
    -------
    Bunch with `data`, `target`, `frame`, `feature_names`, `target_names`, `DESCR` and `filename`, or (X, y)
        Numeric columns hold numbers, all others and the label are pandas categories.

    Raises
    ------
    DataNotFoundError
        If the data are neither on this machine nor downloadable, or the file is damaged.

    References
    ----------
    .. [1] B. Becker, R. Kohavi, "Adult", UCI Machine Learning Repository, 1996, doi:10.24432/C5XW20.
    .. [2] R. K. Mothilal, A. Sharma, C. Tan, "Explaining machine learning classifiers through diverse counterfactual
       explanations", FAT* 2020.
    """
    frame, filename = fetch(_SOURCE, data_home)
    split = frame.pop("split")
    if columns == "dice":
        frame = _as_dice(frame)
    # before the subset, so that training and test part have the same levels
    frame = as_categories(frame)
    if subset != "all":
        frame = frame[split == subset].reset_index(drop=True)
    return as_bunch(frame, "income", descr=_DESCR, filename=filename, return_X_y=return_X_y)


def _as_dice(frame: pd.DataFrame) -> pd.DataFrame:
    names = {"marital-status": "marital_status", "sex": "gender", "hours-per-week": "hours_per_week"}
    frame = frame.rename(columns=names)[[*_DICE_COLUMNS, "income"]]
    for column, groups in _DICE_LEVELS.items():
        joined = {level: group for group, levels in groups.items() for level in levels}
        frame[column] = frame[column].replace(joined)
    return frame.fillna(dict.fromkeys(("workclass", "occupation"), _UNKNOWN))
