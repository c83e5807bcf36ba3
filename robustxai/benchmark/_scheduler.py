"""Run cells in processes of this machine, or on the workers of a Dask cluster."""

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
    """Contract of a cell in ``run_cells``: it is hashable and names the file of its result."""

    @property
    def name(self) -> str: ...


AnyCell = TypeVar("AnyCell", bound=Keepable)
Run = Callable[[Any], dict[str, Any]]


@dataclass(frozen=True)
class Failure:
    """Result of a cell that raised an error, as text, because not every error can be pickled.

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
        """Return the failure of a cell that raised `error`."""
        return cls(type(error).__name__, str(error), "".join(traceback.format_exception(error)))

    def __str__(self) -> str:
        """Return the message; with the class, unless the error is meant for users."""
        return self.message if self.kind in _FOR_USERS else f"{self.kind}: {self.message}"


#: Errors whose message needs no class name.
_FOR_USERS = (
    "ChildProcessError",
    "DataNotFoundError",
    "DivergedError",
    "FileExistsError",
    "IsADirectoryError",
    "TableError",
)
#: Entries that a process has registered: registry -> name -> entry.
Changed = dict[str, dict[str, Any]]
#: Cells and their rows or failures, as they finish.
Results = Generator[tuple[AnyCell, "dict[str, Any] | Failure"], None, None]

#: Timeout in seconds of a connection to a scheduler, and again of its first answer.
_PATIENCE = 5
#: Seconds between two checks for finished cells.
_POLL = 0.1
#: Give up after this many cells have killed their workers.
_ENOUGH = 3
#: Cells of one process share its warning filters, so that only one runs at a time.
_one_at_a_time = threading.Lock()


def on_this_machine(cells: Sequence[AnyCell], run: Run, n_jobs: int) -> Results[AnyCell]:
    """Yield every cell with its row as soon as it is finished.

    Parameters
    ----------
    cells : sequence of Keepable
        Cells to run.
    run : callable
        Function from a cell to a row.
    n_jobs : int
        Processes, started by joblib.

    Yields
    ------
    cell, row or Failure
        A cell that raises an error, or whose process is killed, does not stop the others. Cells of one
        `BaseCell.group` run in one process, and are yielded together if there are several processes.
    """
    waiting = _groups(cells, together=n_jobs != 1)
    with read_once():
        names = {cell: cell.name for cell in cells}
    task = partial(_with_rows, run=run, changed=changed_entries(), pid=os.getpid())
    with _memory_kept():
        while waiting:
            suspects: list[AnyCell] = []
            yield from _in_processes(waiting, names, task, n_jobs, suspects)
            for cell in suspects:
                # run it again in a process of its own: only a cell that kills its process fails twice
                failing: list[AnyCell] = []
                yield from _in_processes([[cell]], names, task, 2, failing)
                if failing:
                    yield cell, Failure("ChildProcessError", _KILLED, _KILLED)


_KILLED = (
    "The process that ran it was killed, mostly by the system for lack of memory. Run fewer cells at once (--n-jobs), "
    "or leave the cell out."
)


def _groups(cells: Sequence[AnyCell], together: bool) -> list[list[AnyCell]]:
    """Return the cells group by group; each in a list of its own unless they are to run `together`."""
    groups: dict[Any, list[AnyCell]] = {}
    for cell in cells:
        group = getattr(cell, "group", None)
        groups.setdefault(cell if group is None else group(), []).append(cell)
    return list(groups.values()) if together else [[cell] for own in groups.values() for cell in own]


def _in_processes(
    waiting: list[list[AnyCell]],
    names: dict[AnyCell, str],
    task: Callable[..., Any],
    n_jobs: int,
    suspects: list[AnyCell],
) -> Results[AnyCell]:
    """Run the groups in `waiting` and empty it; if a process is killed, add the running cells to `suspects`."""
    started: list[list[AnyCell]] = []

    def tasks() -> Iterator[Any]:
        while waiting:
            started.append(waiting.pop(0))
            yield delayed(task)(started[-1], [names[cell] for cell in started[-1]])

    parallel = Parallel(n_jobs=n_jobs, return_as="generator_unordered", pre_dispatch="n_jobs")
    results = parallel(tasks())
    try:
        for rows in results:
            started.remove([cell for cell, _ in rows])
            yield from rows
    except BrokenProcessPool:
        suspects += [cell for group in started for cell in group]
    finally:
        results.close()


@contextmanager
def _memory_kept() -> Iterator[None]:
    """Let processes that start inside keep the memory that they free, on systems with glibc.

    By default, glibc returns the memory of every large tensor to the system and requests it again for the next tensor,
    page by page. That takes a tenth to a quarter of the time of a training on images.
    """
    # glibc limits the first value to 32 MB
    wanted = {"MALLOC_MMAP_THRESHOLD_": 2**25, "MALLOC_TRIM_THRESHOLD_": 2**30}
    ours = {name: str(value) for name, value in wanted.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)


def _with_rows(
    cells: Sequence[AnyCell], names: Sequence[str], run: Run, changed: Changed, pid: int
) -> list[tuple[AnyCell, dict[str, Any] | Failure]]:
    return [_with_row(cell, name, run, changed, pid) for cell, name in zip(cells, names)]


def _with_row(
    cell: AnyCell, name: str, run: Run, changed: Changed, pid: int
) -> tuple[AnyCell, dict[str, Any] | Failure]:
    try:
        if os.getpid() != pid:
            set_changed_entries(changed)
            if cell.name != name:
                raise ValueError(
                    f"In another process, {name} would be another cell: something that it depends on was changed in "
                    "this process only (a default or a method of a class, a preset). Register what you changed under a "
                    "name of its own in ATTACKS, DEFENSES or DATA, which all processes share; or use n_jobs=1."
                )
        return cell, run(cell)
    except Exception as error:
        return cell, Failure.of(error)


def on_cluster(cells: Sequence[AnyCell], run: Run, address: str) -> Results[AnyCell]:
    """Run cells as :func:`on_this_machine`, on a Dask cluster; leaving the iteration cancels pending cells.

    A cell whose worker dies starts again on another worker. After several deaths (Dask's setting
    ``distributed.scheduler.allowed-failures``) Dask gives up the cell and all cells that waited on the same workers.
    Each of them then runs once more alone, after all others, so that only cells that kill their workers fail.

    Parameters
    ----------
    cells : sequence of Keepable
        Cells to run. The workers must be able to import their module, and that of `run`.
    run : callable
        Function from a cell to a row.
    address : str
        Address of the scheduler, "tcp://host:port".

    Yields
    ------
    cell, row or Failure

    Raises
    ------
    ImportError
        Distributed is missing here, or the library on a worker.
    ValueError
        The address is invalid, or a worker has another version of the library, or another copy of a table.
    ConnectionError
        The scheduler does not answer, or the connection was lost.
    ChildProcessError
        Every worker that ran a certain cell died. The other cells have run, unless there were more such cells.
    """
    if not cells:
        return
    client = _connect(address)
    # the end of the context also tells the scheduler to drop pending cells
    with client:
        suspects: list[AnyCell] = []
        failing: list[AnyCell] = []
        yield from _round(client, cells, run, suspects)
        for cell in suspects:
            again: list[AnyCell] = []
            yield from _round(client, [cell], run, again)
            # the worker may have died of the previous cell
            yield from _round(client, again, run, failing)
            if len(failing) == _ENOUGH:
                break
    if failing:
        raise ChildProcessError(
            f"Every worker that ran {' or '.join(cell.name for cell in failing)} died. Finished cells are kept. The "
            "logs of the workers have the reason, mostly a lack of memory: then start fewer workers per machine. Run "
            "the same command again to resume, or leave these cells out."
        )


def _connect(address: str) -> Any:
    """Connect to the scheduler and return a client."""
    try:
        from distributed import Client
        from distributed.comm import get_address_host_port
    except ImportError as error:
        raise ImportError(
            "A cluster needs Dask. Install it here and on the workers with: pip install 'robustxai[distributed]'"
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

    # Dask waits forever if the port is open but silent, hence a daemon thread, which does not block the exit
    threading.Thread(target=connect, daemon=True).start()
    try:
        return answer.result(timeout=2 * _PATIENCE)
    except ImportError:  # Dask's own message about incompatible versions
        raise
    except Exception as error:  # any error: another service than Dask may answer
        raise ConnectionError(
            f"No Dask scheduler answers at {address}. Start one there with 'dask scheduler', and workers with "
            f"'dask worker {address} --nthreads 1'; or leave out the scheduler to use this machine."
        ) from error


def _round(client: Any, cells: Sequence[AnyCell], run: Run, killed: list[AnyCell]) -> Results[AnyCell]:
    """Send the cells and wait for them; add cells whose workers died to `killed`."""
    import cloudpickle
    from distributed import KilledWorker, TimeoutError

    with read_once():
        names = [cell.name for cell in cells]
    changed = changed_entries()
    parcels = [cloudpickle.dumps(_Parcel(cell, name, run, changed)) for cell, name in zip(cells, names)]
    # a unique key, or Dask would answer with the result of another run. Dask starts cells in the order of keys and,
    # as their first part is common, holds most of them back until a worker is free
    group = f"robustxai-{uuid.uuid4().hex}"
    keys = [(group, index, name) for index, name in enumerate(names)]
    futures = client.map(pickle.loads, parcels, key=keys)
    waiting = dict(zip(futures, cells))
    del futures
    watch = _WorkerWatch(client)
    while waiting:
        ready = [future for future in waiting if future.done()]
        if not ready:
            watch()
            time.sleep(_POLL)
        for future in ready:
            row: dict[str, Any] | Failure | None
            try:
                row = future.result(timeout=_PATIENCE)
            except TimeoutError:
                continue  # its worker died before the row arrived: Dask computes this row again
            except KilledWorker:
                killed.append(waiting[future])
                row = None
            except (CancelledError, OSError) as error:
                if future.status != "error":  # otherwise the cell itself raised it
                    raise ConnectionError(
                        f"The connection to the Dask scheduler at {client.scheduler.address} was lost. Finished cells "
                        "are kept: run the same command again to resume."
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
            # otherwise the cluster keeps the row, and computes it again if its worker dies
            future.release()
            if row is not None:
                yield cell, row


class _WorkerWatch:
    """Warn if the scheduler has no workers.

    This is not an error: a cluster may start its first worker when there is work, and replace lost workers.
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
            return  # the cells report a lost connection
        if self.alone == 2:  # once, and not while a worker is being replaced
            address = self.client.scheduler.address
            warnings.warn(
                f"The scheduler at {address} has no workers. Start some with 'dask worker {address} --nthreads 1'.",
                stacklevel=4,
            )


