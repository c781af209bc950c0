"""Benchmark of cutting: against a shell loop over ffmpeg, video2dataset, and decoding alone.

    python benchmarks/cutting.py [--seconds 40] [--loops 1] [--intervals 12] [--jobs N] [--rounds 5]

All methods run alternately in one run, ``--rounds`` times, on the same synthetic footage (1624×1224 MPEG-4 in AVI,
29.4 fps, a key frame every 100 frames). The reported ratio is the median over rounds of the wall-time ratios within a
round; CPU time, beside it, is more meaningful on a machine with other load.

Cutting also has to scale and encode the decoded frames. So there are two limits: decoding alone; and the sum of
decoding, scaling and encoding, each measured separately on all processes, which no schedule can beat.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import os
import platform
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from fractions import Fraction
from multiprocessing import forkserver
from pathlib import Path
from statistics import median
from typing import Any

import av
import imageio_ffmpeg

from dataset_tools.clips.clip_plan import PlannedClip
from dataset_tools.clips.cut_tasks import CutTask, Span, divide_spans
from dataset_tools.clips.cutting import ClipCutter
from dataset_tools.clips.encoding import encode
from dataset_tools.core.ledger import Ledger
from dataset_tools.core.workspace import Workspace
from dataset_tools.corpora.corpus import Interval
from dataset_tools.manifests import IntervalOrigin
from dataset_tools.video.decoding import Picture, SourceVideo, _scaler
from dataset_tools.video.source_videos import Source, read_sources

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
RATE, GOP, SHORT_SIDE = "147/5", 100, 256
LENGTHS = (44, 118)
"""Frames of the shortest and the longest interval: 1.5 to 4 seconds."""

LOOP = (
    '{ffmpeg} -nostdin -v error -y -ss {start_s:.6f} -i "{video}" -frames:v {frames} -an -vf scale=-2:{short_side} '
    '-c:v libx264 -preset veryfast -crf 20 -pix_fmt yuv420p "{target}"'
)


def write_footage(folder: Path, videos: int, seconds: int, megabits: float, size: str, loops: int) -> dict[str, Path]:
    paths = {}
    for number in range(videos):
        path = folder / f"s{number + 7:02d}-d20-cam-002.avi"
        source = f"{'testsrc2' if number % 2 else 'mandelbrot'}=s={size}:r={RATE}"
        command = [FFMPEG, "-v", "error", "-y", "-f", "lavfi", "-i", source, "-t", str(seconds), "-an"]
        command += ["-vf", "noise=alls=6:allf=t", "-pix_fmt", "yuv420p", "-vcodec", "mpeg4", "-g", str(GOP)]
        once = folder / f"once-{path.name}"
        subprocess.run([*command, "-b:v", f"{megabits}M", once], check=True)
        again = ["-stream_loop", str(max(1, loops) - 1), "-i", once, "-c", "copy", path]
        subprocess.run([FFMPEG, "-v", "error", "-y", *again], check=True)
        once.unlink()
        paths[path.stem] = path
    return paths


def plan(videos: dict[str, Path], count: int, frames: int) -> list[PlannedClip]:
    """Non-overlapping intervals of 1.5 to 4 seconds, spread over the videos."""
    rng = random.Random(0)
    clips = []
    for index in range(count):
        name = sorted(videos)[index % len(videos)]
        slot = frames // -(-count // len(videos))
        length = rng.randint(LENGTHS[0], min(LENGTHS[1], slot - 1))
        start = index // len(videos) * slot + rng.randint(1, slot - length)
        interval = Interval(index, name, start, start + length - 1, "cut", frozenset(), frozenset())
        clips.append(PlannedClip(interval.id, "cut", interval, start, start + length - 1, IntervalOrigin()))
    return clips


def toolkit(clips: Sequence[PlannedClip], videos: dict[str, Path], folder: Path, jobs: int) -> None:
    place = Workspace(folder)
    sources, _ = read_sources(videos, place.cache / "sources", jobs=jobs)  # hashes and frame indexes
    with Ledger(place.ledger) as ledger:
        rows, failures = ClipCutter(place, sources, SHORT_SIDE, keep_audio=False, jobs=jobs, ledger=ledger).cut(clips)
    assert len(rows) == len(clips)
    assert not failures
    forkserver._forkserver._stop()  # waits for it to exit: only then is the CPU time of its children known


def commands(clips: Sequence[PlannedClip], videos: dict[str, Path], folder: Path) -> list[str]:
    return [
        LOOP.format(
            ffmpeg=FFMPEG,
            start_s=(clip.start_frame - 1.5) * 5 / 147 if clip.start_frame > 1 else 0,
            video=videos[clip.interval.video],
            frames=clip.frames,
            short_side=SHORT_SIDE,
            target=folder / f"{clip.id}.mp4",
        )
        for clip in clips
    ]


def shell_loop(clips: Sequence[PlannedClip], videos: dict[str, Path], folder: Path, jobs: int) -> None:
    script = folder / "loop.sh"  # a thousand commands are too long for an argument
    script.write_text("\n".join(["set -e", *commands(clips, videos, folder)]))
    subprocess.run(["bash", script], check=True)


def xargs(clips: Sequence[PlannedClip], videos: dict[str, Path], folder: Path, jobs: int) -> None:
    lines = "\0".join(commands(clips, videos, folder))
    subprocess.run(["xargs", "-0", "-P", str(jobs), "-n", "1", "bash", "-c"], input=lines, text=True, check=True)


def decode(task: CutTask) -> float:
    """Decodes the frames of a task and discards them; like the other stages, returns the seconds it took."""
    index = task.source.index
    first, last = index.key_frame_before(task.spans[0].start_frame), task.spans[-1].end_frame
    started = time.perf_counter()
    with av.open(task.source.path) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        container.seek(index.stamps[first - 1], stream=stream)
        for frame in container.decode(stream):
            if frame.pts >= index.stamps[last - 1]:
                break
    return time.perf_counter() - started


@functools.cache
def few_frames(path: str) -> tuple[Any, list[Any]]:
    """An open container and its first frames, so that the timing of scaling includes no decoding."""
    container = av.open(path)
    return container, list(itertools.islice(container.decode(video=0), 12))


def scale(task: CutTask) -> float:
    """Scales as many frames as the clips of a task have."""
    container, frames = few_frames(task.source.path)
    started = time.perf_counter()
    first = frames[0]
    scaler = _scaler(first, container.streams.video[0], Fraction(first.width, first.height), SHORT_SIDE, turns=[])
    for frame in itertools.islice(itertools.cycle(frames), wanted_frames(task)):
        scaler.push(frame)
        scaler.pull()
    return time.perf_counter() - started


@functools.cache
def few_pictures(path: str) -> list[Picture]:
    with SourceVideo(Path(path)) as video:
        return list(video.pictures(1, max(LENGTHS), SHORT_SIDE))


def encode_alone(task: CutTask) -> float:
    """Encodes clips with the lengths of those of a task."""
    pictures = few_pictures(task.source.path)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        for span in task.spans:
            some = itertools.islice(pictures, span.end_frame - span.start_frame + 1)
            encode(some, Fraction(RATE), Path(folder, "clip.mp4"), "")
    return time.perf_counter() - started


def wanted_frames(task: CutTask) -> int:
    return sum(span.end_frame - span.start_frame + 1 for span in task.spans)


def reading(clips: Sequence[PlannedClip], videos: dict[str, Path], folder: Path, jobs: int) -> None:
    """The toolkit's work before cutting: starts the processes, hashes the videos and indexes their frames."""
    read_sources(videos, folder / "sources", jobs=jobs)
    forkserver._forkserver._stop()


