"""Rows of somebody else: whatever becomes part of a path is refused by the reader, and nothing is written outside."""

from __future__ import annotations

import importlib
import json
import pkgutil
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import inspect
from typer.testing import CliRunner

import dataset_tools
from dataset_tools.cli.main import app as data_app
from dataset_tools.core.errors import ManifestError
from dataset_tools.core.jsonl import Row
from dataset_tools.core.ledger import LedgerRow, read_ledger
from dataset_tools.decisions.journal import ReviewRow, read_reviews
from dataset_tools.manifests import ClipRow, PairRow, PredictionRow, SplitPairRow, UtteranceRow, read_rows
from dataset_tools.speech.recordings.consent_rows import ConsentRow
from dataset_tools.speech.recordings.recording_rows import RecordingRow
from dataset_tools.speech.transcripts import TranscriptRow
from fmn.cli.main import app as fmn_app

OLD = Path(__file__).parents[1] / "fixtures" / "workspace_0_1_0"
EXAMPLES = Path(__file__).parents[2] / "manifests" / "example"
SHA256 = "0123456789abcdef" * 4

SPEAKER = {"speaker.accent", "speaker.age_band", "speaker.device"}
FREE = {  # texts that are shown, spoken or compared, and of which no path is formed
    ClipRow: {"review"},
    UtteranceRow: {"text", "text_source", "language", "engine", "review", *SPEAKER},
    SplitPairRow: {"id", "class.action", "class.subject", "class.object"},
    PairRow: {"id"},
    PredictionRow: {"model"},
    LedgerRow: {"id", "stage", "key"},
    ConsentRow: {"name", "text", "time", *SPEAKER},
    RecordingRow: {"name", "licence", "speaker_name"},
    TranscriptRow: {"text", "checker"},
    ReviewRow: {
        *("corrected_class", "sentence", "note", "annotator", "time", "problem", "changed"),
        *("shown.class", "shown.sentence", "label_studio.server", "label_studio.created"),
    },
}
NESTED = {"clip": ClipRow, "utterance": UtteranceRow}
READERS: dict[type[Row], Callable[[Path], object]] = {ReviewRow: read_reviews, LedgerRow: read_ledger}


def row_types() -> list[type[Row]]:
    """Every kind of row that the toolkit has: of all its modules, so that a new one is among them."""
    for module in pkgutil.walk_packages(dataset_tools.__path__, "dataset_tools."):
        if module.name != "dataset_tools.exports.formats.mteb_task":  # lies beside an export, whose files it reads
            importlib.import_module(module.name)

    def below(kind: type[Row]) -> Iterator[type[Row]]:
        for one in kind.__subclasses__():
            yield from below(one)
            tag = one.__struct_config__.tag
            if one.__name__.startswith("_"):  # some fields of another kind; cards.py forms no path of them
                continue
            if one.__module__.startswith("dataset_tools.") and tag not in (None, one.__name__):
                yield one

    return sorted(set(below(Row)), key=lambda kind: kind.__name__)


def text_fields(kind: inspect.Type, path: str = "") -> Iterator[tuple[str, inspect.StrType]]:
    """Every text in a row, by dotted name; lists of texts and free-form mappings hold no names of files."""
    if isinstance(kind, inspect.StrType):
        yield path, kind
    elif isinstance(kind, inspect.UnionType):
        for one in kind.types:
            yield from text_fields(one, path)
    elif isinstance(kind, inspect.StructType):
        for field in kind.fields:
            yield from text_fields(field.type, f"{path}.{field.encode_name}".lstrip("."))


