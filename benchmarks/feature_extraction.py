"""Benchmark of video features: clips per second, against the slowest stage alone and the limit of shared cores.

    python benchmarks/feature_extraction.py [--clips 48] [--jobs 2] [--device auto|cpu|cuda] [--preset demo|paper]

Stages: decoding and resizing, optical flow, network. Each is measured alone on prepared inputs, with all resources of
the extraction: all worker threads, or the device. On a GPU, the network does not compete with the other stages, and the
extraction should be close to the slowest stage alone. On a CPU, the stages share the cores, so the speed of the slowest
stage alone on all cores is unreachable: a core that decodes runs no network. The attainable limit there is one clip in
the time that all stages need together: 1 / (sum of the times of the stages that share the cores), which equals the
slowest stage alone on its part of the cores. Decoding and flow share the cores on a GPU machine, too. Both ratios are
printed; the goal of 0.9 applies to the second, ``of_limit``, and on a GPU to both.

Stages and extraction alternate in rounds, so that other load affects all of them, and medians are reported. CPU time,
beside wall time, is little affected by other programs: ``of_limit_processor_time`` below 1 is work of the extraction
that the stages alone do not include. Clips are synthetic: moving noise, 4 s at 25 fps, 340 × 256; weights are random.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from statistics import median
from typing import Any

import av
import numpy as np
import torch

from dataset_tools.core.files import sha256_of
from fmn.cli.options import settings_of
from fmn.config import preset, with_values
from fmn.data.loading import find_device
from fmn.features import windows as windows_module
from fmn.features.backbone import Backbone
from fmn.features.config import VideoFeatureConfig
from fmn.features.extract import extract_video
from fmn.features.flow import optical_flow
from fmn.features.media import Media
from fmn.features.pipeline import DEVICE_THREADS
from fmn.features.windows import ClipWindows, read_windows
from fmn.torch_threads import threads

FRAMES, HEIGHT, WIDTH = 100, 256, 340


def write_clip(folder: Path, number: int) -> Media:
    random = np.random.default_rng(number)
    picture = np.kron(random.integers(0, 255, (40, 60, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    path = folder / f"clip{number}.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(25), options={"threads": "1"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for frame in range(FRAMES):
            shown = np.ascontiguousarray(np.roll(picture, (frame, 2 * frame), axis=(0, 1))[:HEIGHT, :WIDTH])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(shown, "rgb24")))
        container.mux(stream.encode(None))
    return Media(sha256_of(path), path, path.stem)


@dataclass(frozen=True)
class Seconds:
    """Wall-clock seconds and CPU seconds of all clips."""

    wall: float
    used: float


def timed(work: Callable[[], object]) -> Seconds:
    started, used = time.perf_counter(), time.process_time()
    work()
    return Seconds(time.perf_counter() - started, time.process_time() - used)


def in_threads(work: Callable[[Any], object], tasks: Sequence[Any], threads: int) -> Seconds:
    def every() -> None:
        with ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(work, tasks):
                pass

    return timed(every)


class Stages:
    """The stages of a configuration, each measured alone on the same clips."""

    def __init__(self, clips: Sequence[Media], config: VideoFeatureConfig, device: str, jobs: int) -> None:
        self.clips, self.config, self.jobs = clips, config, jobs
        self.still = replace(config, flow="none", rgb=True)
        self.runs: list[np.ndarray[Any, Any]] = []
        self._record(config)
        self.backbone = Backbone(config, device)
        self.network_threads = jobs if device == "cpu" else DEVICE_THREADS
        windows = [read_windows(clip.path, config) for clip in clips]
        rgb = np.concatenate([clip.rgb for clip in windows])
        flow = (
            None if config.flow == "none" else np.concatenate([clip.flow for clip in windows if clip.flow is not None])
        )
        size = self.backbone.batch
        self.batches = [
            ClipWindows(rgb[start : start + size], None if flow is None else flow[start : start + size])
            for start in range(0, len(rgb), size)
        ]
        self.backbone.window_features(self.batches[0])  # warms up

    def _record(self, config: VideoFeatureConfig) -> None:
        """Records the frames from which the extraction computes the flow of each clip."""
        usual = windows_module.optical_flow

        def noting(frames: Any, *options: Any) -> Any:
            self.runs.append(frames)
            return usual(frames, *options)

        windows_module.optical_flow = noting
        try:
            for clip in self.clips:
                read_windows(clip.path, config)
        finally:
            windows_module.optical_flow = usual

    def measured(self) -> dict[str, Seconds]:
        config = self.config
        found = {"decoding": in_threads(lambda clip: read_windows(clip.path, self.still), self.clips, self.jobs)}
        if config.flow != "none":
            found["flow"] = in_threads(
                lambda frames: optical_flow(frames, config.flow, config.flow_bound_px), self.runs, self.jobs
            )
        found["network"] = in_threads(self.backbone.window_features, self.batches, self.network_threads)
        return found


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--preset", choices=["demo", "paper"], default="demo")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--clips", type=int, default=48)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="configuration values")
    options = parser.parse_args(arguments)
    device = find_device(options.device)
    on_cpu = device.type == "cpu"
    config = with_values(preset(options.preset), {"video.weights": "random"} | settings_of(options.set)).video
    rounds: list[dict[str, Seconds]] = []
    with tempfile.TemporaryDirectory() as temporary, threads(1):
        folder = Path(temporary)
        clips = [write_clip(folder, number) for number in range(options.clips)]
        stages = Stages(clips, config, str(device), options.jobs)
        for _ in range(options.rounds):
            times = stages.measured()
            begin = timed(lambda: Backbone(config, str(device)))  # networks are built once, for any number of clips
            whole = timed(
                lambda: extract_video(clips, config, cache=folder / "cache", device=str(device), jobs=options.jobs)
            )
            times["extraction"] = Seconds(whole.wall - begin.wall, whole.used - begin.used)
            rounds.append(times)
            shutil.rmtree(folder / "cache")
    return report(rounds, options, device, on_cpu)


def report(
    rounds: Sequence[dict[str, Seconds]], options: argparse.Namespace, device: torch.device, on_cpu: bool
) -> dict[str, Any]:
    clips, jobs = options.clips, options.jobs
    names = [name for name in rounds[0] if name != "extraction"]
    sharing = names if on_cpu else [name for name in names if name != "network"]

    def of(ratio: Callable[[dict[str, Seconds]], float]) -> float:
        return median(ratio(times) for times in rounds)

    def limit(times: dict[str, Seconds]) -> float:
        """Seconds of the bottleneck: the cores for all stages that share them, or the device."""
        return max(sum(times[name].wall for name in sharing), 0.0 if on_cpu else times["network"].wall)

    slowest = max(names, key=lambda name: of(lambda times: times[name].wall))
    found: dict[str, Any] = {
        "device": "CPU" if on_cpu else torch.cuda.get_device_name(device),
        "preset": options.preset,
        "jobs": jobs,
        "clips": clips,
        "load": round(os.getloadavg()[0], 1),
        **{f"{name}_clips_per_s": clips / of(lambda times, name=name: times[name].wall) for name in names},
        "clips_per_s": clips / of(lambda times: times["extraction"].wall),
        "limit_clips_per_s": clips / of(limit),
        "slowest_stage": slowest,
        "of_slowest_stage": of(lambda times: times[slowest].wall / times["extraction"].wall),
        "of_limit": of(lambda times: limit(times) / times["extraction"].wall),
    }
    print(f"{found['device']}, preset {options.preset}, {jobs} workers, {clips} clips, median of {len(rounds)} rounds")
    for name in names:
        print(f"  {name:<12}{found[f'{name}_clips_per_s']:9.2f} clips/s alone")
    print(f"  {'limit':<12}{found['limit_clips_per_s']:9.2f} clips/s: {' + '.join(sharing)} share the cores")
    print(
        f"  {'extraction':<12}{found['clips_per_s']:9.2f} clips/s = {found['of_limit']:.2f} × the limit, "
        f"{found['of_slowest_stage']:.2f} × {slowest} alone"
    )
    if not on_cpu:
        found["peak_memory_gb"] = torch.cuda.max_memory_allocated(device) / 2**30
    if on_cpu:
        used = of(lambda times: sum(times[name].used for name in names) / times["extraction"].used)
        found["of_limit_processor_time"] = used
        print(f"  CPU time of the stages alone: {used:.2f} × that of the extraction")
    print(json.dumps(found))
    return found


if __name__ == "__main__":
    main()