def decode_limit(tasks: Sequence[CutTask]) -> Callable[..., None]:
    def run(clips: Sequence[PlannedClip], videos: dict[str, Path], folder: Path, jobs: int) -> None:
        with ProcessPoolExecutor(jobs) as pool:
            list(pool.map(decode, tasks))

    return run


def stages_alone(tasks: Sequence[CutTask], pool: ProcessPoolExecutor, jobs: int) -> dict[str, float]:
    """Seconds of each stage on ``jobs`` processes that do nothing else and are never idle."""
    return {
        name: sum(pool.map(stage, tasks)) / jobs
        for name, stage in (("decoding", decode), ("scaling", scale), ("encoding", encode_alone))
    }


def video2dataset(python: str) -> Callable[..., None]:
    code = (
        "import sys, json, os; from pathlib import Path; from multiprocessing import Pool\n"
        "from video2dataset.subsamplers import ClippingSubsampler\n"
        "def one(job):\n"
        "    path, spans, out = job\n"
        "    cut = ClippingSubsampler(1000, {'video': 'mp4'}, precision='exact')\n"
        "    streams, metas, error = cut({'video': [Path(path).read_bytes()]}, {'key': '0', 'clips': spans})\n"
        "    assert error is None, error\n"
        "    for k, clip in enumerate(streams['video']): Path(out, f'{Path(path).stem}-{k}.mp4').write_bytes(clip)\n"
        "if __name__ == '__main__':\n"
        "    jobs = json.load(sys.stdin); Pool(int(sys.argv[1])).map(one, jobs, chunksize=1)\n"
    )

    def run(clips: Sequence[PlannedClip], videos: dict[str, Path], folder: Path, jobs: int) -> None:
        spans: dict[str, list[list[float]]] = {}
        for clip in clips:
            times = [(clip.start_frame - 1) * 5 / 147, clip.end_frame * 5 / 147]
            spans.setdefault(str(videos[clip.interval.video]), []).append(times)
        given = json.dumps([(path, sorted(times), str(folder)) for path, times in spans.items()])
        (folder / "ffmpeg").symlink_to(FFMPEG)  # it looks for a program of that name
        environment = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
        script = folder / "run.py"
        script.write_text(code)
        subprocess.run([python, script, str(jobs)], input=given, text=True, check=True, env=environment)

    return run


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=2)
    parser.add_argument("--seconds", type=int, default=40, help="seconds of footage in a video before it is repeated")
    parser.add_argument(
        "--megabits",
        type=float,
        default=2.5,
        help="megabits per second of footage; MPII Cooking 2 has 10.6 kB per frame",
    )
    parser.add_argument("--size", default="1624x1224", help="frame size of the footage")
    parser.add_argument(
        "--loops", type=int, default=1, help="number of repetitions of the footage: makes long videos quickly"
    )
    parser.add_argument("--intervals", type=int, default=12)
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--video2dataset", help="a Python interpreter with video2dataset", metavar="PYTHON")
    options = parser.parse_args(arguments)
    vars(sys.modules["__main__"]).pop("__file__", None)  # as in a command, workers do not import this script
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "videos").mkdir()
        videos = write_footage(
            root / "videos", options.videos, options.seconds, options.megabits, options.size, options.loops
        )
        sources, _ = read_sources(videos, root / "memory", jobs=options.jobs)
        forkserver._forkserver._stop()  # otherwise the processes below would inherit its pipe, and it would never exit
        frames = min(source.index.frames for source in sources.values())
        clips = plan(videos, options.intervals, frames)
        tasks = needed(clips, sources, options.jobs)
        methods = {"toolkit": toolkit, "reading alone": reading, "shell loop": shell_loop, "xargs -P": xargs}
        methods["decode limit"] = decode_limit(tasks)
        if options.video2dataset:
            methods["video2dataset"] = video2dataset(options.video2dataset)
        measured: dict[str, list[tuple[float, float]]] = {name: [] for name in methods}
        alone: list[dict[str, float]] = []
        with ProcessPoolExecutor(options.jobs) as pool:
            stages_alone(tasks[: 16 * options.jobs], pool, options.jobs)  # warms up the caches of the processes
            for number in range(options.rounds):
                for name, method in methods.items():
                    place = root / f"{name}-{number}"
                    place.mkdir()
                    run = functools.partial(method, clips, videos, place, options.jobs)
                    measured[name].append(timed(run))
                    shutil.rmtree(place)
                alone.append(stages_alone(tasks, pool, options.jobs))
        found = report(measured, alone, clips, sum(task.decoded_frames for task in tasks), options)
        print(json.dumps(found))
        return found


