"""Clips per second of the video features, against the slowest stage measured alone.

    python benchmarks/feature_extraction.py [--clips 24] [--jobs 2] [--device auto|cpu|cuda] [--preset demo|paper]

Stages: decoding and resizing, optical flow, network. Each is timed by itself on as many workers as the extraction has,
its inputs ready; the network on the device. The extraction as a whole cannot be faster than the slowest of them. Where
the network runs on the CPU, too, all stages share the cores, so that nothing can be faster than their times together;
both ratios are printed. Clips are made up: noise that moves, 4 s at 25 frames a second, 340 × 256, with random weights.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch

from dataset_tools.manifests import sha256_of
from fmn.config import preset
from fmn.data import find_device
from fmn.features import Media, VideoFeatureConfig, extract_video
from fmn.features.backbone import Backbone
from fmn.features.flow import optical_flow
from fmn.features.windows import ClipWindows, read_windows
from fmn.features.workers import one_thread_each, overlapped

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


Seconds = tuple[float, float]  # of the wall clock, of the processors


def timed(work: Callable[[Any], Any], tasks: Sequence[Any], jobs: int) -> Seconds:
    """For all tasks on ``jobs`` threads."""
    started, busy = time.perf_counter(), time.process_time()
    for _ in overlapped(work, tasks, jobs):
        pass
    return time.perf_counter() - started, time.process_time() - busy


def stage_seconds(clips: Sequence[Media], config: VideoFeatureConfig, device: str, jobs: int) -> dict[str, Seconds]:
    """Each stage by itself, for all clips."""
    still = replace(config, flow="none", rgb=True)
    frames = [read_windows(clip.path, still).rgb for clip in clips]
    found = {"decoding": timed(lambda clip: read_windows(clip.path, still), clips, jobs)}
    if config.flow != "none":

        def flow(windows: Any) -> None:
            for window in windows:
                optical_flow(window, config.flow, config.flow_bound_px)

        found["flow"] = timed(flow, frames, jobs)
    backbone = Backbone(config, device)
    steps = [np.zeros((*rgb.shape[:-1], 2), np.int8) for rgb in frames]
    ready = [ClipWindows(rgb, step) for rgb, step in zip(frames, steps, strict=True)]
    groups = [ready[start : start + backbone.group] for start in range(0, len(ready), backbone.group)]
    backbone.describe(groups[0])  # warms up
    found["network"] = timed(backbone.describe, groups, jobs if device == "cpu" else 1)
    return found


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--preset", choices=["demo", "paper"], default="demo")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args(arguments)
    device = find_device(options.device)
    config = replace(preset(options.preset).video, weights="random")
    with tempfile.TemporaryDirectory() as temporary, one_thread_each():
        folder = Path(temporary)
        clips = [write_clip(folder, number) for number in range(options.clips)]
        stages = stage_seconds(clips, config, str(device), options.jobs)
        Backbone(config, str(device))  # what the first one loads is not the extraction's
        started, busy = time.perf_counter(), time.process_time()
        features = extract_video(clips, config, cache=folder / "cache", device=str(device), jobs=options.jobs)
        seconds, busy = time.perf_counter() - started, time.process_time() - busy
    assert len(features.values) == options.clips
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    slowest = max(stages, key=lambda stage: stages[stage])
    shared = sum(wall for wall, _ in stages.values())
    needed = sum(used for _, used in stages.values())
    found: dict[str, Any] = {"device": name, "preset": options.preset, "jobs": options.jobs, "clips": options.clips}
    found |= {f"{stage}_clips_per_s": options.clips / wall for stage, (wall, _) in stages.items()}
    found["clips_per_s"] = options.clips / seconds
    found["of_slowest_stage"] = stages[slowest][0] / seconds
    if device.type == "cpu":
        found |= {"of_all_stages": shared / seconds, "of_all_stages_processor_time": needed / busy}
    print(f"{name}, preset {options.preset}, {options.jobs} workers, {options.clips} clips")
    for stage, (wall, _) in stages.items():
        print(f"  {stage:<22}{options.clips / wall:8.1f} clips/s alone")
    print(
        f"  {'extraction':<22}{found['clips_per_s']:8.1f} clips/s = {found['of_slowest_stage']:.2f} × {slowest} alone"
    )
    if device.type == "cpu":
        print(f"  {'':<31}{found['of_all_stages']:.2f} × what all stages allow together on shared cores")
        print(f"  {'':<31}{needed / busy:.2f} by processor time: stages {needed:.1f} s, extraction {busy:.1f} s")
    print(json.dumps(found))
    return found


if __name__ == "__main__":
    main()
