import json
import logging
import os
import signal
import socket
import sys
import threading
import time
import warnings
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from robustxai.benchmark import Cell, _scheduler, run_cells
from robustxai.exceptions import FailedCellsError
from tests.benchmark.sleeping import Sleep, run_sleep

distributed = pytest.importorskip("distributed")
dask = pytest.importorskip("dask")
pytestmark = pytest.mark.usefixtures("forked_workers")


class Unreadable(Sleep):
    """Of a module that no other process has."""

    def __reduce__(self):
        return _import, ()


def _import():
    raise ModuleNotFoundError("No module named 'robustxai'")


#: The port is any that is free.
QUIET = {"dashboard_address": ":0", "silence_logs": logging.CRITICAL}
#: A cluster within this process, for tests that need one of their own: it starts and ends at once.
WITHIN = {"threads_per_worker": 1, "processes": False, "protocol": "tcp", **QUIET}


@pytest.fixture(scope="module")
def cluster():
    """Two processes for all tests; a dead one is replaced."""
    # forked from one process that has imported torch: on its own, every replacement would take seconds for that
    settings = {
        "distributed.worker.multiprocessing-method": "forkserver",
        # of a busy machine: a worker that is not back in time is given up, and nobody might be left
        "distributed.deploy.lost-worker-timeout": "10 s",
    }
    with dask.config.set(settings):
        distributed.utils.get_mp_context().set_forkserver_preload(["distributed", "tests.forked"])
        with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, **QUIET) as cluster:
            yield cluster


@pytest.fixture
def address(cluster):
    end = time.monotonic() + 60
    while len(cluster.scheduler.workers) < 2:
        assert time.monotonic() < end
        cluster.scale(2)  # Dask does not replace a worker that dies as it starts
        time.sleep(0.2)
    return cluster.scheduler_address


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(_scheduler, "_PATIENCE", 0.3)


def on_disk(out):
    """Every file of a folder, read; a torn one would raise."""
    return {path.name: json.loads(path.read_text()) for path in (out / "cells").iterdir()}


