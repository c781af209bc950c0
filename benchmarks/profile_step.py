"""Profile of one training step with torch.profiler: which operations bound the trainer.

python benchmarks/profile_step.py [--preset paper|demo] [--device auto|cpu|cuda] [--rows 25] [--set KEY=VALUE …]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile
from training_loop import made_up, model_of, peak_gb, synchronize

from fmn.cli.options import settings_of
from fmn.config import preset, with_values
from fmn.data.loading import find_device
from fmn.training.trainer import TrainingLoop


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--preset", choices=["demo", "paper"], default="paper")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--rows", type=int, default=25, help="rows of the table")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="configuration values")
    options = parser.parse_args(arguments)
    device = find_device(options.device)
    on_cpu = device.type == "cpu"
    config = with_values(preset(options.preset), settings_of(options.set))
    data, parts, _, _ = made_up(config, device)
    loop = TrainingLoop(config, model_of(config, data, parts), data, parts)

    def train_steps(epoch: int, count: int) -> float:
        """Seconds of ``count`` steps, without writing the memories at the end of the epoch."""
        pairs = count * config.training.batch_size
        loop.pairs_per_epoch = pairs
        loop.config = replace(config, training=replace(config.training, pairs_per_epoch=pairs))
        synchronize(device)
        started = time.perf_counter()
        loop._run_batches(epoch, lambda done: None)
        synchronize(device)
        return time.perf_counter() - started

    train_steps(1, 3)  # warms up
    plain_s = train_steps(2, 5) / 5
    with profile(activities=[ProfilerActivity.CPU] + ([] if on_cpu else [ProfilerActivity.CUDA])) as profiler:
        profiled_s = train_steps(3, 1)
    averages = profiler.key_averages()
    operations = [event for event in averages if event.device_type == DeviceType.CPU]  # without their kernels
    print(averages.table(sort_by=f"self_{device.type}_time_total", row_limit=options.rows, max_name_column_width=60))

    def own_us(event: Any) -> float:
        return float(event.self_cpu_time_total if on_cpu else event.self_device_time_total)

    costly = sorted(operations, key=own_us, reverse=True)[: options.rows]
    found: dict[str, Any] = {
        "device": "CPU" if on_cpu else torch.cuda.get_device_name(device),
        "amp": config.training.amp,
        "step_ms": 1000 * plain_s,
        "profiled_step_ms": 1000 * profiled_s,
        "busy_ms": sum(map(own_us, operations)) / 1000,
        "peak_memory_gb": peak_gb(device),
        "operations": [{"name": one.key, "calls": one.count, "ms": own_us(one) / 1000} for one in costly],
    }
    print(json.dumps(found))
    return found


if __name__ == "__main__":
    main()
