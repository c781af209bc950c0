"""A data set of eight intervals in two videos whose frames carry their number, on which people decide."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dataset_tools.build.building import build_dataset
from dataset_tools.build_record import BuildOptions, BuildSummary
from dataset_tools.classes.reader import load_classes
from dataset_tools.core.workspace import Workspace
from dataset_tools.corpora.corpus import Corpus
from dataset_tools.decisions.journal import LabelStudioIds, ReviewRow, Shown, append_reviews, reviews_path
from dataset_tools.manifests import ClipRow, UtteranceRow, read_rows

CLASSES = load_classes()
OPTIONS = BuildOptions(per_class=4, short_side=64)


@dataclass(frozen=True)
class ReviewedSet(Workspace):
    """A workspace that is built, decided on, and built again."""

    def build(self, corpus: Corpus, *, jobs: int = 2, **changes: Any) -> BuildSummary:
        return build_dataset(self, corpus, CLASSES, replace(OPTIONS, **changes), jobs=jobs)

    def clip_rows(self) -> dict[str, ClipRow]:
        return {row.id: row for row in read_rows(self.manifests / "clips.jsonl", ClipRow)}

    def utterance_rows(self) -> dict[str | None, UtteranceRow]:
        return {row.clip: row for row in read_rows(self.manifests / "utterances.jsonl", UtteranceRow)}

    def review(
        self,
        clip: ClipRow,
        verdict: str,
        *,
        minute: int = 0,
        speech: str | None = None,
        source_sha256: str | None = None,
        **said: Any,
    ) -> None:
        """Somebody decided on a clip, and perhaps on its speech, as it is in the manifest now."""
        utterance = self.utterance_rows()[clip.id]
        common: dict[str, Any] = {
            "annotator": said.pop("annotator", "ann@example.com"),
            "time": f"2026-11-22T08:{minute:02d}:00.000000Z",
            "shown": Shown(
                class_id=clip.class_id,
                sentence=utterance.text,
                first_frame=clip.start_frame,
                frames=clip.frames,
                source_sha256=source_sha256,
            ),
            "label_studio": LabelStudioIds(
                server=None,
                project=1,
                task=minute,
                annotation=hash((clip.id, minute)) % 10**6,
                created=f"2026-11-22T08:{minute:02d}:00.000000Z",
            ),
        }
        content = clip.sha256 if clip.decided_sha256 is msgspec.UNSET else clip.decided_sha256
        row = ReviewRow(id=clip.id, item="clip", content_sha256=content, verdict=verdict, **said, **common)
        heard = ReviewRow(
            id=utterance.id, item="utterance", content_sha256=utterance.sha256, verdict=speech or None, **common
        )
        append_reviews(reviews_path(self), [row, heard])


@pytest.fixture(scope="session")
def footage(tmp_path_factory: pytest.TempPathFactory, write_video: Callable[..., Path]) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("decided_on")
    return {name: write_video(folder / f"{name}.avi", 330, g=50) for name in ("s07-d20", "s08-d21")}


@pytest.fixture
def corpus(footage: dict[str, Path], make_interval: Callable, make_corpus: Callable, tmp_path: Path) -> Corpus:
    """Two videos, in each four intervals of cutting and four of stirring: one more than places on both sides."""
    (tmp_path / "videos").mkdir()
    videos = {
        f"{name}-cam-002": Path(shutil.copy(path, tmp_path / "videos" / path.name)) for name, path in footage.items()
    }
    intervals = []
    for name in footage:
        for place in range(4):
            intervals.append(make_interval(name, 80 * place + 1, 80 * place + 40))
            intervals.append(make_interval(name, 80 * place + 41, 80 * place + 79, "stir", "onion spatula"))
    return make_corpus(intervals, videos)


@pytest.fixture
def place(tmp_path: Path) -> ReviewedSet:
    return ReviewedSet(tmp_path / "set")


@pytest.fixture
def built(place: ReviewedSet, corpus: Corpus) -> ReviewedSet:
    place.build(corpus)
    return place
