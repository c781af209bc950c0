"""Number of CPU cores that this process may use: its affinity, and the CPU quota of its container.

Not by joblib or loky, which know quotas: nothing else of the toolkit needs them, and importing them takes longer than
a command's help. `os.process_cpu_count` (Python 3.13) knows affinity only.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path


def usable_cores(system: Path = Path("/")) -> int:
    """Returns the number of cores that may be used, at least 1; a quota of 1.5 cores counts as 2.

    Docker (``--cpus``), Kubernetes (CPU limits) and systemd (``CPUQuota``) set a quota with cgroups, version 1 or 2.

    Args:
        system: folder that has ``proc`` and ``sys``.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    return max(1, min([cores, *(math.ceil(quota) for quota in _quotas(system))]))


def _quotas(system: Path) -> Iterator[float]:
    """Yields the quotas, in cores, of the control group of this process and of those above it."""
    groups = system / "sys" / "fs" / "cgroup"
    for line in _text(system / "proc" / "self" / "cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0":  # version 2
            folders = [groups, groups / "unified"]
        elif "cpu" in controllers.split(","):
            folders = [groups / controllers, groups / "cpu"]
        else:
            continue
        parts = [part for part in path.split("/") if part not in ("", "..")]  # of a container, it may lie outside
        for folder in folders:
            for end in range(len(parts) + 1):
                yield from _quota_in(folder.joinpath(*parts[:end]))


def _quota_in(folder: Path) -> Iterator[float]:
    """Yields the quota of one control group, if it has one: ``max`` and -1 are none."""
    of_v1 = f"{_text(folder / 'cpu.cfs_quota_us')} {_text(folder / 'cpu.cfs_period_us')}"
    for text in (_text(folder / "cpu.max"), of_v1):
        match text.split():
            case [quota, period] if quota.isdecimal() and period.isdecimal() and int(period) > 0:
                yield int(quota) / int(period)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, ValueError):
        return ""
