"""The steps of ``make gpu``: command, time limit, and part (``STEP=``) of each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

PART_LIMIT_S = 540
"""Time limit of a part, with the environment that every call begins with; the limits of its steps add up to less."""

TINY_MODEL = (
    "--set",
    "model.hidden_size=8",
    "model.embed_dim=16",
    "model.head_hidden_size=16",
    "training.batch_size=16",
)
TINY_VIDEO = ("--set", "video.width=0.0625", "video.resize_px=64", "video.crop_px=64", "video.window_frames=16")


@dataclass(frozen=True)
class Step:
    """One command of the check.

    Attributes:
        name: of its files in the results, NAME.json and NAME.log.
        part: the ``STEP=`` that runs it; 0 is part of every one.
        limit_s: when it is killed.
        command: arguments behind the Python interpreter.
    """

    name: str
    part: int
    limit_s: int
    command: tuple[str, ...]


def steps(device: str) -> list[Step]:
    """All steps in their order; on the CPU, where this is a rehearsal, with tiny sizes.

    Args:
        device: ``cuda``, ``cuda:1``, … or ``cpu``.
    """
    on_cpu = device == "cpu"

    def tests(name: str, part: int, limit_s: int, *rehearsed: str) -> Step:
        # Warnings of other versions than ours must not fail the check; nor must plugins that happen to be installed.
        lenient = ("-W", "default", "-p", "pytest_timeout", "-p", "no:cacheprovider")
        # The conftest.py of all tests imports packages that only building a data set needs.
        shown = ("-v", "-s", "--tb=short", "--confcutdir=tests/gpu")
        chosen = ("-k", " or ".join(rehearsed)) if on_cpu and rehearsed else ()
        return Step(name, part, limit_s, ("-m", "pytest", *shown, *lenient, f"tests/gpu/test_{name}.py", *chosen))

    def benchmark(
        name: str, file: str, limit_s: int, full: Sequence[str], tiny: Sequence[str], *, part: int = 3
    ) -> Step:
        return Step(name, part, limit_s, (f"benchmarks/{file}.py", "--device", device, *(tiny if on_cpu else full)))

    few = ("--pairs", "32", "--repeats", "1")
    return [
        tests("agreement", 1, 90),
        tests("training", 1, 270),
        tests("features", 1, 110, "demo"),
        tests("commands", 2, 240),
        tests("baselines", 2, 230, "class_towers", "two_classifiers"),  # every test run trains all of them on the CPU
        benchmark("training_demo", "training_loop", 60, (), (*few, *TINY_MODEL)),
        benchmark(
            "training_paper", "training_loop", 120, ("--preset", "paper"), ("--preset", "paper", *few, *TINY_MODEL)
        ),
        benchmark(
            "feature_extraction",
            "feature_extraction",
            140,
            ("--preset", "paper", "--clips", "32", "--rounds", "2", "--jobs", str(os.cpu_count() or 2)),
            ("--preset", "paper", "--clips", "2", "--rounds", "1", "--jobs", "2", *TINY_VIDEO),
        ),
        benchmark("memory_read", "memory_read", 60, (), ("--rows", "4000")),
        benchmark("profile", "profile_step", 60, (), TINY_MODEL),
        benchmark(
            "paper_schedule",
            "paper_schedule",
            300,
            ("--most-s", "250"),
            ("--epochs", "2", *TINY_MODEL, "training.pairs_per_epoch=64"),
            part=4,
        ),
    ]
