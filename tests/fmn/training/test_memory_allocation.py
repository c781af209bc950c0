from __future__ import annotations

import platform
import subprocess
import sys

import pytest

# Pages that the system has to clear while 20 arrays of 64 MB are made, one after the other.
FAULTS = """
import resource
import numpy as np
from fmn.training.memory_allocation import keep_freed_memory

if {kept}:
    keep_freed_memory()
np.ones(1 << 23)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    np.ones(1 << 23)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.parametrize("kept", [True, False])
def test_freed_memory_is_used_again(kept: bool) -> None:
    found = subprocess.run([sys.executable, "-c", FAULTS.format(kept=kept)], capture_output=True, text=True, check=True)
    faults = int(found.stdout)
    if kept and platform.libc_ver()[0] == "glibc":
        assert faults < 20  # none of its own
    else:
        assert faults >= 20 * 32  # 64 MB in pages of 2 MB, or in many more of 4 KB


# Of 256 MB in pieces of 1 MB every other one is freed, the last one not: what lies between stays, without a trim.
SCATTERED = """
from pathlib import Path
import numpy as np
from fmn.training.memory_allocation import give_back_freed_memory, keep_freed_memory

def resident_mb():
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) // 1024

keep_freed_memory()
before = resident_mb()
pieces = [np.ones(1 << 17) for _ in range(256)]
pieces = pieces[1::2]
kept = resident_mb() - before
give_back_freed_memory()
print(kept, resident_mb() - before)
"""


def test_freed_memory_is_given_back_when_asked_for() -> None:
    found = subprocess.run([sys.executable, "-c", SCATTERED], capture_output=True, text=True, check=True)
    kept_mb, left_mb = map(int, found.stdout.split())
    assert kept_mb >= 120
    if platform.libc_ver()[0] == "glibc":
        assert kept_mb >= 250
        assert left_mb <= 150  # half of it, and what the interpreter took
