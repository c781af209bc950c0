from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_every_tensor_is_on_the_device_of_the_model() -> None:
    """Training, evaluation, search and features on a device that refuses tensors of the CPU, in another process."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        Path(__file__).parent / "simulated_device",
    ]
    done = subprocess.run(
        command, env=environment | {"FMN_SIMULATED_DEVICE": "1"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\n[1-9]\d passed", done.stdout)
