"""Cores that may be used: the quota of a container counts, not only the cores of its machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dataset_tools.core.cores import usable_cores


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)))


def write(system: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (system / name).parent.mkdir(parents=True, exist_ok=True)
        (system / name).write_text(text)
    return system


V2, V1 = "sys/fs/cgroup", "sys/fs/cgroup/cpu,cpuacct"


@pytest.mark.parametrize(
    ("groups", "files", "cores"),
    [
        ("0::/\n", {}, 8),
        ("0::/\n", {f"{V2}/cpu.max": "max 100000\n"}, 8),
        ("0::/\n", {f"{V2}/cpu.max": "200000 100000\n"}, 2),  # docker run --cpus 2
        ("0::/\n", {f"{V2}/cpu.max": "150000 100000\n"}, 2),
        ("0::/\n", {f"{V2}/cpu.max": "5000 100000\n"}, 1),
        ("0::/\n", {f"{V2}/cpu.max": "1600000 100000\n"}, 8),
        ("0::/a.slice/b.service\n", {f"{V2}/a.slice/cpu.max": "300000 100000\n"}, 3),  # systemd's CPUQuota, of a parent
        ("0::/../../pod7\n", {f"{V2}/cpu.max": "400000 100000\n"}, 4),
        (
            "4:cpu,cpuacct:/docker/7\n1:name=systemd:/\n0::/\n",
            {f"{V1}/cpu.cfs_quota_us": "300000\n", f"{V1}/cpu.cfs_period_us": "100000\n"},
            3,
        ),
        ("1:cpu:/\n", {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "1\n"}, 8),
        ("5:cpuset:/\n\xff", {f"{V2}/cpu.max": "100000 0\n"}, 8),
    ],
)
def test_a_quota_counts(tmp_path: Path, groups: str, files: dict[str, str], cores: int) -> None:
    assert usable_cores(write(tmp_path, {"proc/self/cgroup": groups, **files})) == cores


def test_a_system_without_control_groups_has_all_its_cores(tmp_path: Path) -> None:
    assert usable_cores(tmp_path) == 8