def valid(kind: type[Row]) -> dict[str, Any]:
    """A row with every field that a path is formed of, as the file has it."""

    def first(name: str) -> dict[str, Any]:
        return dict(json.loads((EXAMPLES / f"{name}.jsonl").read_text("utf-8").splitlines()[0]))

    clip = first("clips") | {"decided_sha256": SHA256}
    copied = {"original": "a", "speed": 1.0, "gain_db": 0.0, "room_s": 0.1, "snr_db": 20.0}
    utterance = first("utterances") | {"augmented": copied}
    shown = {"class": "c", "sentence": "", "first_frame": 1, "frames": 9, "source_sha256": SHA256}
    created = {"server": None, "project": 1, "task": 1, "annotation": 1, "created": "2026-11-22T07:00:00.000000Z"}
    rows: dict[type[Row], dict[str, Any]] = {
        ClipRow: clip,
        UtteranceRow: utterance,
        PairRow: first("pairs"),
        SplitPairRow: first("train") | {"clip": clip, "utterance": utterance},
        PredictionRow: {"class": "c", "clip_sha256": SHA256, "confidence": 0.5, "uncertainty": 0.5, "model": "m"},
        LedgerRow: {"id": "clip/a", "status": "ok", "stage": "cut", "path": "clips/a.mp4", "sha256": SHA256},
        RecordingRow: {"original": "recordings/a.wav", "original_sha256": SHA256, "name": "a", "licence": "", "take": 1}
        | {"utterance": utterance},
        ConsentRow: {"name": "N", "text": "t", "time": "now"},
        TranscriptRow: {"sha256": SHA256, "text": "t", "checker": "c", "score": 1.0},
        ReviewRow: {"item": "clip", "content_sha256": SHA256, "verdict": "accept", "annotator": "a", "time": "20260101"}
        | {"shown": shown, "label_studio": created},
    }
    return {"schema": kind.__struct_config__.tag, "id": "a"} | rows[kind]


def fields_of(kind: type[Row]) -> dict[str, inspect.StrType]:
    return dict(text_fields(inspect.type_info(kind)))


def is_free(kind: type[Row], name: str) -> bool:
    outer, _, inner = name.partition(".")
    nested = FREE[NESTED[outer]] if outer in NESTED and inner else set()
    return name in FREE[kind] or inner in nested


CHECKED = [(kind, name) for kind in row_types() for name in fields_of(kind) if not is_free(kind, name)]


def test_every_text_of_every_row_is_known_to_be_free_or_is_checked() -> None:
    assert set(FREE) == set(row_types())
    unchecked = [f"{kind.__name__}.{name}" for kind, name in CHECKED if fields_of(kind)[name].pattern is None]
    assert not unchecked
    checked = {f"{kind.__name__}.{name}" for kind, name in CHECKED}
    assert {"ClipRow.id", "ClipRow.sha256", "UtteranceRow.path", "SplitPairRow.clip.decided_sha256"} <= checked
    assert {"LedgerRow.path", "ReviewRow.content_sha256", "UtteranceRow.augmented.original"} <= checked


def read(tmp_path: Path, kind: type[Row], row: dict[str, Any]) -> Path:
    """Reads a file of the one row as the toolkit does."""
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row) + "\n", "utf-8")
    READERS.get(kind, lambda path: list(read_rows(path, kind)))(path)
    return path


def with_value(row: dict[str, Any], name: str, value: object) -> dict[str, Any]:
    first, _, rest = name.partition(".")
    return row | {first: with_value(row[first], rest, value) if rest else value}


@pytest.mark.parametrize("kind", row_types(), ids=lambda kind: kind.__name__)
def test_the_rows_of_this_test_are_right_but_for_what_it_changes(tmp_path: Path, kind: type[Row]) -> None:
    read(tmp_path, kind, valid(kind))


HOSTILE = (
    *("../../outside/x", "/etc/passwd", "a/../../b", "..", ".", "", "a\\..\\b", "a\0b", "a\nb", "a\n", "a\x7f"),
    *("a\x85", "a//b", "a/", "./a", "x" * 5000),
)


@pytest.mark.parametrize(("kind", "name"), CHECKED, ids=lambda value: getattr(value, "__name__", value))
def test_a_hostile_value_is_refused_by_file_line_and_field(tmp_path: Path, kind: type[Row], name: str) -> None:
    for value in HOSTILE:
        with pytest.raises(ManifestError) as caught:
            read(tmp_path, kind, with_value(valid(kind), name, value))
        assert caught.value.where == f"{tmp_path / 'rows.jsonl'}, line 1"
        assert f"$.{name}" in caught.value.found
        assert "regex" not in caught.value.found


