"""Synthetic corpus writer: videos, annotations, sentences and splits in MPII Cooking 2's formats.

``DIR/STANDIN.json`` marks it as synthetic and records the options; ``videos/``, ``annos/``, ``experimentalSetup/`` and
``tacos/`` are laid out like the real ones. Videos are drawn in parallel; existing ones are kept, so that interrupted
runs resume.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataset_tools.classes.reader import load_classes
from dataset_tools.core.count_of import count_of
from dataset_tools.core.errors import InputError, StoppedError
from dataset_tools.core.files import clear_partial, write_bytes
from dataset_tools.core.progress import Progress, silent
from dataset_tools.corpora.standin.cast import FRAME_RATE, sequences, split_of_persons
from dataset_tools.corpora.standin.difficulty import difficulty_named

if TYPE_CHECKING:
    from dataset_tools.corpora.standin.render import VideoTask

GENERATOR = "dataset_tools.standin"  # an identifier in STANDIN.json and build.json, independent of the package name
VERSION = "6"
NOTICE = (
    "This is a stand-in: drawn by a program, in the layout of MPII Cooking 2. It is not MPII Cooking 2, and figures "
    "from it say nothing about real footage."
)
USUAL_PER_CLASS, USUAL_VIDEOS, LEAST_VIDEOS = 50, 60, 4
MOST_PER_CLASS = 833  # of 1,000 videos
MARK = "STANDIN.json"
_MAT = "annos/attributesAnnotations_MPII-Cooking-2.mat"


@dataclass(frozen=True)
class StandinSummary:
    """Summary of a written corpus.

    Attributes:
        root: the folder.
        seed, difficulty, per_class: the options.
        videos: number of videos; drawn: how many of them this run drew, or would draw without ``dry_run``.
        intervals: number of annotated intervals; class_intervals: how many of them belong to a class.
        persons, dishes: number of distinct persons and dishes.
        duration_s: total duration of the videos. seconds: run time of this call.
        dry_run: whether nothing was written.
    """

    root: Path
    seed: int
    difficulty: str
    per_class: int
    videos: int
    drawn: int
    intervals: int
    class_intervals: int
    persons: int
    dishes: int
    duration_s: float
    seconds: float
    dry_run: bool = False

    def text(self) -> str:
        """Returns a human-readable line."""
        kept = "" if self.drawn == self.videos else f", {self.videos - self.drawn} of them reused"
        return (
            f"{'would write ' if self.dry_run else ''}a stand-in, not MPII Cooking 2: {count_of(self.videos, 'video')} "
            f"({count_of(round(self.duration_s / 60), 'minute')}{kept}), "
            f"{count_of(self.intervals, 'interval')}, {self.class_intervals} of them of a class; "
            f"{count_of(self.persons, 'person')}, {count_of(self.dishes, 'dish', 'dishes')}, difficulty "
            f"{self.difficulty}, seed {self.seed}"
        )

    def as_dict(self) -> dict[str, Any]:
        """Returns the attributes by name (for ``--json``)."""
        return {**asdict(self), "root": str(self.root)}


def write_standin(
    root: Path | str,
    *,
    seed: int = 0,
    per_class: int = USUAL_PER_CLASS,
    difficulty: str = "standard",
    jobs: int = 1,
    dry_run: bool = False,
    progress: Progress = silent,
) -> StandinSummary:
    """Writes a synthetic corpus; the same options produce the same bytes, regardless of ``jobs``.

    Args:
        root: output folder: new, empty, or with a synthetic corpus of the same options, which is completed.
        seed: random seed.
        per_class: number of intervals per class (the last classes get fewer, the first ones more). The number of videos
            is proportional to it: 60 for 50 intervals per class, and at least 4.
        difficulty: ``easy``, ``standard`` or ``hard``.
        jobs: number of parallel processes.
        dry_run: only check, and return what would be written.
        progress: progress callback, called after every video.

    Raises:
        InputError: an option is invalid, or the folder holds something else.
        StoppedError: a video could not be written; the others are complete.
    """
    from dataset_tools.corpora.standin.agenda import plan_agendas
    from dataset_tools.corpora.standin.director import timed
    from dataset_tools.corpora.standin.render import VideoTask

    root, started = Path(root), time.monotonic()
    level = difficulty_named(difficulty)
    for name, value, most in (("--per-class", per_class, MOST_PER_CLASS), ("--jobs", jobs, 10_000)):
        if not 1 <= value <= most:
            raise InputError(f"{name} is {value}", expected=f"a number from 1 to {most}")
    count = max(LEAST_VIDEOS, round(per_class * USUAL_VIDEOS / USUAL_PER_CLASS))
    classes = load_classes()
    description = {
        "schema": "fmn.standin/1",
        "notice": NOTICE,
        "generator": GENERATOR,
        "version": VERSION,
        "seed": seed,
        "difficulty": difficulty,
        "options": {"per_class": per_class, "videos": count, "level": asdict(level)},
        "classes": [one.id for one in classes.classes],
    }
    agendas = plan_agendas(classes, level, sequences(seed, count), seed=seed, per_class=per_class)
    text = json.dumps(description, indent=2, ensure_ascii=False) + "\n"
    is_new = _check_folder(root, text)
    tasks = [VideoTask(root / "videos" / f"{one.sequence.video}.avi", one, level, seed) for one in agendas]
    if dry_run:
        drawn = len(_missing(tasks))
        planned = [timed(one) for one in agendas]
        intervals, frames = sum(len(items) for _, items in planned), sum(frames for frames, _ in planned)
    else:
        if is_new:  # first, so that the folder is never mistaken for the real corpus
            write_bytes(root / MARK, text.encode())
        drawn = _draw(tasks, jobs, progress)
        intervals, frames = _write_annotations(root, tasks, seed)
    return StandinSummary(
        root=root,
        seed=seed,
        difficulty=difficulty,
        per_class=per_class,
        videos=len(tasks),
        drawn=drawn,
        intervals=intervals,
        class_intervals=sum(item.class_id is not None for one in agendas for item in one.items),
        persons=len({one.sequence.person for one in agendas}),
        dishes=len({one.sequence.dish for one in agendas}),
        duration_s=frames / FRAME_RATE,
        seconds=time.monotonic() - started,
        dry_run=dry_run,
    )


def _check_folder(root: Path, text: str) -> bool:
    """Whether a corpus would be the first content of the folder; False: it has this corpus, described by ``text``.

    Raises:
        InputError: it has something else.
    """
    path = root / MARK
    if path.is_file():
        if path.read_text("utf-8") != text:
            raise InputError(
                "The folder contains a synthetic corpus with other options or of another version",
                where=path,
                expected="a new folder, or the options that it was written with",
                next_step="choose another folder, or delete this one",
            )
        return False
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise InputError(
            "The folder is not empty, and does not contain a synthetic corpus"
            if root.is_dir()
            else "The path is a file",
            where=root,
            expected="a new or empty folder",
            next_step="choose another folder",
        )
    return True


def _draw(tasks: Sequence[VideoTask], jobs: int, progress: Progress) -> int:
    """Draws the missing videos; returns their number."""
    from dataset_tools.core.execution import run_each
    from dataset_tools.corpora.standin.render import draw_video

    clear_partial(tasks[0].path.parent)
    missing = _missing(tasks)
    done = len(tasks) - len(missing)
    progress("standin", done, len(tasks))
    failures = []
    for outcome in run_each(draw_video, missing, jobs=jobs):
        if outcome.error is not None:
            failures.append(outcome.error)
            continue
        done += 1
        progress("standin", done, len(tasks), outcome.item.path.stem)
    if failures:
        raise StoppedError(
            f"{len(failures)} of {len(tasks)} videos could not be written; the first: {failures[0].found}",
            where=failures[0].where,
            next_step="run the same command again to resume",
        )
    return len(missing)


def _missing(tasks: Iterable[VideoTask]) -> list[VideoTask]:
    return [task for task in tasks if not task.path.is_file()]


def _write_annotations(root: Path, tasks: Iterable[VideoTask], seed: int) -> tuple[int, int]:
    """Writes everything but the videos; returns the numbers of intervals and of frames."""
    from dataset_tools.corpora.standin.director import timed
    from dataset_tools.corpora.standin.mat import AnnotatedInterval, write_mat
    from dataset_tools.corpora.standin.tacos_sentences import Narrator, as_text

    tasks = sorted(tasks, key=lambda task: task.path.name)
    narrator = Narrator(load_classes(), seed)
    split = split_of_persons(seed, sorted({task.agenda.sequence.person for task in tasks}))
    rows = []
    entries: dict[str, dict[str, Any]] = {"train": {}, "val": {}, "test": {}}
    lists: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    total = 0
    for task in tasks:
        sequence = task.agenda.sequence
        frames, intervals = timed(task.agenda)
        total += frames
        for one in intervals:
            item = one.item
            rows.append(
                AnnotatedInterval(
                    sequence.video, one.start + 1, one.end, item.verb, item.tools, item.ingredients, item.containers
                )
            )
        lists[split[sequence.person]].append(sequence.id)
        entries[split[sequence.person]][f"{sequence.id}.avi"] = narrator.video(sequence.id, frames, intervals)
    for name, videos in entries.items():
        write_bytes(root / "tacos" / f"{name}.json", as_text(videos).encode())
    setup = {
        "sequencesTrainAttr.txt": lists["train"],
        "sequencesTrainDishes.txt": lists["train"],
        "sequencesTrainValDishes.txt": sorted(lists["train"] + lists["val"]),
        "sequencesVal.txt": lists["val"],
        "sequencesTest.txt": lists["test"],
    }
    for file, ids in setup.items():
        text = "# stand-in, not MPII Cooking 2\n" + "".join(f"{one}\n" for one in ids)
        write_bytes(root / "experimentalSetup" / file, text.encode())
    write_mat(root / _MAT, rows, [task.path.stem for task in tasks])
    return len(rows), total