def eventually(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_cells_run_on_all_workers_and_finished_ones_are_not_sent(address, cluster, tmp_path):
    cells, seen = [Sleep(number) for number in range(10)], []
    run_cells(cells[3:5], tmp_path, run=run_sleep)
    before = on_disk(tmp_path)
    assert {row["pid"] for row in before.values()} == {os.getpid()}
    rows = run_cells(cells, tmp_path, run=run_sleep, scheduler=address, progress=lambda *args: seen.append(args))
    assert rows["number"].tolist() == list(range(10))
    assert set(rows["pid"]) == {os.getpid(), *(worker.pid for worker in cluster.workers.values())}
    assert [(done, total) for done, total, _ in seen] == [(done, 10) for done in range(1, 11)]
    assert [row["number"] for *_, row in seen[:2]] == [3, 4]
    after = on_disk(tmp_path)
    assert after.keys() == {cell.name for cell in cells}
    assert before.items() <= after.items()

    again = run_cells(cells, tmp_path, run=run_sleep, scheduler="tcp://nobody:1")  # nothing to do, nobody to ask
    pd.testing.assert_frame_equal(again, rows)
    fresh = run_cells(cells, tmp_path, run=run_sleep, scheduler=address, fresh=True)
    assert (fresh["start"] > rows["end"].max()).all()
    # in the order of the cells, so that a stopped run leaves whole tables behind
    order = fresh.sort_values("start")["number"].to_numpy()
    assert abs(order - np.arange(10)).max() <= 3
    eventually(lambda: not cluster.scheduler.tasks)  # nor does the cluster keep anything


def test_a_killed_worker_costs_no_cell_and_none_is_there_twice(address, cluster, tmp_path):
    cells, seen = [Sleep(number, 0.2) for number in range(12)], []
    victim = cluster.workers[0].pid

    def kill(finished, total, row):
        seen.append((finished, row["number"]))
        if finished == 3:
            os.kill(victim, signal.SIGKILL)

    rows = run_cells(cells, tmp_path, run=run_sleep, scheduler=address, progress=kill)
    assert rows["number"].tolist() == list(range(12))
    assert [finished for finished, _ in seen] == list(range(1, 13))
    assert sorted(number for _, number in seen) == list(range(12))
    assert on_disk(tmp_path).keys() == {cell.name for cell in cells}
    on_victim = rows[rows["pid"] == victim]
    assert len(on_victim) < 6  # it was killed on the way
    assert len(rows[(rows["end"] > on_victim["end"].max())]) >= 4


def test_real_cells_are_those_of_this_machine_even_if_a_worker_is_killed(address, cluster, tmp_path):
    options = {"max_iter": 3, "n_rows": 20, "params": (("max_epochs", 8),)}
    cells = [Cell("breast_cancer", "vanilla", seed, ("random",), **options) for seed in range(6)]
    here = run_cells(cells, tmp_path / "here")

    def kill(finished, total, row):
        if finished == 1:
            os.kill(cluster.workers[1].pid, signal.SIGKILL)

    there = run_cells(cells, tmp_path / "there", scheduler=address, progress=kill)
    pd.testing.assert_frame_equal(there.drop(columns="fit_seconds"), here.drop(columns="fit_seconds"))
    assert on_disk(tmp_path / "there").keys() == on_disk(tmp_path / "here").keys() == {cell.name for cell in cells}
    pd.testing.assert_frame_equal(run_cells(cells, tmp_path / "there"), there)


def test_a_cell_that_kills_its_workers_is_named_after_all_others_are_finished(address, cluster, monkeypatch, tmp_path):
    # at once, because every replacement of a worker takes seconds
    monkeypatch.setattr(cluster.scheduler, "allowed_failures", 0)
    cells = [Sleep(number, deed="kill" if number == 1 else "") for number in range(10)]
    with pytest.raises(ChildProcessError, match=r"that ran sleep-1-0\.json died\..*logs.*same command") as raised:
        run_cells(cells, tmp_path, run=run_sleep, scheduler=address)
    assert isinstance(raised.value, OSError)  # which the command line tells in one sentence
    # nor is any lost that waited on the same worker, which Dask holds equally guilty
    assert on_disk(tmp_path).keys() == {cell.name for cell in cells} - {"sleep-1-0.json"}
    eventually(lambda: not cluster.scheduler.tasks)


def test_a_cell_that_dask_has_given_up_has_another_round(address, cluster, monkeypatch, tmp_path):
    monkeypatch.setattr(cluster.scheduler, "allowed_failures", 0)
    cells = [Sleep(0, deed="kill once", trace=str(tmp_path / "trace")), *(Sleep(number) for number in range(1, 6))]
    rows = run_cells(cells, tmp_path, run=run_sleep, scheduler=address)
    assert (tmp_path / "trace").exists()
    assert rows["number"].tolist() == list(range(6))
    assert len(on_disk(tmp_path)) == 6


def test_ctrl_c_keeps_what_is_finished_and_cancels_what_is_not(address, cluster, monkeypatch, tmp_path):
    cells = [Sleep(number, 0.2) for number in range(40)]
    # where the test run itself ignores SIGINT (a background job), nothing would happen
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    stop = threading.Timer(1.5, os.kill, (os.getpid(), signal.SIGINT))
    stop.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            run_cells(cells, tmp_path, run=run_sleep, scheduler=address)
    finally:
        stop.cancel()
        signal.signal(signal.SIGINT, before)
    kept = on_disk(tmp_path)
    assert 1 <= len(kept) < 40
    eventually(lambda: not cluster.scheduler.tasks)
    rows = run_cells(cells[: len(kept) + 4], tmp_path, run=run_sleep, scheduler=address)
    assert len(rows) == len(kept) + 4
    assert kept.items() <= on_disk(tmp_path).items()


@pytest.mark.parametrize(
    ("deed", "message"),
    [
        ("raise", r"^Cell sleep-1-0\.json: RuntimeError: the cell itself\n1 of 8 cells failed"),
        ("no file", f"OSError: On the worker {socket.gethostname()}: there are no such data"),
        ("differ", "another version of robustxai or another copy of a file that the cell reads"),
    ],
)
def test_the_error_of_a_cell_is_raised_here_when_all_others_are_finished(address, cluster, tmp_path, deed, message):
    cells = [Sleep(0, 0.0), Sleep(1, deed=deed), *(Sleep(number) for number in range(2, 8))]
    with pytest.raises(FailedCellsError, match=message) as raised:
        run_cells(cells, tmp_path, run=run_sleep, scheduler=address)
    assert raised.value.rows["number"].tolist() == [0, 2, 3, 4, 5, 6, 7]
    assert len(on_disk(tmp_path)) == 7
    assert "Traceback" in (tmp_path / "failures.txt").read_text(encoding="utf-8")
    eventually(lambda: not cluster.scheduler.tasks)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_cell_that_raises_keeps_no_other_from_running(tmp_path, n_jobs):
    cells = [Sleep(number, 0.0, deed="raise" if number in (1, 3) else "") for number in range(5)]
    with pytest.raises(FailedCellsError) as raised:
        run_cells(cells, tmp_path, run=run_sleep, n_jobs=n_jobs)
    (sentence,) = raised.value.sentences  # of both: they have the same reason
    assert sentence == "Cells sleep-1-0.json, sleep-3-0.json: RuntimeError: the cell itself"
    assert "2 of 5 cells failed" in raised.value.summary
    assert raised.value.rows["number"].tolist() == [0, 2, 4]
    assert on_disk(tmp_path).keys() == {f"sleep-{number}-0.json" for number in (0, 2, 4)}
    trace = (tmp_path / "failures.txt").read_text(encoding="utf-8")
    assert trace.count("RuntimeError: the cell itself") == 2
    again = [Sleep(number, 0.0) for number in range(5)]
    assert len(run_cells(again, tmp_path, run=run_sleep)) == 5
    assert not (tmp_path / "failures.txt").exists()  # and is gone when there are none


def test_a_killed_process_is_a_sentence_and_keeps_no_other_from_running(tmp_path):
    cells = [Sleep(number, 0.0, deed="kill" if number == 2 else "") for number in range(6)]
    with pytest.raises(
        FailedCellsError, match=r"^Cell sleep-2-0\.json: The process that ran it was killed, mostly"
    ) as raised:
        run_cells(cells, tmp_path, run=run_sleep, n_jobs=2)
    assert raised.value.rows["number"].tolist() == [0, 1, 3, 4, 5]


def test_a_process_that_is_killed_once_loses_no_cell(tmp_path):
    cells = [Sleep(0, 0.0, deed="kill once", trace=str(tmp_path / "trace")), *(Sleep(n, 0.0) for n in range(1, 5))]
    rows = run_cells(cells, tmp_path, run=run_sleep, n_jobs=2)
    assert (tmp_path / "trace").exists()
    assert rows["number"].tolist() == list(range(5))


def test_a_worker_without_the_library_is_told_so(address, tmp_path):
    """Dask itself would lose one worker after the other, and wait for ever."""
    with pytest.raises(ImportError, match=r"run the cell sleep-0-0\.json: No module named 'robustxai'\. All of them"):
        run_cells([Unreadable(0)], tmp_path, run=run_sleep, scheduler=address)


def test_a_worker_with_several_threads_runs_one_cell_at_a_time():
    rows = []
    cells = [Sleep(number) for number in range(3)]
    threads = [
        threading.Thread(target=lambda cell=cell: rows.append(_scheduler._run_on_worker(cell, cell.name, run_sleep)))
        for cell in cells
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows.sort(key=lambda row: row["start"])
    assert all(first["end"] <= second["start"] for first, second in pairwise(rows))


def test_a_scheduler_without_workers_is_waited_for_aloud(impatient, tmp_path):
    with distributed.LocalCluster(n_workers=0, **WITHIN) as empty:
        grow = threading.Timer(1.0, empty.scale, (1,))
        grow.start()
        with pytest.warns(
            UserWarning, match=r"no workers\. Start some with 'dask worker tcp://.* --nthreads 1'"
        ) as told:
            rows = run_cells([Sleep(0)], tmp_path, run=run_sleep, scheduler=empty.scheduler_address)
        grow.join()
    assert len(rows) == len(told) == 1


def test_a_scheduler_that_is_gone_on_the_way(impatient, tmp_path):
    cells = [Sleep(number) for number in range(50)]
    with distributed.LocalCluster(n_workers=1, **WITHIN) as vanishing:

        def vanish(finished, total, row):
            if finished == 3:
                vanishing.close()

        with pytest.raises(ConnectionError, match=r"at tcp://.* was lost\. Finished cells are kept"):
            run_cells(cells, tmp_path, run=run_sleep, scheduler=vanishing.scheduler_address, progress=vanish)
    assert 3 <= len(on_disk(tmp_path)) < 50


@pytest.mark.parametrize("listener", ["none", "silent", "another"])
def test_an_address_where_no_scheduler_is(impatient, tmp_path, listener):
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        if listener != "none":
            server.listen()
        if listener == "another":

            def answer():
                connection, _ = server.accept()
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

            threading.Thread(target=answer, daemon=True).start()
        start = time.monotonic()
        with pytest.raises(ConnectionError, match=rf"No Dask scheduler answers at {address}\. Start one"):
            run_cells([Sleep(0)], tmp_path, run=run_sleep, scheduler=address)
        assert time.monotonic() - start < 5


@pytest.mark.parametrize("address", ["", "localhost", "nonsense://localhost:8786"])
def test_what_is_no_address(tmp_path, address):
    with pytest.raises(ValueError, match="is not an address like tcp://host:8786"):
        run_cells([Sleep(0)], tmp_path, run=run_sleep, scheduler=address)


def test_without_dask_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ImportError, match=r"pip install 'robustxai\[distributed\]'"):
        run_cells([Sleep(0)], tmp_path, run=run_sleep, scheduler="tcp://localhost:8786")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(run_cells([Sleep(0)], tmp_path, run=run_sleep)) == 1  # which does without
