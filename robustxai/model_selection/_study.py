"""The Optuna study of a tuning: its storage, and a sampler that continues after another process."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, unquote

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, check_distribution_compatibility
from optuna.samplers import BaseSampler, TPESampler

__all__ = ["check_space", "open_study"]

#: Samplers that have already sampled in this process.
_at_work: weakref.WeakSet[BaseSampler] = weakref.WeakSet()


class _SamplerByNumber(TPESampler):
    """TPE whose draws depend on the seed and on the number of the trial.

    A sampler with a seed draws the same first parameters in every process. The number of a trial is its own: a study
    that is resumed, or that several processes share, draws for it what one uninterrupted process would draw.
    """

    def __init__(self, seed: int | None, constant_liar: bool) -> None:
        self._options = {"constant_liar": constant_liar}
        self._seed = seed
        self._renew(0)

    def before_trial(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        self._renew(trial.number)
        super().before_trial(study, trial)

    def _renew(self, number: int) -> None:
        seed = None
        if self._seed is not None:
            seed = int(np.random.SeedSequence([self._seed, number]).generate_state(1)[0])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            super().__init__(seed=seed, **self._options)


def open_study(
    sampler: BaseSampler | None,
    pruner: Any,
    storage: Any,
    name: str | None,
    objectives: Sequence[str],
    seed: int | None,
    batch_size: int,
) -> optuna.Study:
    """Make the study, or load the one of that name; ConnectionError, without a password, if the storage refuses."""
    own_sampler = _SamplerByNumber(seed, constant_liar=batch_size > 1) if sampler is None else sampler
    failure: Exception | None = None
    try:
        study = optuna.create_study(
            sampler=own_sampler,
            pruner=pruner,
            storage=_open_storage(storage),
            study_name=name,
            load_if_exists=True,
            directions=["maximize"] * max(len(objectives), 1),
        )
    except Exception as error:
        if storage is None:
            raise
        failure = error
    if failure is not None:  # not in the block above, or the error would be kept with the text that is left out here
        place, secrets = _without_secrets(storage)
        hidden = any(secret in f"{failure} {failure.__cause__} {failure.__context__}" for secret in secrets)
        why = type(failure).__name__ if hidden else f"{type(failure).__name__}: {failure}"
        raise ConnectionError(
            f"The storage {place} cannot be used ({why}). Give the URL of a database that this machine reaches "
            "(sqlite:///study.db, postgresql://user:password@host/name) or of a journal file (journal:///study.log)."
        ) from (None if hidden else failure)
    if objectives:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names(list(objectives))
    if sampler is not None:
        if sampler not in _at_work and study.get_trials(deepcopy=False):
            sampler.reseed_rng()  # or one with a seed would sample its first trials again
        _at_work.add(sampler)
    return study


def check_space(study: optuna.Study, asked: Mapping[str, BaseDistribution]) -> None:
    """ValueError if trials of the study were asked with another kind of space."""
    seen: dict[str, BaseDistribution] = {}
    for trial in study.get_trials(deepcopy=False):
        seen.update(trial.distributions)
    for name in seen.keys() & asked.keys():
        try:
            check_distribution_compatibility(seen[name], asked[name])
        except ValueError as error:
            raise ValueError(
                f"The study {study.study_name!r} has trials with another distribution of {name!r}: {seen[name]}, and "
                f"the space has {asked[name]}. Go on with the space of before, or use another study_name."
            ) from error


def _open_storage(storage: Any) -> Any:
    if isinstance(storage, str) and storage.startswith("journal:///"):
        from optuna.storages.journal import JournalFileBackend

        return optuna.storages.JournalStorage(JournalFileBackend(storage.removeprefix("journal:///")))
    return storage


def _without_secrets(storage: Any) -> tuple[str, list[str]]:
    """A storage in words, and what must not be among them."""
    url = storage if isinstance(storage, str) else str(getattr(storage, "url", ""))
    scheme, _, rest = url.partition("://")
    if scheme in ("sqlite", "journal", ""):
        return repr(storage) if isinstance(storage, str) else type(storage).__name__, []
    user, at, place = rest.rpartition("@")  # a password may have any sign in it
    place, asked, query = place.partition("?")
    values = [value for _, value in parse_qsl(query)]
    parts = {url, user, user.partition(":")[2], query, *values}
    secrets = [secret for part in parts for secret in (part, unquote(part)) if secret]
    shown = repr(f"{scheme}://{'***@' if at else ''}{place}{'?***' if asked else ''}")
    return shown if isinstance(storage, str) else type(storage).__name__, secrets
