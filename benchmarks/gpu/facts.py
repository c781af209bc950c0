"""Environment facts as one line of JSON: machine, GPU, package versions; fails if the device cannot be used."""

from __future__ import annotations

import argparse
import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "torchaudio", "torchvision", "numpy", "av", "opencv-python-headless", "pytorchvideo", "pytest")


def facts(device_name: str) -> dict[str, Any]:
    """Processor, card, versions."""
    import torch

    device = torch.device(device_name)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SystemExit("There is no card that torch can use (a rehearsal without one: make gpu DEVICE=cpu)")
    torch.ones(8, device=device).sum().item()
    found: dict[str, Any] = {"machine": f"CPU, {os.cpu_count()} cores", "python": platform.python_version()}
    found |= {"cores": os.cpu_count(), "processor": _processor(), "kernel": platform.release()}
    if device.type == "cuda":
        card = torch.cuda.get_device_properties(device)
        found |= {
            "machine": card.name,
            "memory_gb": round(card.total_memory / 2**30, 1),
            "capability": f"{card.major}.{card.minor}",
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        }
    return found | {"packages": {name: _version(name) for name in PACKAGES}}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        with Path("/proc/cpuinfo").open() as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    print(json.dumps(facts(parser.parse_args().device)))
