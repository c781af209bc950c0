from __future__ import annotations

import platform
import subprocess
import sys

import pytest

# Pages that the system has to clear while 20 arrays of 64 MB are made, one after the other.
FAULTS = """
import resource
import numpy as np
from fmn.allocation import keep_freed_memory

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
