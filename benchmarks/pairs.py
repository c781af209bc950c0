"""Benchmark of writing pairs: time and memory for 50,000 pairs, as in the paper, and for ten million.

    python benchmarks/pairs.py [--pairs 10000000]

All same-class pairs of synthetic rows, with as many clips as utterances. Every size runs in a separate process, whose
peak
resident memory is reported. The run with all three manifests also writes the complete training and test rows.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from made_up_rows import clip_row, interval_id, utterance_row

from dataset_tools.core.workspace import Workspace
from dataset_tools.manifests import ClipRow, UtteranceRow, write_rows
from dataset_tools.pairs.pair_assignment import PairOptions
from dataset_tools.pairs.pairing import make_pairs, pair_rows

PAPER = (20, 50)  # classes, clips and utterances of each


def items(classes: int, each: int) -> Iterator[tuple[ClipRow, UtteranceRow]]:
    names = [one.id for one in shipped().classes]
    for number in range(classes * each):
        class_id, start = names[number // each], 60 * (number % each) + 1
        clip = clip_row(interval_id(f"s{7 + number // each:02d}-d20", start), class_id)
        yield clip, utterance_row(f"{clip.id}_en+m1", class_id, clip.id)


def shipped():
    from dataset_tools.classes.reader import load_classes

    return load_classes()


def measure(classes: int, each: int, whole: bool) -> None:
    """Prints seconds, pairs, bytes and megabytes of memory; with ``whole``, also writes train.jsonl and test.jsonl."""
    both = list(items(classes, each))
    clips, utterances = [clip for clip, _ in both], [utterance for _, utterance in both]
    before_mb = peak_mb()
    with tempfile.TemporaryDirectory() as folder:
        place = Workspace(Path(folder))
        if whole:
            write_rows(place.manifests / "clips.jsonl", clips)
            write_rows(place.manifests / "utterances.jsonl", utterances)
        started, used = time.perf_counter(), time.process_time()
        if whole:
            pairs = make_pairs(place, shipped(), PairOptions()).pairs
        else:
            pairs = write_rows(place.manifests / "pairs.jsonl", pair_rows(clips, utterances))
        took_s, used_s = time.perf_counter() - started, time.process_time() - used
        size = sum(path.stat().st_size for path in place.manifests.iterdir())
    found = {"pairs": pairs, "seconds": took_s, "processor_s": used_s, "bytes": size}
    print(json.dumps({**found, "before_mb": before_mb, "peak_mb": peak_mb()}))


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 1 << 20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=10_000_000)
    parser.add_argument("--measure", nargs=3, type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure[0], options.measure[1], bool(options.measure[2]))
        return
    each = math.isqrt(options.pairs // PAPER[0])
    print(f"{os.cpu_count()} CPUs, load average {os.getloadavg()[0]:.1f}; one is used")
    for title, classes, count, whole in (
        ("50,000 pairs, pairs.jsonl", *PAPER, 0),
        ("50,000 pairs, all three manifests", *PAPER, 1),
        (f"{PAPER[0] * each * each:,} pairs, pairs.jsonl", PAPER[0], each, 0),
    ):
        command = [sys.executable, __file__, "--measure", str(classes), str(count), str(whole)]
        found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        print(
            f"{title:<40} {found['seconds']:7.2f} s ({found['processor_s']:.2f} CPU s)  "
            f"{found['bytes'] / 1e6:8.1f} MB  memory {found['before_mb']:.0f} → {found['peak_mb']:.0f} MB"
        )


if __name__ == "__main__":
    main()
