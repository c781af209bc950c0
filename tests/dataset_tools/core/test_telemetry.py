"""No library stores an identifier of the device, or what it would send."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dataset_tools.core.telemetry import SWITCHES, disable_telemetry

LOADING = """
import sys
from fmn.features.encoders.light_speech import FILES
from fmn.features.encoders.libraries import library, package_file
if sys.argv[1] == "encoder":
    runtime = library("onnxruntime", "light")
else:
    from dataset_tools.speech.engines.piper import _runtime
    runtime = _runtime()
file, sha256 = max(FILES.items())
runtime.InferenceSession(package_file("openwakeword", "resources", "models", file, sha256=sha256))
"""


@pytest.mark.parametrize("user", ["encoder", "voice"])
def test_onnxruntime_writes_nothing_to_the_home_directory(tmp_path: Path, user: str) -> None:
    unset = {name: value for name, value in os.environ.items() if name not in {*SWITCHES, "XDG_CACHE_HOME"}}
    command = [sys.executable, "-c", LOADING, user]
    subprocess.run(command, env=unset | {"HOME": str(tmp_path)}, check=True, timeout=60)
    assert not [*tmp_path.iterdir()]


def test_what_the_user_set_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "1")
    disable_telemetry()
    assert (os.environ["ORT_DISABLE_TELEMETRY"], os.environ["RAY_USAGE_STATS_ENABLED"]) == ("1", "1")
