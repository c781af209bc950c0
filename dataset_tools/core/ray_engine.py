"""Ray engine: `dataset_tools.core.execution.run_each` on a cluster.

Every node must have the same version of the toolkit, and the workspace and the footage under the same paths. A task
whose node dies is resubmitted; one whose worker dies is retried once, alone. Ray's own retries are disabled: they would
repeat tasks that run out of memory over and over. Running a task twice is harmless: files appear only when complete.
"""

from __future__ import annotations

import importlib
import os
import pickle
import socket
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Generic, TypeVar

from dataset_tools.core.errors import InputError, SampleError, StoppedError
from dataset_tools.core.execution import Outcome, outcome_of, running_elsewhere, worker_died
from dataset_tools.core.extras import install_command
from dataset_tools.core.telemetry import disable_telemetry

RETRIES = 3
"""Number of retries of a task whose node died."""

CONNECT_TIMEOUT_S = 5.0

T = TypeVar("T")
R = TypeVar("R")


@contextmanager
def on_ray(address: str | None, jobs: int) -> Iterator[None]:
    """Makes `run_each` run on a Ray cluster within this context.

    Args:
        address: address of the cluster's head, ``host:port``; None starts Ray on this machine.
        jobs: number of processes if Ray is started on this machine.

    Raises:
        InputError: Ray is not installed.
        StoppedError: there is no cluster at the address, or it was lost.
    """
    disable_telemetry()
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        ray = _ray()
    except ImportError as error:
        raise InputError(
            "Ray is not installed",
            where="--engine ray",
            expected="the package ray",
            next_step=f"{install_command('ray')}, on every node; or leave out --engine ray",
        ) from error
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": False}
    here = {"num_cpus": jobs, "include_dashboard": False}
    try:
        _check_reachable(address)
        ray.init(address=address or "local", **options, **({} if address else here))
    except (OSError, RuntimeError, ValueError) as error:
        raise StoppedError(
            f"The Ray cluster cannot be reached: {str(error).splitlines()[0] if str(error) else type(error).__name__}",
            where=address or "this machine",
            expected="the address of a running head, such as 10.0.0.1:6379",
            next_step="start it with ray start --head, then give its address with --address",
        ) from error
    try:
        with running_elsewhere(_run_each):
            yield
    except ray.exceptions.RaySystemError as error:
        raise StoppedError(
            f"The Ray cluster was lost: {error}",
            where=address or "this machine",
            next_step="start it again, then run the same command again to resume",
        ) from error
    finally:
        ray.shutdown()


def _check_reachable(address: str | None) -> None:
    """Fails at once if nothing listens at the address, instead of after Ray's timeout of a minute."""
    host, colon, port = (address or "").rpartition(":")
    if colon and port.isdigit() and "/" not in host:
        socket.create_connection((host, int(port)), timeout=CONNECT_TIMEOUT_S).close()


def _ray() -> Any:
    return importlib.import_module("ray")  # only partly typed


@dataclass(frozen=True)
class _Try(Generic[T]):
    item: T
    nodes_lost: int = 0
    alone: bool = False


def _run_each(
    function: Callable[[T], R], items: Iterable[T], key: Callable[[T], str], parts: Callable[[T], Sequence[T]]
) -> Generator[Outcome[T, R], None, None]:
    """`run_each` on the cluster that this process is connected to; items that killed a worker run last, one by one."""
    ray = _ray()
    task = ray.remote(num_cpus=1, max_retries=0, retry_exceptions=False)(_call)
    remaining = (_Try(item) for item in items)
    suspects: list[_Try[T]] = []
    pending: dict[Any, _Try[T]] = {}
    try:
        while True:
            # Two items per CPU: one running, one queued. Nodes may come and go, so CPUs are counted each time.
            room = 2 * max(1, int(ray.cluster_resources().get("CPU", 1)))
            tries = list(islice(remaining, max(0, room - len(pending))))
            if not tries and not pending:
                tries, suspects = suspects[:1], suspects[1:]
            for attempt in tries:
                pending[task.remote(function, attempt.item)] = attempt
            if not pending:
                return
            done, _ = ray.wait(list(pending), num_returns=1)
            for reference in done:
                attempt = pending.pop(reference)
                try:
                    result, raised = _answer(reference)
                except ray.exceptions.RaySystemError:
                    raise
                except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError) as error:
                    if not attempt.alone:
                        suspects += [replace(attempt, item=item, alone=True) for item in parts(attempt.item)]
                        continue
                    why = f", with no other at work beside it: {type(error).__name__}; memory probably ran out"
                    result, raised = None, worker_died(f"died{why}")
                except ray.exceptions.RayError as error:
                    if attempt.nodes_lost < RETRIES:
                        pending[task.remote(function, attempt.item)] = replace(
                            attempt, nodes_lost=attempt.nodes_lost + 1
                        )
                        continue
                    result, raised = None, _node_lost(error)
                yield outcome_of(attempt.item, result, raised, key(attempt.item))
    finally:
        for reference in pending:
            with suppress(Exception):
                ray.cancel(reference, force=True)


def _call(function: Callable[[T], R], item: T) -> tuple[bytes | None, bytes]:
    """Runs on a node; returns the pickled result and an empty string, or None and the pickled exception."""
    try:
        return pickle.dumps(function(item)), b""
    except BaseException as error:
        try:
            pickle.loads(content := pickle.dumps(error))
        except Exception:
            content = pickle.dumps(SampleError(f"{type(error).__name__}: {error}"))
        return None, content


def _answer(reference: Any) -> tuple[Any, BaseException | None]:
    """Returns the result of a task and None, or None and the exception that it raised."""
    result, error = _ray().get(reference)
    return (pickle.loads(result), None) if result is not None else (None, pickle.loads(error))


def _node_lost(lost: Exception) -> SampleError:
    return SampleError(
        f"The node that processed it was lost {RETRIES + 1} times: {type(lost).__name__}",
        expected="a node that lives until the sample is done",
        next_step="find out why the nodes fail, then run fmn-data retry",
    )
