"""Who runs which trial of a study, and which trials nobody runs any more."""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import Trial, TrialState, create_trial
from typing_extensions import Self

from robustxai._compat import set_study_attribute, set_trial_attribute, study_attributes

__all__ = ["Worker"]

#: Under this name a trial has the worker that runs it, and a study its workers.
_KEY = "robustxai:worker"
#: Seconds between two signs of life.
_BEAT = 30.0
#: Seconds after which a worker on another machine that has given no sign of life is held for dead.
_SILENT = 600.0
#: Seconds after which a trial that was asked for by something else than `Worker` is held for forgotten.
_FORGOTTEN = 24 * 3600.0
#: Workers at work in this process.
_active: set[str] = set()


class Worker:
    """The process as one of those that run the trials of a study; for use in a ``with`` block.

    Optuna knows that a trial is running and not who runs it, so that a process that is killed leaves trials behind that
    run forever. Here a trial has its worker from the moment at which it is made, a worker is known by its process, and
    gives signs of life to other machines. At the end of the block, whatever ended it, no trial of this worker runs.

    Parameters
    ----------
    study : optuna.Study
        Shared by all workers.
    """

    def __init__(self, study: optuna.Study) -> None:
        self.study = study
        self.name = uuid.uuid4().hex
        self._over = threading.Event()

    def __enter__(self) -> Self:
        _active.add(self.name)
        self._beat()
        threading.Thread(target=self._go_on_beating, name="robustxai-worker", daemon=True).start()
        return self

    def __exit__(self, *reason: object) -> None:
        self._over.set()
        _active.discard(self.name)
        with suppress(Exception):  # what ended the block may be that the storage is gone: then others will do it
            for trial in self._running():
                if trial.system_attrs.get(_KEY) == self.name:
                    self.fail(trial)

    def ask(self, space: Mapping[str, BaseDistribution]) -> Trial:
        """A new trial, or one that is waiting."""
        if not self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            # made and marked in one step: a process may be killed after any
            self.study.add_trial(create_trial(state=TrialState.WAITING, system_attrs={_KEY: self.name}))
        trial = self.study.ask(dict(space))
        set_trial_attribute(self.study, trial, _KEY, self.name)
        return trial

    def fail_abandoned(self) -> int:
        """Fail the running trials whose worker is dead; how many run elsewhere."""
        workers = study_attributes(self.study)
        n_elsewhere = 0
        for trial in self._running():
            name = trial.system_attrs.get(_KEY)
            if name is None:
                started = trial.datetime_start
                dead = started is not None and time.time() - started.timestamp() > _FORGOTTEN
            else:
                dead = not _is_alive(name, workers.get(f"{_KEY}:{name}", {}))
                n_elsewhere += not dead and name != self.name
            if dead:
                self.fail(trial)
        return n_elsewhere

    def fail(self, trial: Any) -> None:
        """End a trial that has no result."""
        self.study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)

    def _running(self) -> list[Any]:
        return self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))

    def _beat(self) -> None:
        sign = {"machine": _machine(), "pid": os.getpid(), "started": _start_of(os.getpid()), "time": time.time()}
        set_study_attribute(self.study, f"{_KEY}:{self.name}", sign)

    def _go_on_beating(self) -> None:
        while not self._over.wait(_BEAT):
            with suppress(Exception):  # a storage that does not answer now may do so the next time
                self._beat()


def _is_alive(name: str, sign: Mapping[str, Any]) -> bool:
    if not sign:
        return False
    if sign["machine"] != _machine() or os.name != "posix":
        return time.time() - sign["time"] < _SILENT
    if sign["pid"] == os.getpid():
        return name in _active
    if sign["started"] is not None:  # or another process has got the number of one that is gone
        return _start_of(sign["pid"]) == sign["started"]
    try:
        os.kill(sign["pid"], 0)  # asks whether there is one
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _machine() -> str:
    """The machine, since its last start, and the container: within it the number of a process means something."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def _start_of(pid: int) -> str | None:
    """When a process was started, in ticks since the machine was; None of one that is gone, or where nobody tells."""
    try:
        # latin-1, because the name of a process may be any bytes
        state, *fields = Path(f"/proc/{pid}/stat").read_text(encoding="latin-1").rpartition(")")[2].split()
    except OSError:
        return None
    return None if state in "ZX" else fields[18]
