"""Telemetry of libraries, which is switched off: nothing about a data set or its speakers is sent to anybody."""

from __future__ import annotations

import os

SWITCHES = {
    "ORT_DISABLE_TELEMETRY": "1",  # onnxruntime 1.32 stores a device id and sends events to Microsoft
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}
"""Environment variables, read when a library is imported or started, and their values; those of the user are kept."""


def disable_telemetry() -> None:
    """Sets the environment variables of this process and its children; call it before the libraries are imported."""
    for name, value in SWITCHES.items():
        os.environ.setdefault(name, value)
