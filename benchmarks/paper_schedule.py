"""Benchmark of the paper's schedule at full size: some epochs, extrapolated to all 500, and peak memory.

    python benchmarks/paper_schedule.py [--epochs 20] [--device auto|cpu|cuda] [--set KEY=VALUE …]

24,500 pairs per epoch (20 classes of 35 clips and 35 utterances), batch 64, U = 1024, on the synthetic features of
training_loop.py. Prints a line of JSON with the results so far after every epoch, so that a killed run has results.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from statistics import median
from typing import Any

import torch
from training_loop import PAPER_EPOCHS, made_up, model_of, peak_gb, synchronize

from fmn.cli.options import settings_of
from fmn.config import PAPER, with_values
from fmn.data.loading import find_device
from fmn.training.trainer import TrainingLoop


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--most-s", type=float, default=420, help="seconds after which no further epoch starts")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="configuration values")
    options = parser.parse_args(arguments)
    device = find_device(options.device)
    config = with_values(PAPER, settings_of(options.set))
    data, parts, _, _ = made_up(config, device)
    loop = TrainingLoop(config, model_of(config, data, parts), data, parts)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    found: dict[str, Any] = {"device": name, "amp": config.training.amp, "pairs_per_epoch": loop.pairs_per_epoch}
    seconds: list[float] = []
    for number in range(1, options.epochs + 1):
        synchronize(device)
        started = time.perf_counter()
        figures = loop.run_epoch(number, lambda done: None)
        synchronize(device)
        seconds.append(time.perf_counter() - started)
        epoch_s = median(seconds[1:] or seconds)  # the first one warms up
        found |= {"epochs": number, "epoch_s": epoch_s, "schedule_h": PAPER_EPOCHS * epoch_s / 3600}
        found |= {
            "pairs_per_s": loop.pairs_per_epoch / epoch_s,
            "loss": figures["loss"],
            "peak_memory_gb": peak_gb(device),
        }
        print(json.dumps(found), flush=True)
        if sum(seconds) + epoch_s > options.most_s:
            break
    return found


if __name__ == "__main__":
    main()
