"""Intervals and corpora of them."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile

from dataset_tools.clips.encoding import encode
from dataset_tools.core.files import sha256_of
from dataset_tools.core.workspace import Workspace
from dataset_tools.corpora.corpus import Annotations, Corpus, Interval
from dataset_tools.manifests import ClassLabel, ClipRow, SplitPairRow, UtteranceRow, write_rows
from dataset_tools.video.decoding import SourceVideo


@pytest.fixture
def make_interval() -> Callable[..., Interval]:
    """An interval of ``verb`` and ``things``; its index in the annotation file counts up."""
    count = itertools.count()

    def make(
        sequence: str, start: int, end: int, verb: str = "cut", things: str = "carrot knife", video: str | None = None
    ) -> Interval:
        return Interval(
            index=next(count),
            video=video or f"{sequence}-cam-002",
            start_frame=start,
            end_frame=end,
            verb=verb,
            things=frozenset(things.split()),
            verbs=frozenset([verb]),
        )

    return make


@pytest.fixture
def make_corpus(tmp_path: Path) -> Callable[..., Corpus]:
    """A corpus of intervals; ``videos`` are by name, or (None) said to be there, all of them."""

    def make(intervals: Sequence[Interval], videos: dict[str, Path] | None = None) -> Corpus:
        root = tmp_path / "mpii"
        root.mkdir(exist_ok=True)
        mat = root / "annotations.mat"
        mat.write_text(repr(intervals))
        if videos is None:
            videos = {interval.video: root / f"{interval.video}.avi" for interval in intervals}
        return Corpus(
            root=root,
            annotations=Annotations(mat, tuple(intervals), 29.4, (), "made for tests"),
            videos=videos,
            splits={},
            standin=None,
            sentences=None,
        )

    return make


CUT = ClassLabel(id="cut_carrot_knife", action="cut", subject="carrot", object="knife")


@pytest.fixture
def dataset(unchanged_dataset: Workspace, tmp_path: Path) -> Workspace:
    """Four clips with an utterance each, two training, two testing, all as their rows say."""
    return Workspace(Path(shutil.copytree(unchanged_dataset.root, tmp_path / "workspace")))


@pytest.fixture(scope="session")
def unchanged_dataset(
    write_video: Callable[..., Path],
    make_clip: Callable[..., ClipRow],
    make_utterance: Callable[..., UtteranceRow],
    tmp_path_factory: pytest.TempPathFactory,
) -> Workspace:
    folder = tmp_path_factory.mktemp("dataset")
    place = Workspace(folder / "workspace")
    clips, utterances, pairs = [], [], []
    with SourceVideo(write_video(folder / "source.avi", 80)) as video:
        for number, start in enumerate((1, 21, 41, 61)):
            clip = make_clip(CUT.id, 7 + number, 20, start)
            path = place.root / clip.path
            made = encode(video.pictures(start, start + 9, 64), Fraction(147, 5), path, "key")
            clip = msgspec.structs.replace(clip, sha256=sha256_of(path), **msgspec.structs.asdict(made))
            utterance = make_utterance(CUT.id, clip.id, f"voice{number}")
            path = place.root / utterance.path
            path.parent.mkdir(exist_ok=True)
            soundfile.write(path, np.sin(np.arange(16000) * (0.05 + 0.01 * number)), 16000, subtype="PCM_16")
            utterance = msgspec.structs.replace(utterance, sha256=sha256_of(path), duration_s=1.0)
            clips.append(clip)
            utterances.append(utterance)
            side = "train" if number < 2 else "test"
            pair_id = f"{clip.id}__{utterance.id}"
            pairs.append(SplitPairRow(id=pair_id, label=CUT, clip=clip, utterance=utterance, split=side, fold=None))
    write_rows(place.manifests / "clips.jsonl", clips)
    write_rows(place.manifests / "utterances.jsonl", utterances)
    write_rows(place.manifests / "train.jsonl", pairs[:2])
    write_rows(place.manifests / "test.jsonl", pairs[2:])
    return place


@pytest.fixture(scope="session")
def contents() -> Callable[[Workspace], dict[str, bytes]]:
    """Every file in a workspace but for the cache and the place of the footage, by its path there."""

    def of(place: Workspace) -> dict[str, bytes]:
        return {
            str(path.relative_to(place.root)): path.read_bytes()
            for path in sorted(place.root.rglob("*"))
            if path.is_file() and not {"cache", "workspace.json"} & {*path.relative_to(place.root).parts}
        }

    return of
