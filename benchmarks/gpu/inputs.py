"""Inputs of ``make gpu``: synthetic data sets and features, made in advance, copied with the tree.

    python -m benchmarks.gpu.inputs gpu-inputs

``small/`` is a workspace: clips, speech, manifests. ``large/`` holds the training manifest of a larger data set and, in
place of its media, their features: video of the demo network, MFCC without deltas every 20 ms, all in half precision.
(Their cache would not do: its names contain the versions of torch and torchaudio.)
"""

from __future__ import annotations

import argparse
import json
import lzma
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from fmn.config import DEMO, with_values
from fmn.features.extract import extract_audio, extract_video
from fmn.features.media import Media

SETTINGS = {"audio.deltas": 0, "audio.hop_ms": 20.0}
SEED = 8


def main() -> None:
    """Makes both data sets and prints their sizes."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--classes", type=int, default=20, help="of the large data set")
    parser.add_argument("--per-class", type=int, default=50, help="clips of each of its classes")
    parser.add_argument("--small-classes", type=int, default=4)
    parser.add_argument("--small-per-class", type=int, default=6)
    parser.add_argument("--standin", type=Path, help="drawn here, unless it is there already; default: drawn anew")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    folder, jobs = options.folder.resolve(), options.jobs
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="gpu-inputs-") as temporary:
        corpus, large = options.standin or Path(temporary) / "standin", Path(temporary) / "large"
        per_class = max(options.per_class, options.small_per_class)
        _data("standin", corpus, "--per-class", per_class, "--seed", SEED, "--jobs", jobs)
        _build(corpus, folder / "small", options.small_classes, options.small_per_class, jobs)
        _build(corpus, large, options.classes, options.per_class, jobs)
        pack(large, folder / "large", jobs)
    for kept in ("cache", "ledger.jsonl"):  # the check makes its own features
        path = folder / "small" / kept
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    for part in ("small", "large"):
        files = [path for path in (folder / part).rglob("*") if path.is_file()]
        print(f"{part}: {len(files)} files, {sum(path.stat().st_size for path in files) / 2**20:.1f} MiB")


def pack(workspace: Path, folder: Path, jobs: int) -> None:
    """Writes the training manifest (compressed), features.npz, and in settings.json the configuration behind them."""
    folder.mkdir(parents=True)
    config = with_values(DEMO, SETTINGS)
    arrays: dict[str, Any] = {}
    for kind in ("clips", "utterances"):
        rows = [json.loads(line) for line in (workspace / "manifests" / f"{kind}.jsonl").read_text().splitlines()]
        media = [Media(row["sha256"], workspace / row["path"], row["id"]) for row in rows]
        found = (
            extract_video(media, config.video, cache=workspace / "cache", jobs=jobs)
            if kind == "clips"
            else extract_audio(media, config.audio, cache=workspace / "cache", jobs=jobs)
        )
        if found.failures:
            sys.exit(f"{len(found.failures)} of {kind} have no feature: {next(iter(found.failures.values()))}")
        values = [np.atleast_2d(value).astype(np.float16) for value in found.values.values()]
        arrays |= {f"{kind}_sha256": np.array(list(found.values)), f"{kind}_rows": np.concatenate(values)}
        arrays[f"{kind}_lengths"] = np.array([len(value) for value in values])
    np.savez_compressed(folder / "features.npz", **arrays)
    manifest = (workspace / "manifests" / "train.jsonl").read_bytes()
    (folder / "train.jsonl.xz").write_bytes(lzma.compress(manifest))  # a hundredth: its rows repeat each other
    (folder / "settings.json").write_text(json.dumps(SETTINGS))


def _build(corpus: Path, workspace: Path, classes: int, per_class: int, jobs: int) -> None:
    sizes = ("--classes", classes, "--per-class", per_class, "--short-side", 128)
    _data("build", "--mpii", corpus, "--workspace", workspace, *sizes, "--jobs", jobs)
    _data("pairs", "--workspace", workspace)


def _data(*arguments: object) -> None:
    subprocess.run([sys.executable, "cli.py", "data", *map(str, arguments)], check=True)


if __name__ == "__main__":
    main()
