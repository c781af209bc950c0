"""Every reader of a workspace's files, and of lists and exports for it: a result, or an error that names the file."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from dataset_tools.build.inputs import read_inputs
from dataset_tools.build.untrusted import check_untrusted
from dataset_tools.classes.reader import load_classes
from dataset_tools.core.ledger import read_ledger
from dataset_tools.core.shipped_files import shipped_file
from dataset_tools.core.workspace import Workspace
from dataset_tools.decisions.journal import read_reviews
from dataset_tools.decisions.unread import unread_warning
from dataset_tools.decisions.verdicts import with_verdicts
from dataset_tools.label_studio.export_file import pull_from_file
from dataset_tools.label_studio.predictions import read_predictions
from dataset_tools.label_studio.projects import remembered
from dataset_tools.last_build import read_last_build
from dataset_tools.manifests import ClipRow, PairRow, SplitPairRow, UtteranceRow, read_rows
from dataset_tools.pairs.pairing import PairOptions, make_pairs
from dataset_tools.pairs.split_record import read_split
from dataset_tools.report.page import write_report
from dataset_tools.speech.recordings.consents import Consents
from dataset_tools.speech.recordings.recording_files import find_recordings
from dataset_tools.speech.recordings.recording_rows import read_recordings

OLD = Path(__file__).parents[1] / "fixtures" / "workspace_0_1_0"
SHA256 = "0123456789abcdef" * 4
CLIP = json.loads((OLD / "manifests" / "clips.jsonl").read_text("utf-8").splitlines()[0])
UTTERANCE = json.loads((OLD / "manifests" / "utterances.jsonl").read_text("utf-8").splitlines()[0])
TIME = "2026-11-22T07:00:00.000000Z"


def rows(*values: Mapping[str, object]) -> Callable[[], bytes]:
    return lambda: b"".join(json.dumps(value).encode() + b"\n" for value in values)


def review(number: int) -> dict[str, object]:
    made = {"server": "http://x", "project": 1, "task": number, "annotation": number, "created": TIME}
    shown = {
        "class": CLIP["class"],
        "sentence": "Cut it.",
        "first_frame": CLIP["start_frame"],
        "frames": CLIP["frames"],
    }
    fields = {"id": CLIP["id"], "item": "clip", "content_sha256": CLIP["sha256"], "verdict": "trim", "annotator": "a"}
    trim = [CLIP["start_frame"], CLIP["start_frame"] + 9]
    return {"schema": "fmn.review/1", **fields, "time": TIME, "trim": trim, "shown": shown, "label_studio": made}


def export() -> bytes:
    data = {"clip_id": CLIP["id"], "clip_sha256": CLIP["sha256"], "class": CLIP["class"], "interval": None}
    data |= {"first_frame": CLIP["start_frame"], "frames": CLIP["frames"], "sentence": "Cut it.", "look": 1}
    data |= {"utterance_id": UTTERANCE["id"], "utterance_sha256": UTTERANCE["sha256"]}
    result = [
        {"from_name": "verdict", "type": "choices", "value": {"choices": ["trim"]}},
        {"from_name": "trim", "type": "timelinelabels", "value": {"ranges": [{"start": 2, "end": 9}]}},
        {"from_name": "action", "type": "taxonomy", "value": {"taxonomy": [["a", "cut"]]}},
        {"from_name": "sentence", "type": "textarea", "value": {"text": ["Cut it now."]}},
        {"from_name": "speech_rating", "type": "rating", "value": {"rating": 4}},
        {"from_name": "trim_start", "type": "number", "value": {"number": 3}},
    ]
    times = {"created_at": TIME, "updated_at": TIME, "lead_time": 3.0}
    annotation = {"id": 7, "completed_by": {"email": "a@x"}, "result": result, "was_cancelled": False, **times}
    return json.dumps([{"id": 3, "project": 2, "data": data, "annotations": [annotation]}]).encode()


def pull(root: Path) -> None:
    (root / "annotations" / "reviews.jsonl").unlink(missing_ok=True)
    pull_from_file(Workspace(root), root / "export.json")
    decide(root)


def decide(root: Path) -> None:
    clips = list(read_rows(root / "manifests" / "clips.jsonl", ClipRow))
    utterances = list(read_rows(root / "manifests" / "utterances.jsonl", UtteranceRow))
    with_verdicts(clips, utterances, read_reviews(root / "annotations" / "reviews.jsonl"))


def report(root: Path) -> None:
    (root / "manifests" / "clips.jsonl").write_bytes(b"")  # no pictures to draw
    write_report(Workspace(root), load_classes(count=None), jobs=1)


def pairs(root: Path) -> None:
    make_pairs(Workspace(root), load_classes(count=None), PairOptions(), dry_run=True)


def untrusted(root: Path) -> None:
    """It lists problems, and raises nothing of the rows; media are looked at only where there are none."""
    assert check_untrusted(root).problems


FOOTAGE = {"kind": "mpii", "path": "in", "videos": None}
CONSENT = {"schema": "fmn.consent/1", "id": "ann", "name": "Ann", "text": "Yes.", "time": "2026-11-22T07:00:00Z"}
RECORDING = {"original": "recordings/a.wav", "original_sha256": SHA256, "name": "a.wav", "licence": "", "take": 1}
GUESS = {"class": CLIP["class"], "clip_sha256": SHA256, "confidence": 0.5, "uncertainty": 0.5, "model": "m"}
LINKS = {"schema": "fmn.label-studio/1", "servers": {}}


TARGETS: dict[str, tuple[str, str, Callable[[Path], object], Callable[[], bytes] | None]] = {
    "class file": (
        "bytes",
        "annotations/classes.yaml",
        lambda root: load_classes(root / "annotations" / "classes.yaml"),
        shipped_file("classes.yaml").read_bytes,
    ),
    "clips": ("rows", "manifests/clips.jsonl", lambda root: pairs(root), None),
    "utterances": ("rows", "manifests/utterances.jsonl", lambda root: pairs(root), None),
    "pairs": (
        "rows",
        "manifests/pairs.jsonl",
        lambda root: list(read_rows(root / "manifests/pairs.jsonl", PairRow)),
        None,
    ),
    "train": (
        "rows",
        "manifests/train.jsonl",
        lambda root: list(read_rows(root / "manifests/train.jsonl", SplitPairRow)),
        None,
    ),
    "reviews": ("rows", "annotations/reviews.jsonl", decide, rows(review(1), review(2))),
    "ledger": ("rows", "ledger.jsonl", lambda root: read_ledger(root / "ledger.jsonl"), None),
    "ledger's journal": (
        "rows",
        "cache/ledger.journal",
        lambda root: read_ledger(root / "ledger.jsonl"),
        (OLD / "ledger.jsonl").read_bytes,
    ),
    "build record": ("json", "manifests/build.json", lambda root: read_last_build(Workspace(root)), None),
    "report of a build record": ("json", "manifests/build.json", report, None),
    "report of a ledger": ("rows", "ledger.jsonl", report, None),
    "split record": ("json", "manifests/split.json", lambda root: read_split(Workspace(root)), None),
    "inputs": (
        "json",
        "workspace.json",
        lambda root: read_inputs(Workspace(root)),
        lambda: json.dumps({"schema": "fmn.inputs/1", "footage": FOOTAGE, "class_file": None}).encode(),
    ),
    "consents": (
        "rows",
        "recordings/consents.jsonl",
        lambda root: Consents(Workspace(root), "Yes.").known("Ann"),
        rows(CONSENT),
    ),
    "recordings": (
        "rows",
        "recordings/recordings.jsonl",
        lambda root: read_recordings(Workspace(root)),
        rows({"schema": "fmn.recording/1", "id": "a", **RECORDING, "utterance": UTTERANCE}),
    ),
    "list of recordings": (
        "csv",
        "in/a.csv",
        lambda root: find_recordings(root / "in" / "a.csv", load_classes(count=None), ()),
        lambda: b"path,class,voice,text\na.csv,wash_apple,Ann,Wash the apple.\n",
    ),
    "predictions": (
        "rows",
        "runs/fmn/predictions.jsonl",
        lambda root: read_predictions(root / "runs" / "fmn"),
        rows({"schema": "fmn.prediction/1", "id": CLIP["id"], **GUESS}),
    ),
    "export": ("json", "export.json", pull, export),
    "projects": (
        "json",
        "annotations/label-studio/projects.json",
        lambda root: remembered(Workspace(root), "http://x"),
        lambda: json.dumps(LINKS).encode(),
    ),
    "unread": (
        "json",
        "annotations/label-studio/unread.json",
        lambda root: unread_warning(Workspace(root)),
        lambda: b'{"a": 3}',
    ),
    "untrusted manifest": ("rows", "manifests/clips.jsonl", untrusted, None),
}


@pytest.mark.filterwarnings("ignore:Generating overly large repr")
@pytest.mark.parametrize("name", sorted(TARGETS))
def test_any_change_gives_a_result_or_names_the_file(fuzz: Callable[..., None], name: str) -> None:
    fuzz(*TARGETS[name])
