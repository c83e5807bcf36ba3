"""Where cells run: in processes of this machine, or on the workers of a Dask cluster."""

from __future__ import annotations

import os
import pickle
import socket
import threading
import time
import traceback
import uuid
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

from joblib import Parallel, delayed

from robustxai._fingerprint import read_once
from robustxai.benchmark._registry import changed_entries, set_changed_entries

__all__ = ["AnyCell", "Failure", "Keepable", "Run", "on_cluster", "on_this_machine"]


class Keepable(Protocol):
    """What ``run_cells`` asks of a cell: that it is hashable, and names the file of its result."""

    @property
    def name(self) -> str: ...


AnyCell = TypeVar("AnyCell", bound=Keepable)
Run = Callable[[Any], dict[str, Any]]


@dataclass(frozen=True)
class Failure:
    """What a cell has instead of a row when it raised an error; text, because not every error can be pickled.

    Parameters
    ----------
    kind, message : str
        Class and text of the error.
    trace : str
        The traceback.
    """

    kind: str
    message: str
    trace: str

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """The failure that an error is."""
        return cls(type(error).__name__, str(error), "".join(traceback.format_exception(error)))

    def __str__(self) -> str:
        """The message; of what is not meant for users, the class too."""
        return self.message if self.kind in _FOR_USERS else f"{self.kind}: {self.message}"


#: Errors whose message says all.
_FOR_USERS = (
    "ChildProcessError",
    "DataNotFoundError",
    "DivergedError",
    "FileExistsError",
    "IsADirectoryError",
    "TableError",
)
#: What a process has registered: registry -> name -> entry.
Changed = dict[str, dict[str, Any]]
#: Cells and their rows, or what went wrong, as they finish.
Results = Generator[tuple[AnyCell, "dict[str, Any] | Failure"], None, None]

#: Seconds that a connection to a scheduler may take, and then again its first answer.
_PATIENCE = 5
#: Seconds between two looks for finished cells.
_POLL = 0.1
#: So many cells that kill their workers, and no more are tried: it will not be the cells.
_ENOUGH = 3
#: Cells share the list of warning filters with everything in their process.
_one_at_a_time = threading.Lock()


def on_this_machine(cells: Sequence[AnyCell], run: Run, n_jobs: int) -> Results[AnyCell]:
    """Every cell with its row, as soon as it is there.

    Parameters
    ----------
    cells : sequence of Keepable
        What to run.
    run : callable
        A cell in, a row out.
    n_jobs : int
        Processes, by joblib.

    Yields
    ------
    cell, row or Failure
        A cell that raises an error, or whose process is killed, keeps no other from running.
    """
    waiting = list(cells)
    with read_once():
        names = {cell: cell.name for cell in cells}
    task = partial(_with_row, run=run, changed=changed_entries(), pid=os.getpid())
    with _memory_kept():
        while waiting:
            suspects: list[AnyCell] = []
            yield from _in_processes(waiting, names, task, n_jobs, suspects)
            for cell in suspects:
                # again, in a process of its own: only the guilty one is killed twice
                guilty: list[AnyCell] = []
                yield from _in_processes([cell], names, task, 2, guilty)
                if guilty:
                    yield cell, Failure("ChildProcessError", _KILLED, _KILLED)


_KILLED = (
    "The process that ran it was killed, mostly by the system because memory was short: run fewer at once (--n-jobs), "
    "or leave the cell out."
)


def _in_processes(
    waiting: list[AnyCell],
    names: dict[AnyCell, str],
    task: Callable[..., Any],
    n_jobs: int,
    suspects: list[AnyCell],
) -> Results[AnyCell]:
    """Run what is in `waiting` and empty it; if a process is killed, `suspects` are the cells that were in flight."""
    started: list[AnyCell] = []

    def tasks() -> Iterator[Any]:
        while waiting:
            started.append(waiting.pop(0))
            yield delayed(task)(started[-1], names[started[-1]])

    parallel = Parallel(n_jobs=n_jobs, return_as="generator_unordered", pre_dispatch="n_jobs")
    results = parallel(tasks())
    try:
        for cell, row in results:
            started.remove(cell)
            yield cell, row
    except BrokenProcessPool:
        suspects += started
    finally:
        results.close()