class _Parcel:
    """Wrap a cell so that unpickling runs it and returns its row.

    If Dask itself fails to unpickle a task, because the library is missing or of another version, the worker dies, then
    the next one, and no error arrives here. Inside a parcel, the failure is an ordinary error of the cell.
    """

    def __init__(self, cell: Keepable, name: str, run: Run, changed: Changed) -> None:
        self.arguments = cell, name, run, changed

    def __reduce__(self) -> tuple[Callable[..., dict[str, Any]], tuple[Any, ...]]:
        return _run_on_worker, self.arguments


def _run_on_worker(cell: Keepable, name: str, run: Run, changed: Changed | None = None) -> dict[str, Any]:
    """Run a cell on a worker, whose library, files and threads may differ from those here."""
    host = socket.gethostname()
    try:
        with _one_at_a_time:
            if changed is not None and changed != changed_entries():
                set_changed_entries(changed)
            if cell.name != name:
                raise ValueError(
                    f"On the worker {host}, {name} would be another cell: the worker has another version of robustxai "
                    "or another copy of a file that the cell reads, or a class or preset was changed here at run time. "
                    "Install the same versions on all machines, name files by a path that all of them have, and "
                    "register your own attacks, defenses and tables under names of their own."
                )
            return run(cell)
    except OSError as error:
        # name the machine
        raise OSError(f"On the worker {host}: {error}") from error
