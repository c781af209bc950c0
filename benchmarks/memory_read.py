"""Benchmark of reading the memories for a large gallery: time and peak memory, against plain matrix products.

    python benchmarks/memory_read.py [--rows 1000000] [--queries 32] [--slots 50] [--dim 128] [--device auto|cpu|cuda]

The limit is the two matrix products that every read needs: the gallery's cosines with the slots [N, X], and their
product with those of the queries, [N, X] × [X, M]. Peak memory is the maximum in addition to gallery and result. The
size that a tensor of all pairs and slots, N × M × X, would have is printed for comparison.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fmn.data.loading import find_device
from fmn.models.memory import FeatureMemory

READS = ("max", "softmax")


def filled(slots: int, dim: int, device: torch.device) -> FeatureMemory:
    """A memory with every slot in use."""
    torch.manual_seed(0)
    memory = FeatureMemory(slots, dim, dim, novelty_threshold=1.0).to(device)
    rows = torch.randn(2, slots, dim, device=device)
    memory.write(rows[0], rows[1], torch.ones(slots, device=device), score_threshold=0.5)
    assert memory.size == slots
    return memory


def measured(
    kind: str, rows: int, queries: int, slots: int, dim: int, device_name: str, threads: int
) -> dict[str, Any]:
    """Seconds and peak memory (MiB) of a read, or of the plain products (``kind`` limit); in a separate process."""
    torch.set_num_threads(threads)
    device = torch.device(device_name)
    memory = filled(slots, dim, device)
    gallery = torch.randn(rows, dim, device=device)
    query_vectors = torch.randn(queries, dim, device=device)

    def limit(rows: Tensor) -> Tensor:
        return (rows @ memory.video_slots.T) @ (query_vectors @ memory.audio_slots.T).T

    def read(rows: Tensor) -> Tensor:
        return memory.read(rows, query_vectors, reduce=kind)  # type: ignore[arg-type]

    work: Callable[[Tensor], Tensor] = limit if kind == "limit" else read
    with torch.no_grad():
        work(gallery[:1000])  # warms up
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        before = _peak(device)
        started, busy = time.perf_counter(), time.process_time()
        result = work(gallery)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds, busy = time.perf_counter() - started, time.process_time() - busy
    extra = max(0, _peak(device) - before - result.nbytes)
    return {"seconds": seconds, "processor_seconds": busy, "peak_mb": extra / 2**20}


def _peak(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if status.is_file():  # Linux: ru_maxrss would include the parent's memory
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=32)
    parser.add_argument("--slots", type=int, default=50)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=2, help="torch threads on the CPU")
    options = parser.parse_args(arguments)
    device = find_device(options.device)
    sizes = (options.rows, options.queries, options.slots, options.dim)
    found: dict[str, Any] = dict(zip(("rows", "queries", "slots", "dim"), sizes, strict=True))
    found["device"] = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {options.threads} threads"
    context = get_context("forkserver")
    context.set_forkserver_preload(["torch", FeatureMemory.__module__])  # once, not in each process
    with context.Pool(1, maxtasksperchild=1) as pool:
        for kind in ("limit", *READS):
            found[kind] = pool.apply(measured, (kind, *sizes, str(device), options.threads))
    whole_gb = options.rows * options.queries * options.slots * 4 / 2**30
    result_mb = options.rows * options.queries * 4 / 2**20
    print(
        f"{found['device']}: {options.rows:,} × {options.queries} pairs, {options.slots} slots, {options.dim} numbers"
    )
    print(f"  {'':<15}{'seconds':>9}{'CPU s':>13}{'extra MB':>11}")
    for kind in ("limit", *READS):
        row, name = found[kind], "plain products" if kind == "limit" else f"read, {kind}"
        unit = "processor_seconds" if device.type == "cpu" else "seconds"  # the cores may have other load
        row["ratio"] = row[unit] / max(found["limit"][unit], 1e-9)
        ratio = "" if kind == "limit" else f"   {row['ratio']:.1f} × the plain products"
        print(f"  {name:<15}{row['seconds']:9.3f}{row['processor_seconds']:13.3f}{row['peak_mb']:11.0f}{ratio}")
    print(f"  (the result itself: {result_mb:,.0f} MB; a tensor of all pairs and slots: {whole_gb:,.1f} GB)")
    print(json.dumps(found))
    return found


if __name__ == "__main__":
    main()
