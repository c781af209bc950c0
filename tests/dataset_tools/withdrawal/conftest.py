"""A data set with two voices, one of whom withdraws."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from dataset_tools.build.dataset_synthesis import synthesize_dataset
from dataset_tools.classes.reader import load_classes
from dataset_tools.cli.main import app
from dataset_tools.core.files import PARTIAL
from dataset_tools.core.workspace import Workspace
from dataset_tools.decisions.journal import ReviewRow, append_reviews, reviews_path
from dataset_tools.manifests import ClipRow, UtteranceRow, read_rows, write_rows
from dataset_tools.pairs.pair_assignment import PairOptions
from dataset_tools.pairs.pairing import make_pairs
from dataset_tools.speech.dataset_speech import import_dataset
from dataset_tools.speech.recordings.consents import CONSENT, Consents
from dataset_tools.speech.synthesis import SpeechOptions
from dataset_tools.speech.transcripts import TranscriptRow, transcripts_path

CLASSES = load_classes()
VOICE, OTHER = "annabel-q", "ben"
SPEECH = SpeechOptions(augment=1)


@dataclass(frozen=True)
class RecordedSet(Workspace):
    """A workspace, and what is found in it of voices."""

    def rows(self) -> list[UtteranceRow]:
        return list(read_rows(self.manifests / "utterances.jsonl", UtteranceRow))

    def of(self, voice: str) -> list[UtteranceRow]:
        return [row for row in self.rows() if row.voice == voice]

    def run(self, *arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, [*arguments, "-w", str(self.root)])
        return result.exit_code, result.stdout if "--json" in arguments else result.output

    def contents_of(self, voice: str) -> set[str]:
        """SHA-256 of everything that the voice is heard in, from the files themselves."""
        listed = (self.recordings / "recordings.jsonl").read_text("utf-8").splitlines()
        originals = {json.loads(line)["original"] for line in listed if json.loads(line)["utterance"]["voice"] == voice}
        paths = [self.root / name for name in originals] + [p for p in self.speech.iterdir() if voice in p.name]
        return {hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}

    def found(self, contents: set[str]) -> list[str]:
        """Files, outside of runs/, whose name or content has the voice's name or one of the contents, or is one."""
        words = re.compile("|".join([VOICE, "Annabel", *contents]).encode())
        paths = [path for path in self.root.rglob("*") if path.is_file() and "runs" not in path.parts]
        return sorted(
            str(path.relative_to(self.root))
            for path in paths
            if words.search(path.name.encode())
            or words.search(path.read_bytes())
            or hashlib.sha256(path.read_bytes()).hexdigest() in contents
        )

    def stones(self) -> list[str]:
        """SHA-256 of the names of those who withdrew."""
        lines = (self.recordings / "consents.jsonl").read_text("utf-8").splitlines()
        return [row["withdrawn"] for row in map(json.loads, lines) if "withdrawn" in row]

    @staticmethod
    def task(number: int, row: UtteranceRow) -> dict[str, object]:
        """A task as Label Studio exports it."""
        data = {"clip_id": row.clip, "speech": f"/{row.path}", "utterance_id": row.id, "utterance_sha256": row.sha256}
        return {"id": number, "data": data, "annotations": [{"id": number}]}


def write_recordings(folder: Path) -> None:
    """Recordings of two voices, turn about, and their list: of clips, and the last four of a class only."""
    folder.mkdir()
    random = np.random.default_rng(3)
    lines = ["path,class,clip,voice,text"]
    for number in range(12):
        time_s = np.arange(24_000) / 16_000
        tone = 0.3 * np.sin(2 * np.pi * random.uniform(200, 900) * time_s) * (np.sin(2 * np.pi * 2 * time_s) > -0.5)
        soundfile.write(folder / f"{number}.wav", tone, 16_000)
        clip = f"s{number:02d}-d20_000001-000050" if number < 8 else ""
        lines.append(f"{number}.wav,{'' if clip else 'cut_carrot_knife'},{clip},{(VOICE, OTHER)[number % 2]},")
    (folder / "list.csv").write_text("\n".join(lines), "utf-8")


@pytest.fixture
def source(written_once: Path, tmp_path: Path) -> Path:
    """The list of `write_recordings`."""
    return Path(shutil.copytree(written_once / "monday", tmp_path / "monday")) / "list.csv"


