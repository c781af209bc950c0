"""Ranking a large gallery for one query: milliseconds from the query's codes to the best 25, against a matrix product.

    python benchmarks/search_latency.py [--rows 100000] [--slots 50] [--dim 256] [--threads 2] [--queries 20]

The model is FMN with the sizes of the preset demo and made-up weights; the gallery's codes are made up, too. The limit
is a plain product of the gallery's codes [N, D] with those of the query [D, 1]: what a search by cosines would take.
`fmn serve` answers as soon as the best are known, and says why; its aim is 200 ms on two cores for 100,000 clips.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from multiprocessing import get_context
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from fmn.config import Config, preset
from fmn.models.fmn import FeatureMemoryNetwork
from fmn.models.retrieval_model import score_matrix
from fmn.search.search_results import best_of
from fmn.torch_threads import threads

TOP = 25
AIM_MS = 200


def model_of(config: Config, dim: int, slots: int) -> FeatureMemoryNetwork:
    """FMN whose slots are all in use."""
    torch.manual_seed(0)
    sizes = replace(config, model=replace(config.model, embed_dim=dim), memory=replace(config.memory, capacity=slots))
    model = FeatureMemoryNetwork(sizes, 128, 60)
    rows = functional.normalize(torch.randn(2, slots, dim), dim=-1)
    model.memory.write(rows[0], rows[1], torch.ones(slots), classes=torch.arange(slots))
    assert model.memory.size == slots
    return model.eval()


def times(work: Callable[[], object], repeats: int) -> dict[str, float]:
    """Median time of a call, after one that is not counted, and the processor time of all threads."""
    work()
    taken, busy = [], time.process_time()
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        taken.append(1000 * (time.perf_counter() - started))
    return {"ms": float(np.median(taken)), "processor_ms": 1000 * (time.process_time() - busy) / repeats}


def measured(rows: int, dim: int, slots: int, count: int, queries: int) -> dict[str, dict[str, float]]:
    """The product and the ranking, in a process of its own."""
    model = model_of(preset("demo", "standard"), dim, slots)
    clips, utterance = (functional.normalize(torch.randn(many, dim), dim=1) for many in (rows, 1))
    gallery = model.for_search("video", {"mapped": clips})  # once, when the page is opened
    query = model.for_search("audio", {"mapped": utterance})
    with threads(count):
        return {
            "product": times(lambda: clips @ utterance.T, queries),
            "ranking": times(lambda: best_of(score_matrix(model, gallery, query).numpy()[:, 0], TOP), queries),
        }


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--slots", type=int, default=50)
    parser.add_argument("--threads", type=int, default=2, help="of torch on the CPU")
    parser.add_argument("--queries", type=int, default=20)
    parser.add_argument("--device", choices=["cpu"], default="cpu")
    options = parser.parse_args(arguments)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as `fmn` sets it, for the process that measures
    sizes = (options.rows, options.dim, options.slots, options.threads, options.queries)
    with get_context("spawn").Pool(1) as pool:
        found: dict[str, Any] = {**vars(options), **pool.apply(measured, sizes)}
    found["ratio"] = found["ranking"]["processor_ms"] / found["product"]["processor_ms"]  # others use the cores, too
    print(f"{options.rows:,} clips, {options.dim} numbers, {options.slots} slots, {options.threads} threads")
    print(f"  {'':<14}{'ms':>8}{'processor ms':>14}")
    for name in ("product", "ranking"):
        print(f"  {name:<14}{found[name]['ms']:8.1f}{found[name]['processor_ms']:14.1f}")
    kept = "within" if found["ranking"]["ms"] <= AIM_MS else "beyond"
    print(f"  {found['ratio']:.1f} × the plain product; {kept} {AIM_MS} ms")
    print(json.dumps(found))
    return found


if __name__ == "__main__":
    main()