@contextmanager
def _memory_kept() -> Iterator[None]:
    """Processes that start inside keep the memory that they free, where the C library is glibc.

    It would otherwise go back to the system with every large tensor, and be made anew, page by page, for the next one:
    a tenth to a quarter of the time of a training on images.
    """
    # of the first, glibc takes 32 MB at most
    wanted = {"MALLOC_MMAP_THRESHOLD_": 2**25, "MALLOC_TRIM_THRESHOLD_": 2**30}
    ours = {name: str(value) for name, value in wanted.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)


def _with_row(
    cell: AnyCell, name: str, run: Run, changed: Changed, pid: int
) -> tuple[AnyCell, dict[str, Any] | Failure]:
    try:
        if os.getpid() != pid:
            set_changed_entries(changed)
            if cell.name != name:
                raise ValueError(
                    f"In another process, {name} would be another cell: something that it depends on was changed in "
                    "this one only (a default or a method of a class, a preset). Register what you changed under a "
                    "name of its own in ATTACKS, DEFENSES or DATA, which all processes are told of; or use n_jobs=1."
                )
        return cell, run(cell)
    except Exception as error:
        return cell, Failure.of(error)


def on_cluster(cells: Sequence[AnyCell], run: Run, address: str) -> Results[AnyCell]:
    """As :func:`on_this_machine`, on the workers of a Dask cluster; leaving the iteration cancels what is pending.

    A cell whose worker dies is started again elsewhere. Dask gives it up after several deaths (its setting
    ``distributed.scheduler.allowed-failures``), together with any cell that waited on the same workers; each of them
    then has one more round alone, when all others are finished, so that only a guilty one ends in an error.

    Parameters
    ----------
    cells : sequence of Keepable
        What to run. Their module, and that of `run`, must be importable by the workers.
    run : callable
        A cell in, a row out.
    address : str
        Of the scheduler, "tcp://host:port".

    Yields
    ------
    cell, row or Failure

    Raises
    ------
    ImportError
        Distributed is not installed here, or the library not on a worker.
    ValueError
        No address, or a worker whose version of the library, or copy of a table, is not the one here.
    ConnectionError
        The scheduler does not answer, or no longer.
    ChildProcessError
        Every worker died that ran a certain cell; all others are through, unless there are more like it.
    """
    if not cells:
        return
    client = _connect(address)
    # its end also tells the scheduler that nobody waits for the cells any more
    with client:
        suspects: list[AnyCell] = []
        guilty: list[AnyCell] = []
        yield from _round(client, cells, run, suspects)
        for cell in suspects:
            again: list[AnyCell] = []
            yield from _round(client, [cell], run, again)
            # the worker may have been dying already, of the cell before
            yield from _round(client, again, run, guilty)
            if len(guilty) == _ENOUGH:
                break
    if guilty:
        raise ChildProcessError(
            f"Every worker died that ran {' or '.join(cell.name for cell in guilty)}. What is finished is kept. Look "
            "for the reason in the logs of the workers; mostly it is memory: then start fewer per machine. The same "
            "command goes on from here, or leave these cells out."
        )


def _connect(address: str) -> Any:
    """A client of the scheduler."""
    try:
        from distributed import Client
        from distributed.comm import get_address_host_port
    except ImportError as error:
        raise ImportError(
            "Cells run on a cluster by Dask; install it here and there with: pip install 'robustxai[distributed]'"
        ) from error
    try:
        get_address_host_port(address)
    except ValueError as error:
        raise ValueError(f"scheduler={address!r} is not an address like tcp://host:8786: {error}.") from error
    answer: Future[Any] = Future()

    def connect() -> None:
        try:
            answer.set_result(Client(address, timeout=_PATIENCE, set_as_default=False))
        except Exception as error:
            answer.set_exception(error)

    # Dask itself waits for ever where something listens and says nothing; a daemon, so that nobody waits for it
    threading.Thread(target=connect, daemon=True).start()
    try:
        return answer.result(timeout=2 * _PATIENCE)
    except ImportError:  # Dask's own word on versions that do not fit
        raise
    except Exception as error:  # of any kind, where another service than Dask answers
        raise ConnectionError(
            f"No Dask scheduler answers at {address}. Start one there with 'dask scheduler', and workers with "
            f"'dask worker {address} --nthreads 1'; or leave the scheduler out to use this machine."
        ) from error


