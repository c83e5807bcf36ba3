"""Values of any type as choices of an Optuna study, whose storages know numbers and texts."""

from __future__ import annotations

import copy
import sys
from collections.abc import Container, Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState

from robustxai._compat import study_storage
from robustxai._fingerprint import fingerprint

__all__ = ["GivenStudy", "Space"]

#: Types that every storage preserves.
_PLAIN = (type(None), bool, int, float, str)


class Space:
    """A search space in the user's form and in Optuna's form.

    Choices that are not all plain values would come back from a storage as others (tuples as lists, True as 1), or not
    at all. Optuna gets a label for each of them: its content in words, the same in every process.

    Parameters
    ----------
    given : mapping of str to optuna distribution
        As the user gives it.

    Attributes
    ----------
    asked : dict of str to optuna distribution
        What the study is asked with.

    Raises
    ------
    TypeError
        A choice whose content cannot be read.
    """

    def __init__(self, given: Mapping[str, BaseDistribution]) -> None:
        self.given = dict(given)
        self.asked = dict(given)
        self._labels: dict[str, tuple[str, ...]] = {}
        for name, distribution in given.items():
            if isinstance(distribution, CategoricalDistribution) and not _come_back(distribution.choices):
                self._labels[name] = tuple(_label_of_choice(choice, name) for choice in distribution.choices)
                self.asked[name] = CategoricalDistribution(self._labels[name])

    @property
    def is_plain(self) -> bool:
        """Return whether Optuna's form of the space is the user's."""
        return not self._labels

    def params(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Parameters of a trial with the choices as given."""
        return {name: self._choice(name, value) if name in self._labels else value for name, value in asked.items()}

    def restored(self, trial: FrozenTrial) -> FrozenTrial:
        """A trial of the study with parameters and distributions as given; what is so already stays."""
        names = [name for name, old in trial.distributions.items() if self._is_asked(name, old)]
        if not names:
            return trial
        restored = copy.copy(trial)
        restored.params = {**trial.params, **{name: self._choice(name, trial.params[name]) for name in names}}
        restored.distributions = {**trial.distributions, **{name: self.given[name] for name in names}}
        return restored

    def _choice(self, name: str, label: str) -> Any:
        return self.given[name].choices[self._labels[name].index(label)]

    def _is_asked(self, name: str, distribution: BaseDistribution) -> bool:
        choices = getattr(distribution, "choices", ())
        if name not in self._labels or not all(type(choice) is str for choice in choices):
            return False
        return tuple(choices) == self._labels[name]


class GivenStudy(optuna.Study):
    """A study whose trials have parameters in the types of the user's space, however the storage keeps them.

    To read from. `space` has what to ask it with.
    """

    space: Space

    @classmethod
    def of(cls, study: optuna.Study, space: Space) -> GivenStudy:
        """Return the same study with the parameters of this space."""
        own = cls(study.study_name, study_storage(study), sampler=study.sampler, pruner=study.pruner)
        own.space = space
        return own

    def get_trials(self, deepcopy: bool = True, states: Container[TrialState] | None = None) -> list[FrozenTrial]:
        """Return all trials, by number."""
        return [self.space.restored(trial) for trial in super().get_trials(deepcopy, states)]

    @property
    def best_trial(self) -> FrozenTrial:
        """Return the best trial of a study with one objective."""
        return self.space.restored(super().best_trial)

    @property
    def best_trials(self) -> list[FrozenTrial]:
        """Return the Pareto front of a study with several objectives."""
        return [self.space.restored(trial) for trial in super().best_trials]


def _come_back(choices: Sequence[Any]) -> bool:
    """Return whether a storage preserves these choices and keeps them distinct."""
    if any(type(choice) not in _PLAIN for choice in choices):
        return False
    words: dict[Any, str] = {}
    return all(words.setdefault(choice, repr(choice)) == repr(choice) for choice in choices)  # True == 1 == 1.0


def _label_of_choice(choice: Any, name: str) -> str:
    try:
        return _label(choice)
    except TypeError as error:
        raise TypeError(
            f"A choice of space[{name!r}] cannot be told from others: {error} Choose among names, and set the objects "
            "in a subclass of the estimator."
        ) from error


def _label(value: Any) -> str:
    """The content of a value in words: of what Python writes out the text, of all else its kind and a fingerprint."""
    kind = type(value)
    if kind in _PLAIN or kind in (bytes, complex, range):
        return repr(value)
    if kind in (list, tuple):
        inside = ", ".join(_label(entry) for entry in value)
        return f"[{inside}]" if kind is list else f"({inside}{',' if len(value) == 1 else ''})"
    if kind in (set, frozenset):
        return f"{kind.__name__}({', '.join(sorted(_label(entry) for entry in value))})"
    if kind is dict:
        return "{" + ", ".join(f"{_label(key)}: {_label(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, np.generic) and not value.dtype.hasobject:
        return f"{kind.__name__}({value.item()!r})"
    if _is_importable(value):
        return f"{value.__module__}.{value.__qualname__}"
    name = getattr(value, "__qualname__", kind.__qualname__)
    return f"{name} {fingerprint(value)[:16]}"


def _is_importable(value: Any) -> bool:
    """Return whether it is a class or function that another process can import by its name."""
    module, path = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(path, str) or module == "__main__":
        return False
    found: Any = sys.modules.get(module)
    for name in path.split("."):
        found = getattr(found, name, None)
    return found is value
