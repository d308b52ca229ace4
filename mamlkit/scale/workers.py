"""Cells and notebooks over workers: `dask.distributed` hands the work out, and what a worker that
dies had begun goes to another, which goes on from its last checkpoint."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any
from uuid import uuid4

from mamlkit.bank import process, work
from mamlkit.bank.experiment import path
from mamlkit.bank.process import Ended
from mamlkit.boundary import whole

LOOPBACK = "127.0.0.1"
MOST = 1_000  # workers on one machine: each is a process of its own


@contextmanager
def workers(
    number: int | None = None, scheduler: str | None = None, patience: float = 20.0
) -> Iterator[Any]:
    """A `distributed.Client` while the body runs.

    number: how many workers it starts on this machine, one core each; they end with the body, and
    with this process. Scheduler and dashboard listen on this machine alone. scheduler: the address
    of one that runs already, e.g. "tcp://10.0.0.7:8786"; its workers must see this folder.
    patience: seconds to wait for its answer.
    Raises ValueError if both are given, for another number than 1 to MOST, and if the scheduler
    does not answer.
    """
    from distributed import Client, LocalCluster

    if number is not None and scheduler is not None:
        raise ValueError("--workers starts workers here and --scheduler uses others: give one")
    if scheduler is not None:
        try:
            client = Client(scheduler, timeout=patience)
        except (OSError, ValueError, TimeoutError) as error:
            raise ValueError(f"no scheduler answers at {scheduler}: {error}") from None
        with client:
            yield client
        return
    with (
        LocalCluster(
            n_workers=whole("workers", number, 1, MOST),
            threads_per_worker=1,
            host=LOOPBACK,
            dashboard_address=f"{LOOPBACK}:0",
            memory_limit=None,
            silence_logs=logging.ERROR,
        ) as cluster,
        Client(cluster) as client,
    ):
        work.tell(f"{number} workers on this machine; dashboard: {client.dashboard_link}")
        yield client


def spread(
    client: Any, calls: Mapping[Any, Callable[[], Any]], seconds: float | None = None
) -> Iterator[tuple[Any, Ended]]:
    """Makes each call in a process of its own on some worker; yields (its key, how it ended), in
    the order in which they end.

    What the processes print is printed here. After `seconds`, and on Ctrl-C, those that run are
    interrupted and the others do not begin. calls: by any key; each can be pickled, e.g. a
    `partial`. A call whose worker dies is made again by another worker, up to three times.
    """
    from distributed import Event, as_completed

    topic = f"mamlkit-{uuid4().hex}"
    stop, stopped = Event(topic, client), False
    client.subscribe_topic(topic, lambda event: work.tell(event[1]))
    running = {client.submit(_call, call, topic, pure=False): key for key, call in calls.items()}
    while running:
        try:
            for future in as_completed([*running], timeout=None if stopped else seconds):
                yield running.pop(future), _ended(future)
        except (KeyboardInterrupt, TimeoutError):
            if stopped:  # the second Ctrl-C
                raise
            stopped = True
            stop.set()
    client.unsubscribe_topic(topic)


def bank(
    jobs: list[work.Job],
    minutes: float | None = None,
    number: int | None = None,
    scheduler: str | None = None,
) -> int:
    """`bank.work.run`, over workers where some are asked for: the same words, exit status and
    files. number, scheduler: see `workers`."""
    if not jobs or number is None and scheduler is None:
        return work.run(jobs, minutes)
    with workers(number, scheduler) as client:
        return over(client, jobs, minutes)


def over(client: Any, jobs: list[work.Job], minutes: float | None = None) -> int:
    """Makes cells over the workers of a client and says how each ended; the exit status of
    `bank`."""
    for job in jobs:
        left = work.in_words(job.experiment.cost(job.setting))
        work.tell(f"{job.name}: {left} of one core, or so")
    patience = 2 * process.PATIENCE  # one whose worker died may still be saving
    calls = {number: partial(work.cell, job, patience) for number, job in enumerate(jobs)}
    statuses = {}
    for number, how in spread(client, calls, minutes and minutes * 60):
        job = jobs[number]
        status = work.ended(job, how)
        if status == "banked" and not path(job.experiment, job.cell, job.budget).exists():
            work.tell(f"{job.name} is kept where its worker is, which this machine does not see")
            status = "failed"
        statuses[number] = status
    # Workers end in any order; what is said at the end keeps the order of the jobs.
    that = lambda status: [job for n, job in enumerate(jobs) if statuses[n] == status]
    return work.closing(that("failed"), that("interrupted"))


@contextmanager
def rows(number: int | None = None, scheduler: str | None = None) -> Iterator[Callable | None]:
    """How `book.sweep` makes its rows: over workers, or None where none are asked for."""
    if number is None and scheduler is None:
        yield None
        return
    with workers(number, scheduler) as client:

        def each(calls):
            for key, how in spread(client, calls):
                if how.status == "interrupted":
                    raise KeyboardInterrupt
                yield key, how.value

        yield each


def _call(call: Callable[[], Any], topic: str) -> Ended:
    """On a worker: makes a call in a process, as long as somebody waits for it."""
    from distributed import Event, get_worker

    worker = get_worker()
    me, stop = worker.get_current_task(), Event(topic)

    def wanted():
        mine = worker.state.tasks.get(me)  # a client that is gone has its tasks cancelled
        return mine is not None and mine.state == "executing" and not stop.is_set()

    if not wanted():
        return Ended("interrupted", None, 0.0)
    return process.call(call, wanted=wanted, hear=partial(worker.log_event, topic))


def _ended(future) -> Ended:
    """What a future holds, or why it has failed, said."""
    if future.status == "finished":
        return future.result()
    work.tell(f"A worker failed: {future.exception()!r}")
    return Ended("failed", None, 0.0)
