"""These tests are collected only where `tests/fmn/test_simulated_device.py` runs them, in a process of their own.

With a device besides the CPU, torch computes gradients in threads, and the tests of several processes fork this one.
"""

from __future__ import annotations

import os

if "FMN_SIMULATED_DEVICE" not in os.environ:
    collect_ignore_glob = ["test_*.py"]
