"""Where cells run: in processes of this machine, or on the workers of a Dask cluster."""

from __future__ import annotations

import socket
import threading
import uuid
import warnings
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import CancelledError, Future
from typing import Any, Protocol, TypeVar

from joblib import Parallel, delayed

__all__ = ["AnyCell", "Keepable", "Run", "on_cluster", "on_this_machine"]


class Keepable(Protocol):
    """What ``run_cells`` asks of a cell: that it is hashable, and names the file of its result."""

    @property
    def name(self) -> str: ...


AnyCell = TypeVar("AnyCell", bound=Keepable)
Run = Callable[[Any], dict[str, Any]]
#: Cells and their rows, as they finish.
Results = Generator[tuple[AnyCell, dict[str, Any]], None, None]

#: Seconds that a connection to a scheduler may take, and then again its first answer.
_PATIENCE = 5
#: Cells share torch's random generator and the list of warning filters with everything in their process.
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
    cell, row
    """
    parallel = Parallel(n_jobs=n_jobs, return_as="generator_unordered", pre_dispatch="n_jobs")
    yield from parallel(delayed(_with_row)(cell, run) for cell in cells)


def _with_row(cell: AnyCell, run: Run) -> tuple[AnyCell, dict[str, Any]]:
    return cell, run(cell)


def on_cluster(cells: Sequence[AnyCell], run: Run, address: str) -> Results[AnyCell]:
    """As :func:`on_this_machine`, on the workers of a Dask cluster; leaving the iteration cancels what is pending.

    A cell whose worker dies is started again elsewhere. Dask gives it up after several deaths (its setting
    ``distributed.scheduler.allowed-failures``), together with any cell that waited on the same workers; each of them
    then has one more round alone, when all others are finished, so that only a guilty one ends in an error.

    Parameters
    ----------
    cells : sequence of Keepable
        What to run. Their module, and that of `run`, must be importable by the workers and the scheduler.
    run : callable
        A cell in, a row out.
    address : str
        Of the scheduler, "tcp://host:port".

    Yields
    ------
    cell, row

    Raises
    ------
    ImportError
        Distributed is not installed, here or there.
    ValueError
        No address, or a worker whose version of the library, or copy of a table, is not the one here.
    ConnectionError
        The scheduler does not answer, or no longer.
    ChildProcessError
        Every worker that ran a certain cell died.
    """
    if not cells:
        return
    client = _connect(address)
    # its end also tells the scheduler that nobody waits for the cells any more
    with client:
        if not client.nthreads():
            # no error: a cluster may start its first worker only when there is work
            warnings.warn(
                f"The scheduler at {address} has no worker yet; cells wait for 'dask worker {address} --nthreads 1'.",
                stacklevel=2,
            )
        suspects: list[AnyCell] = []
        yield from _round(client, cells, run, suspects.append)
        for cell in suspects:
            yield from _round(client, [cell], run, _give_up)


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
            f"No Dask scheduler answers at {address}. Start one there with 'dask scheduler', and workers with 'dask worker "
            f"{address} --nthreads 1'; or leave the scheduler out to use this machine."
        ) from error


def _give_up(cell: Keepable) -> None:
    raise ChildProcessError(
        f"Every worker that ran the cell {cell.name} died; all other cells but those that waited with it are finished "
        "and kept. Look for the reason in the workers' logs (mostly memory: start fewer per machine, or with a higher "
        "--memory-limit); then the same command goes on, or leave the cell out."
    )


def _round(client: Any, cells: Sequence[AnyCell], run: Run, killed: Callable[[AnyCell], None]) -> Results[AnyCell]:
    """Send the cells and wait for them; `killed` is called with each whose workers died."""
    from distributed import KilledWorker, as_completed

    names = [cell.name for cell in cells]
    # a key of its own, or a result that another run has asked for would answer; Dask starts cells in the order of keys
    # and, with the first part in common, keeps most of them back until a worker is free
    group = f"robustxai-{uuid.uuid4().hex}"
    keys = [(group, index, name) for index, name in enumerate(names)]
    futures = client.map(_run_there, cells, names, run=run, key=keys)
    waiting = dict(zip(futures, cells))
    for future in as_completed(futures, loop=client.loop):
        cell = waiting.pop(future)
        try:
            row = future.result()
        except KilledWorker:
            killed(cell)
            continue
        except CancelledError as error:
            raise ConnectionError(
                f"The connection to the Dask scheduler at {client.scheduler.address} was lost. Finished cells are kept: "
                "when it is up again, the same command goes on from here."
            ) from error
        except ImportError as error:
            raise ImportError(f"A worker cannot run the cell {cell.name}: {error}. Install what is here.") from error
        finally:
            # or the cluster would keep the result, and compute it anew if its worker dies
            future.release()
        yield cell, row


def _run_there(cell: Keepable, name: str, run: Run) -> dict[str, Any]:
    """What a worker does, whose library, files and number of threads are somebody else's choice."""
    host = socket.gethostname()
    if cell.name != name:
        raise ValueError(
            f"On the worker {host}, {name} would be another cell: its version of robustxai, or its copy of a file that "
            "the cell reads, is not the one here. Install the same version on all machines, and name files by a path "
            "that all of them have."
        )
    try:
        with _one_at_a_time:
            return run(cell)
    except OSError as error:
        # "not on this machine" would leave open on which
        raise OSError(f"On the worker {host}: {error}") from error