def _round(client: Any, cells: Sequence[AnyCell], run: Run, killed: list[AnyCell]) -> Results[AnyCell]:
    """Send the cells and wait for them; those whose workers died are added to `killed`."""
    import cloudpickle
    from distributed import KilledWorker, TimeoutError

    with read_once():
        names = [cell.name for cell in cells]
    changed = changed_entries()
    parcels = [cloudpickle.dumps(_Parcel(cell, name, run, changed)) for cell, name in zip(cells, names)]
    # a key of its own, or a result that another run has asked for would answer; Dask starts cells in the order of keys
    # and, with the first part in common, keeps most of them back until a worker is free
    group = f"robustxai-{uuid.uuid4().hex}"
    keys = [(group, index, name) for index, name in enumerate(names)]
    futures = client.map(pickle.loads, parcels, key=keys)
    waiting = dict(zip(futures, cells))
    del futures
    look = _Look(client)
    while waiting:
        ready = [future for future in waiting if future.done()]
        if not ready:
            look()
            time.sleep(_POLL)
        for future in ready:
            row: dict[str, Any] | Failure | None
            try:
                row = future.result(timeout=_PATIENCE)
            except TimeoutError:
                continue  # its worker died before the row was here: it is computed anew, and the others are not
            except KilledWorker:
                killed.append(waiting[future])
                row = None
            except (CancelledError, OSError) as error:
                if future.status != "error":  # else it is the cell's own
                    raise ConnectionError(
                        f"The connection to the Dask scheduler at {client.scheduler.address} was lost. Finished cells "
                        "are kept: when it is up again, the same command goes on from here."
                    ) from error
                row = Failure.of(error)
            except ImportError as error:
                raise ImportError(
                    f"A worker cannot run the cell {waiting[future].name}: {error}. All of them need the same version "
                    "of robustxai as this machine."
                ) from error
            except Exception as error:
                row = Failure.of(error)
            cell = waiting.pop(future)
            # or the cluster would keep the row, and compute it anew if its worker dies
            future.release()
            if row is not None:
                yield cell, row


class _Look:
    """Says it, now and then, if there are no workers to wait for.

    That is no error: a cluster may start its first worker only when there is work, or replace those that it loses.
    """

    def __init__(self, client: Any) -> None:
        self.client = client
        self.alone = 0
        self.next = time.monotonic()

    def __call__(self) -> None:
        if time.monotonic() < self.next:
            return
        self.next = time.monotonic() + _PATIENCE
        try:
            self.alone = 0 if self.client.nthreads() else self.alone + 1
        except OSError:
            return  # the cells will know
        if self.alone == 2:  # once, and not for one that is just being replaced
            address = self.client.scheduler.address
            warnings.warn(
                f"The scheduler at {address} has no workers; cells wait for 'dask worker {address} --nthreads 1'.",
                stacklevel=4,
            )


class _Parcel:
    """A cell that runs when it is unpickled, and unpickles as its row.

    What Dask itself cannot unpickle, because the library is absent or another version, would cost the worker its life,
    and the next one, without a word to us. In a parcel it is an error of the cell like any other.
    """

    def __init__(self, cell: Keepable, name: str, run: Run, changed: Changed) -> None:
        self.arguments = cell, name, run, changed

    def __reduce__(self) -> tuple[Callable[..., dict[str, Any]], tuple[Any, ...]]:
        return _run_there, self.arguments


def _run_there(cell: Keepable, name: str, run: Run, changed: Changed | None = None) -> dict[str, Any]:
    """What a worker does, whose library, files and number of threads are somebody else's choice."""
    host = socket.gethostname()
    try:
        with _one_at_a_time:
            if changed is not None and changed != changed_entries():
                set_changed_entries(changed)
            if cell.name != name:
                raise ValueError(
                    f"On the worker {host}, {name} would be another cell: its version of robustxai, or its copy of a "
                    "file that the cell reads, is not the one here; or a class or a preset was changed here at run "
                    "time. Install the same versions on all machines, name files by a path that all of them have, and "
                    "register your own attacks, defenses and tables under names of their own."
                )
            return run(cell)
    except OSError as error:
        # "not on this machine" would leave open on which
        raise OSError(f"On the worker {host}: {error}") from error
