"""Cells that sleep, in a module that other processes import quickly."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Sleep:
    """A cell that takes its time, and on its way does what its `deed` says: "kill once" leaves a `trace`."""

    number: int
    seconds: float = 0.1
    deed: str = ""
    trace: str = ""

    @property
    def name(self):
        return f"sleep-{self.number}-{os.getpid() if self.deed == 'differ' else 0}.json"


def run_sleep(cell):
    start = time.time()
    if cell.deed == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif cell.deed == "kill once" and not Path(cell.trace).exists():
        Path(cell.trace).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    elif cell.deed == "no file":
        raise FileNotFoundError("there are no such data")
    elif cell.deed == "raise":
        raise RuntimeError("the cell itself")
    time.sleep(cell.seconds)
    return {"number": cell.number, "pid": os.getpid(), "start": start, "end": time.time()}