def needed(clips: Sequence[PlannedClip], sources: dict[str, Source], jobs: int) -> list[CutTask]:
    """The frames to decode, divided into tasks that keep all processes busy."""
    tasks: list[CutTask] = []
    for name, source in sources.items():
        spans = [Span(c.id, c.start_frame, c.end_frame, Path(), "") for c in clips if c.interval.video == name]
        tasks += divide_spans(source, spans, SHORT_SIDE, sum(clip.frames for clip in clips) / (4 * jobs))
    return sorted(tasks, key=lambda task: task.decoded_frames, reverse=True)


def timed(run: Callable[[], None]) -> tuple[float, float]:
    """Wall-clock seconds, and CPU seconds of this process and its children."""

    def used() -> float:
        usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(usage.ru_utime + usage.ru_stime for usage in usages)

    started, before = time.perf_counter(), used()
    run()
    return time.perf_counter() - started, used() - before


def report(
    measured: dict[str, list[tuple[float, float]]],
    alone: list[dict[str, float]],
    clips: Sequence[PlannedClip],
    decoded: int,
    options: argparse.Namespace,
) -> dict[str, Any]:
    toolkit_s = [wall for wall, _ in measured["toolkit"]]
    frames = sum(clip.frames for clip in clips)
    print(f"{len(clips)} clips, {frames} frames, {decoded} to decode; medians of {options.rounds} rounds")
    print(f"{options.jobs} jobs on {os.cpu_count()} × {processor()}, load {os.getloadavg()[0]:.1f} at the end")
    ratios = {}
    for name, runs in measured.items():
        wall_s, processor_s = median(wall for wall, _ in runs), median(used for _, used in runs)
        ratios[name] = median(wall / own for (wall, _), own in zip(runs, toolkit_s, strict=True))
        print(f"{name:<14} {wall_s:7.2f} s   {processor_s:7.2f} CPU s   {ratios[name]:5.2f} × the toolkit's time")
    print(f"the toolkit cuts at {ratios['decode limit']:.0%} of the speed of decoding alone")
    parts = {name: median(one[name] for one in alone) for name in alone[0]}
    print("each alone: " + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in parts.items()))
    reached = median(sum(one.values()) / own for one, own in zip(alone, toolkit_s, strict=True))
    print(
        f"the toolkit reaches {reached:.0%} of the limit set by decoding, scaling and encoding (goal 90 %), including "
        "the start of its processes and hashing of the footage"
    )
    if "video2dataset" not in measured:
        print("video2dataset: not measured (no --video2dataset PYTHON)")
    return {"clips": len(clips), "ratios": ratios, "stages_s": parts, "of_limit": reached}


def processor() -> str:
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(": ")[1] for line in lines if line.startswith("model name"))
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