@pytest.mark.parametrize("kind", [ClipRow, UtteranceRow])
def test_an_id_that_is_longer_than_the_name_of_a_file_is_refused(tmp_path: Path, kind: type[Row]) -> None:
    read(tmp_path, kind, valid(kind) | {"id": "手" * 83})  # 249 bytes, and .mp4
    with pytest.raises(ManifestError, match="bytes"):
        read(tmp_path, kind, valid(kind) | {"id": "手" * 84})


@pytest.mark.parametrize("sha256", ["0" * 63, "0" * 65, "g" * 64, "A" * 64, "../../../o", "0" * 64 + "\n"])
def test_a_hash_is_64_hexadecimal_digits(tmp_path: Path, sha256: str) -> None:
    with pytest.raises(ManifestError, match="hexadecimal"):
        read(tmp_path, ClipRow, valid(ClipRow) | {"sha256": sha256})


LETTERS = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/\\"), min_size=1, max_size=60)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=LETTERS.filter(lambda text: text not in (".", "..")))
def test_letters_of_every_script_are_allowed(tmp_path: Path, name: str) -> None:
    read(tmp_path, ClipRow, valid(ClipRow) | {"id": name, "class": name, "path": f"clips/{name}.mp4"})
    read(tmp_path, UtteranceRow, valid(UtteranceRow) | {"id": name, "clip": name, "voice": f"coqui:{name}+ß é 手"})


COMMANDS = (  # what reads first, before what writes a manifest anew
    (fmn_app, "train", "manifests/train.jsonl"),
    (fmn_app, "eval", "runs/fmn"),
    (fmn_app, "predict", "runs/fmn"),
    (data_app, "report"),
    (data_app, "annotate", "push", "--dry-run"),
    (data_app, "annotate", "status"),
    (data_app, "pairs"),
    (data_app, "speech", "synthesize", "--augment", "1"),
)
ATTACKS = (
    ("clips.jsonl", "id", "../../outside/pwn"),
    ("clips.jsonl", "sha256", "../../../outside/pwn"),
    ("clips.jsonl", "path", "../outside/secret.mp4"),
    ("utterances.jsonl", "id", "../../outside/pwn"),
    ("utterances.jsonl", "path", "/etc/passwd"),
    ("train.jsonl", "clip.sha256", "../../../outside/pwn"),
    ("test.jsonl", "utterance.sha256", "../../../outside/pwn"),
)


@pytest.mark.parametrize(("manifest", "field", "value"), ATTACKS)
def test_no_command_writes_outside_of_the_workspace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, manifest: str, field: str, value: str
) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.mp4").write_bytes(b"secret")
    workspace = Path(shutil.copytree(OLD, tmp_path / "in" / "w"))
    path = workspace / "manifests" / manifest
    first, *others = path.read_text("utf-8").splitlines()
    path.write_text("\n".join([json.dumps(with_value(json.loads(first), field, value)), *others]) + "\n", "utf-8")
    before = {file for file in tmp_path.rglob("*") if not file.is_relative_to(workspace)}
    monkeypatch.chdir(workspace)
    refused = 0
    for app, *arguments in COMMANDS:
        ended = CliRunner().invoke(app, [*arguments])
        assert "Unexpected" not in ended.output, (arguments, ended.output)
        refused += ended.exit_code == 2 and f"{manifest}, line 1" in " ".join(ended.output.split())
    assert {file for file in tmp_path.rglob("*") if not file.is_relative_to(workspace)} == before
    assert refused


def test_a_journal_that_is_a_link_is_not_written_through(tmp_path: Path) -> None:
    from dataset_tools.core.ledger import Ledger

    secret = tmp_path / "secret"
    secret.write_text("mine")
    workspace = tmp_path / "w"
    (workspace / "cache").mkdir(parents=True)
    (workspace / "cache" / "ledger.journal").symlink_to(secret)
    with Ledger(workspace / "ledger.jsonl") as ledger:
        ledger.record(LedgerRow(id="clip/a", status="failed", stage="cut"))
    assert secret.read_text() == "mine"
    assert set(read_ledger(workspace / "ledger.jsonl")) == {"clip/a"}
