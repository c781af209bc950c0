"""A workspace made by hand: four clips and four utterances of two classes, whose files are a few bytes each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import soundfile

from dataset_tools.core.workspace import Workspace
from dataset_tools.manifests import ClassLabel, ClipRow, PairRow, SplitPairRow, UtteranceRow, write_rows

LABELS = {
    "cut_carrot_knife": ClassLabel(id="cut_carrot_knife", action="cut", subject="carrot", object="knife"),
    "peel": ClassLabel(id="peel", action="peel", subject="", object=None),
}
STAND_IN = {"notice": "This is a stand-in.", "seed": 0, "difficulty": "easy"}


def write_build_record(workspace: Workspace, **fields: Any) -> None:
    """A build.json with just these fields."""
    record = {"schema": "fmn.build/1", "stand_in": None, "own_footage": False, "licences": ["a licence"], **fields}
    (workspace.manifests / "build.json").write_text(json.dumps(record))


def write_manifests(
    workspace: Workspace, clips: list[ClipRow], utterances: list[UtteranceRow], is_test: Callable[[str], bool]
) -> None:
    """All pairs of a class; those of a test item and a training item are on neither side."""
    pairs = [
        (PairRow(id=f"{clip.id}__{spoken.id}", class_id=clip.class_id, clip=clip.id, utterance=spoken.id), clip, spoken)
        for clip in clips
        for spoken in utterances
        if clip.class_id == spoken.class_id
    ]
    pairs.sort(key=lambda one: one[0].id)
    write_rows(workspace.manifests / "clips.jsonl", sorted(clips, key=lambda row: row.id))
    write_rows(workspace.manifests / "utterances.jsonl", sorted(utterances, key=lambda row: row.id))
    write_rows(workspace.manifests / "pairs.jsonl", (pair for pair, _, _ in pairs))
    for side, wanted in (("train", False), ("test", True)):
        rows = [
            SplitPairRow(
                id=pair.id,
                label=LABELS[pair.class_id],
                clip=clip,
                utterance=spoken,
                split=side,  # type: ignore[arg-type]
                fold=None if wanted else 1,
            )
            for pair, clip, spoken in pairs
            if is_test(clip.id) == wanted == is_test(spoken.id)
        ]
        write_rows(workspace.manifests / f"{side}.jsonl", rows)


@pytest.fixture
def workspace(
    tmp_path: Path, make_clip: Callable[..., ClipRow], make_utterance: Callable[..., UtteranceRow]
) -> Workspace:
    """Two clips and two utterances a class, one of each to train with and one to test with.

    Names have what formats stumble over: dots, a percent sign, a comma, letters of other scripts.
    """
    place = Workspace(tmp_path / "data set")
    for folder in (place.manifests, place.clips, place.speech, place.recordings):
        folder.mkdir(parents=True)
    clips, utterances = [], []
    for number, class_id in enumerate(["cut_carrot_knife", "cut_carrot_knife", "peel", "peel"]):
        clip = make_clip(class_id, number, 1, 100)
        clip_id = f"{'test' if number % 2 else 'train'}-é.v{number}, 50%2E"
        content = f"film {number}".encode() * (100 + number)
        clip = msgspec.structs.replace(
            clip, id=clip_id, path=f"clips/{clip_id}.mp4", sha256=hashlib.sha256(content).hexdigest()
        )
        (place.root / clip.path).write_bytes(content)
        spoken = make_utterance(class_id, clip_id, "an.na")
        soundfile.write(place.root / spoken.path, np.full(1600, number / 10), 16000, subtype="PCM_16")
        content = (place.root / spoken.path).read_bytes()
        quality = {"warnings": ['say "it", twice']}
        spoken = msgspec.structs.replace(
            spoken,
            sha256=hashlib.sha256(content).hexdigest(),
            quality=quality,
            duration_s=0.1,
            engine="espeak 1.52",
        )
        clips.append(clip)
        utterances.append(spoken)
    write_manifests(place, clips, utterances, lambda name: name.startswith("test"))
    write_build_record(place, stand_in=STAND_IN)
    return place


@pytest.fixture
def manifest() -> Callable[[Workspace, str], list[dict[str, Any]]]:
    """The rows of a manifest, read with nothing but a JSON parser."""

    def read(place: Workspace, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (place.manifests / f"{name}.jsonl").read_text("utf-8").splitlines()]

    return read


@pytest.fixture
def make_record() -> Callable[..., None]:
    """`write_build_record`, for tests."""
    return write_build_record


@pytest.fixture
def make_manifests() -> Callable[..., None]:
    """`write_manifests`, for tests."""
    return write_manifests
