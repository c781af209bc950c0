"""Memory benchmark of ``fmn features export``: many clips, killed midway and resumed, with limited memory.

    python benchmarks/extraction_memory.py [--clips 10000] [--limit-gb 3] [--size-px 32]

Writes tiny clips of different content (the same encoded video, and a number in an MP4 box that players skip). Exports a
tenth of them, then all: killed (SIGKILL) when half are in the cache, and run again. Prints the number of features that
were computed twice (``redone``), and the peak resident memory of exporting a tenth and of the resumed export of all.
Each process is limited to ``--limit-gb`` of address space. The encoder, a separate package, returns the mean frame of a
clip: it costs almost nothing, and its 3 × size² four-byte values per clip would be visible if all were held in memory.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
from made_up_rows import clip_row, interval_id, utterance_row

from dataset_tools.manifests import ClassLabel, SplitPairRow, write_rows

ENCODER = """
import numpy as np
from fmn.features.encoders.interface import source_of

class MeanPicture:
    name, revision, licence, frames = "mean_picture", "", "CC0", None

    def __init__(self, argument, *, device):
        self.size_px = int(argument)
        self.dim = 3 * self.size_px**2
        self.source = source_of("mean_picture", "none", [], size_px=self.size_px)

    def encode(self, frames):
        return frames.mean(axis=0, dtype=np.float32).reshape(-1)
"""


def write_encoder(folder: Path) -> None:
    """Writes the encoder's package as pip would install it."""
    info = folder / "mean_picture-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "mean_picture.py").write_text(ENCODER)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mean-picture\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[fmn.video_encoders]\nmean_picture = mean_picture:MeanPicture\n")


def write_workspace(root: Path, count: int) -> None:
    """Writes ``count`` clips and one utterance; manifests/tenth.jsonl lists a tenth of them, all.jsonl all."""
    for folder in ("clips", "speech"):
        (root / folder).mkdir(parents=True)
    encoded = root / "encoded.mp4"
    with av.open(str(encoded), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(25), options={"threads": "1"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for level in range(8):
            container.mux(
                stream.encode(av.VideoFrame.from_ndarray(np.full((48, 64, 3), 20 * level, np.uint8), "rgb24"))
            )
        container.mux(stream.encode(None))
    label = ClassLabel(id="wash_plate", action="wash", subject="plate", object=None)
    soundfile.write(root / "speech" / "one.wav", np.random.default_rng(0).normal(scale=0.1, size=8000), 16_000)
    utterance = utterance_row(
        "one", label.id, None, sha256=sha256((root / "speech" / "one.wav").read_bytes()).hexdigest()
    )
    rows = []
    for number in range(count):
        content = encoded.read_bytes() + (16).to_bytes(4) + b"free" + number.to_bytes(8)
        clip_id = interval_id(f"s{number % 50:02d}-d01", 100 * number + 1, digits=8)
        row = clip_row(clip_id, label.id, sha256=sha256(content).hexdigest())
        (root / row.path).write_bytes(content)
        pair = f"{row.id}__one"
        rows.append(SplitPairRow(id=pair, label=label, clip=row, utterance=utterance, split="train", fold=None))
    rows.sort(key=lambda row: row.id)
    write_rows(root / "manifests" / "tenth.jsonl", rows[: count // 10])
    write_rows(root / "manifests" / "all.jsonl", rows)


class Export:
    """A process that runs ``fmn features export``."""

    def __init__(self, root: Path, name: str, packages: Path, options: argparse.Namespace) -> None:
        def limited() -> None:
            resource.setrlimit(resource.RLIMIT_AS, (options.limit_gb * 2**30,) * 2)

        encoder = f"mean_picture:{options.size_px}"
        command: list[object] = ["features", "export", root / "manifests" / f"{name}.jsonl", root / f"features-{name}"]
        command += ["--video-encoder", encoder, "--jobs", options.jobs, "--device", options.device, "--json"]
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from fmn.cli.main import main; main()", *map(str, command)],
            env=os.environ | {"PYTHONPATH": os.pathsep.join([str(packages), os.environ.get("PYTHONPATH", "")])},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=limited,
        )

    def ended(self) -> dict[str, float]:
        """Waits for the process; returns seconds, exit code and peak resident memory."""
        _, status, used = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - self.started
        return {"exit": self.process.returncode, "seconds": round(seconds, 1), "peak_rss_mb": used.ru_maxrss / 1024}


def cached(root: Path) -> dict[str, int]:
    """Modification time of each cached clip feature, by file name."""
    return {path.name: path.stat().st_mtime_ns for path in (root / "cache" / "features").glob("video-*/*/*.npy")}


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--clips", type=int, default=10_000)
    parser.add_argument("--size-px", type=int, default=32)
    parser.add_argument("--limit-gb", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        root, packages = Path(temporary) / "workspace", Path(temporary) / "packages"
        write_encoder(packages)
        write_workspace(root, options.clips)
        tenth = Export(root, "tenth", packages, options).ended()
        killed = Export(root, "all", packages, options)
        while len(cached(root)) < options.clips // 2 and killed.process.poll() is None:
            time.sleep(0.2)
        killed.process.send_signal(signal.SIGKILL)
        first = killed.ended()
        before = cached(root)
        resumed = Export(root, "all", packages, options).ended()
        after = cached(root)
        found: dict[str, Any] = {
            "clips": options.clips,
            "limit_gb": options.limit_gb,
            "kb_per_feature": 3 * options.size_px**2 * 4 / 1024,
            "tenth": tenth,
            "killed": first | {"clips": len(before)},
            "resumed": resumed | {"clips": len(after)},
            "redone": sum(after[name] != written for name, written in before.items()),
            "exported": len(list((root / "features-all" / "video").glob("*.npy"))),
            "rss_growth_kb_per_clip": (resumed["peak_rss_mb"] - tenth["peak_rss_mb"])
            * 1024
            / (options.clips - options.clips // 10),
        }
    print(
        f"{options.clips} clips: killed at {len(before)}, {found['redone']} redone, {found['exported']} exported; peak "
        f"{tenth['peak_rss_mb']:.0f} MB for a tenth of them, {resumed['peak_rss_mb']:.0f} MB for all, "
        f"{found['rss_growth_kb_per_clip']:.1f} KB per clip; a feature has {found['kb_per_feature']:.0f} KB"
    )
    print(json.dumps(found))
    return found


if __name__ == "__main__":
    main()