@pytest.fixture
def place(written_once: Path, tmp_path: Path) -> RecordedSet:
    """The data set of `write_set`."""
    return RecordedSet(Path(shutil.copytree(written_once / "set", tmp_path / "set")))


@pytest.fixture(scope="session")
def written_once(
    shared: Callable[..., Path], make_clip: Callable[..., ClipRow], make_review: Callable[..., ReviewRow]
) -> Path:
    """The folders ``monday`` and ``set``, which tests copy."""

    def write(folder: Path) -> None:
        folder.mkdir()
        write_recordings(folder / "monday")
        write_set(RecordedSet(folder / "set"), folder / "monday" / "list.csv", make_clip, make_review)

    return shared("withdrawal", write)


def write_set(
    place: RecordedSet, source: Path, make_clip: Callable[..., ClipRow], make_review: Callable[..., ReviewRow]
) -> None:
    """Writes a data set with traces of the voice wherever commands leave them."""
    clips = [make_clip(("cut_carrot_knife", "wash_apple")[n // 4 % 2], n, 20, 1) for n in range(16)]
    clips = sorted(clips, key=lambda clip: clip.id)
    write_rows(place.manifests / "clips.jsonl", clips)
    Consents(place, CONSENT).admit("Annabel Q", agreed=True)
    Consents(place, CONSENT).admit("Ben", agreed=True)
    synthesize_dataset(place, CLASSES, SPEECH)
    import_dataset(place, source, CLASSES)
    synthesize_dataset(place, CLASSES, SPEECH)  # copies of the recordings, too
    make_pairs(place, CLASSES, PairOptions())
    own, others = ([row for row in place.of(voice) if row.clip] for voice in (VOICE, OTHER))
    assert len(own) == 8, "recordings of four clips, and a copy of each"

    copy = next(row for row in own if row.id.endswith("_aug1"))
    record = {"schema": "fmn.build/1", "failures": [copy.id, "s00"]}
    (place.manifests / "build.json").write_text(json.dumps(record), "utf-8")
    split = json.loads((place.manifests / "split.json").read_text("utf-8"))
    split["merged"] = [[own[0].id, own[1].id], [others[0].id, others[1].id, own[0].id]]
    (place.manifests / "split.json").write_text(json.dumps(split), "utf-8")
    for folder, digests in {
        "audio-0": [row.sha256 for row in place.rows()] + ["a" * 64],  # the last of a copy of earlier days
        "audio-volume-0": [path.stem for path in place.recordings.glob("*.wav")],  # of queries
        "video-0": ["b" * 64],
    }.items():
        for digest in digests:
            path = place.cache / "features" / folder / digest[:2] / f"{digest}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(digest.encode())
    checked = [
        TranscriptRow(id=row.id, sha256=row.sha256, text=row.text, checker="none", score=3.0) for row in place.rows()
    ]
    write_rows(transcripts_path(place), checked)
    (place.cache / "booth").mkdir()
    (place.cache / "booth" / "left.wav").write_bytes(b"a take that was not kept")
    for index in ("fmn-demo-clip-test", "fmn-demo-speech-test"):  # of utterances, and of clips
        (place.cache / "index" / index).mkdir(parents=True)
        (place.cache / "index" / index / "half.f32").write_bytes(b"codes")
    (place.root / "report").mkdir()
    (place.root / "report" / "index.html").write_text(f"<code>{VOICE}</code> ../speech/{own[0].id}.wav", "utf-8")
    append_reviews(
        reviews_path(place),
        [
            make_review(minute=number, annotation=number, id=name, item=item, content_sha256=digest)
            for number, row in enumerate((own[0], others[0]), start=1)
            for name, item, digest in ((row.clip, "clip", "c" * 64), (row.id, "utterance", row.sha256))
        ],
    )
    sent = [place.task(number, row) for number, row in enumerate((own[0], others[0]), start=1)]
    folder = place.annotations / "label-studio"
    folder.mkdir(parents=True)
    (folder / "2026-11-22T07-00-00_project-1.json").write_text(json.dumps(sent), "utf-8")
    (folder / "torn-2026.txt").write_text(f'{{"id":"{own[0].id}","item', "utf-8")
    for left in (
        "cache/features/audio-0",
        "cache/index/fmn-demo-clip-test",
        "cache/booth",
        "annotations",
        "report",
    ):  # by killed commands
        partial = place.root / left / f"{PARTIAL}x"
        partial.mkdir(parents=True)
        (partial / "half.txt").write_text(VOICE, "utf-8")
        (partial / ".lock").touch()
