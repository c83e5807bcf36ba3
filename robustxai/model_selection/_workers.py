"""Workers of a study: processes that run its trials, and detection of abandoned trials."""

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

#: Attribute of a trial that names its worker, and prefix of the workers' attributes of a study.
_KEY = "robustxai:worker"
#: Seconds between two heartbeats.
_BEAT = 30.0
#: Seconds without a heartbeat after which a worker on another machine counts as dead.
_SILENT = 600.0
#: Seconds after which a running trial without a `Worker` counts as abandoned.
_FORGOTTEN = 24 * 3600.0
#: Active workers of this process.
_active: set[str] = set()


class Worker:
    """Worker of a study that stands for the current process, for use in a ``with`` block.

    Optuna does not record which process runs a trial, so that the trials of a killed process stay in the state
    "running". Here a trial is created with its worker, a worker is identified by its process, and it sends heartbeats
    to other machines. When the block ends, for any reason, no trial of this worker is left running.

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
        with suppress(Exception):  # if the storage is gone, another worker fails the trials
            for trial in self._running():
                if trial.system_attrs.get(_KEY) == self.name:
                    self.fail(trial)

    def ask(self, space: Mapping[str, BaseDistribution]) -> Trial:
        """Return a waiting trial, or a new one."""
        if not self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            # created and marked in one step, because a process may be killed between two
            self.study.add_trial(create_trial(state=TrialState.WAITING, system_attrs={_KEY: self.name}))
        trial = self.study.ask(dict(space))
        set_trial_attribute(self.study, trial, _KEY, self.name)
        return trial

    def fail_abandoned(self) -> int:
        """Fail the running trials whose worker is dead; return the number of trials that run elsewhere."""
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
        """Mark a trial as failed."""
        self.study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)

    def _running(self) -> list[Any]:
        return self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))

    def _beat(self) -> None:
        sign = {"machine": _machine(), "pid": os.getpid(), "started": _start_of(os.getpid()), "time": time.time()}
        set_study_attribute(self.study, f"{_KEY}:{self.name}", sign)

    def _go_on_beating(self) -> None:
        while not self._over.wait(_BEAT):
            with suppress(Exception):  # a storage that does not respond may respond to the next heartbeat
                self._beat()


def _is_alive(name: str, sign: Mapping[str, Any]) -> bool:
    if not sign:
        return False
    if sign["machine"] != _machine() or os.name != "posix":
        return time.time() - sign["time"] < _SILENT
    if sign["pid"] == os.getpid():
        return name in _active
    if sign["started"] is not None:  # the number of a finished process may be used again
        return _start_of(sign["pid"]) == sign["started"]
    try:
        os.kill(sign["pid"], 0)  # signal 0 tests for existence
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _machine() -> str:
    """Return a name of the running machine and container, within which process numbers are unique."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def _start_of(pid: int) -> str | None:
    """Return the start time of a process in ticks since boot; None if it has ended or the system does not tell."""
    try:
        # latin-1, because the name of a process may contain any bytes
        state, *fields = Path(f"/proc/{pid}/stat").read_text(encoding="latin-1").rpartition(")")[2].split()
    except OSError:
        return None
    return None if state in "ZX" else fields[18]
