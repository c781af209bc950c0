"""The data set card: metadata that the Hub's parser takes, counts that the manifests bear out, no names of people."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from dataset_tools.core.ledger import LedgerRow
from dataset_tools.core.workspace import Workspace
from dataset_tools.decisions.journal import ReviewRow
from dataset_tools.exports.exporting import export_dataset
from dataset_tools.manifests import (
    Augmentation,
    ClipRow,
    SpeakerFacts,
    UtteranceRow,
    WindowOrigin,
    read_rows,
    write_rows,
)
from dataset_tools.speech.recordings.consents import Consents, withdraw
from dataset_tools.speech.recordings.recording_rows import RecordingRow

EVERY_PART = ("mpii-footage", "own-footage", "unknown-footage", "recordings-without-consent")


def card_of(workspace: Workspace, folder: Path, format_name: str = "csv") -> str:
    export_dataset(workspace, format_name, folder, allowed=EVERY_PART)
    return (folder / "README.md").read_text("utf-8")


def section(card: str, title: str) -> str:
    return card.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def front_matter(card: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(card.split("---\n")[1])
    return loaded


def test_the_parser_of_the_hub_takes_the_front_matter(workspace: Workspace, tmp_path: Path) -> None:
    hub = pytest.importorskip("huggingface_hub")
    pytest.importorskip("pyarrow")
    found = hub.DatasetCard(card_of(workspace, tmp_path / "out", "huggingface")).data.to_dict()
    assert found["language"] == ["en"]
    assert found["license"] == "other"
    assert found["size_categories"] == ["n<1K"]  # 4 clips, 4 utterances, 8 pairs
    assert found["multilinguality"] == ["monolingual"]
    assert "synthetic" in found["tags"]
    by_name = {one["config_name"]: one for one in found["configs"]}
    assert list(by_name) == ["clips", "utterances", "pairs"]
    assert [one["split"] for one in by_name["pairs"]["data_files"]] == ["train", "test", "neither"]


@pytest.mark.parametrize("name", ["csv", "webdataset"])
def test_every_format_has_it(workspace: Workspace, tmp_path: Path, name: str) -> None:
    card = card_of(workspace, tmp_path / "out", name)
    assert "configs" not in front_matter(card)  # those are Parquet's
    assert "README.md" in (tmp_path / "out" / "SHA256SUMS").read_text()
    assert "This is a stand-in." in section(card, "Known limits")


def test_the_composition_is_that_of_the_manifests(
    workspace: Workspace, tmp_path: Path, manifest: Callable[[Workspace, str], list[dict[str, Any]]]
) -> None:
    composition = section(card_of(workspace, tmp_path / "out"), "Composition")
    clips, spoken = manifest(workspace, "clips"), manifest(workspace, "utterances")
    assert "| clips | 4 | 2 | 2 | 0 |" in composition
    assert "| pairs | 8 | 2 | 2 | 4 |" in composition
    hours = sum(row["duration_s"] for row in clips) / 3600
    assert f"| clips | 4 | {hours:.3f} | 1.70 | 1.70 |" in composition
    hours = sum(row["duration_s"] for row in spoken) / 3600
    assert f"| synthesized utterances | 4 | {hours:.3f} | 0.10 | 0.10 |" in composition
    people, videos = len({row["person"] for row in clips}), len({row["video"] for row in clips})
    assert f"2 classes, {people} persons, {videos} source videos" in composition
    assert "| `peel` | 2 | 2 |" in composition


def test_licenses_are_those_of_the_parts(
    workspace: Workspace, tmp_path: Path, make_record: Callable[..., None]
) -> None:
    make_record(workspace, licences=["MPII: research only", "voices: <b>GPL</b>", r"of \<i>"])
    card = card_of(workspace, tmp_path / "out")
    licenses = section(card, "Licenses")
    assert "MPII: research only" in licenses
    assert "voices: \\<b>GPL\\</b>" in licenses
    assert r"of \\\<i>" in licenses  # a backslash, then no tag
    assert "not for redistribution: 4 clips" in licenses
    assert "included because the exporter stated a right to share it" in licenses
    assert front_matter(card)["license"] == "other"
    assert "synthetic" not in front_matter(card)["tags"]


@pytest.mark.parametrize(
    ("record", "is_cooking", "title"),
    [
        ({}, True, "MPII Cooking 2: video clips and spoken descriptions"),
        ({"stand_in": {"seed": 1}}, True, "Synthetic cooking corpus: video clips and spoken descriptions"),
        ({"own_footage": True}, False, "Video clips and spoken descriptions"),
        (None, False, "Video clips and spoken descriptions"),
    ],
    ids=["MPII Cooking 2", "stand-in", "own footage", "unknown"],
)
def test_only_footage_of_kitchens_is_of_cooking(
    workspace: Workspace,
    tmp_path: Path,
    make_record: Callable[..., None],
    record: dict[str, Any] | None,
    is_cooking: bool,
    title: str,
) -> None:
    if record is None:
        (workspace.manifests / "build.json").unlink()
    else:
        make_record(workspace, **record)
    card = card_of(workspace, tmp_path / "out", "croissant")
    tags = front_matter(card)["tags"]
    described = json.loads((tmp_path / "out" / "croissant.json").read_text("utf-8"))
    assert front_matter(card)["pretty_name"] == described["name"] == title
    assert f"\n# {title}\n" in card
    assert ("cooking" in tags, "cooking" in described["keywords"]) == (is_cooking, is_cooking)


def test_agreement_is_told_and_annotators_are_not(
    workspace: Workspace, tmp_path: Path, make_review: Callable[..., ReviewRow]
) -> None:
    clips = [row.id for row in read_rows(workspace.manifests / "clips.jsonl", ClipRow)]
    verdicts = {"ann@example.com": "aaar", "bob@example.com": "aarr"}
    rows = [
        make_review(
            minute=n,
            annotation=10 * len(who) + n + 100 * (who < "b"),
            id=clips[n],
            verdict={"a": "accept", "r": "reject"}[letter],
            annotator=who,
        )
        for who, letters in verdicts.items()
        for n, letter in enumerate(letters)
    ]
    workspace.annotations.mkdir()
    lines = sorted((msgspec.json.encode(row).decode() for row in rows), key=lambda line: json.loads(line)["time"])
    (workspace.annotations / "reviews.jsonl").write_text("\n".join(lines) + "\n")
    card = card_of(workspace, tmp_path / "out")
    judged = section(card, "Annotation and agreement")
    assert "2 annotators reviewed 4 clips and 0 utterances (8 decisions)" in judged
    # Observed 3/4. Kappa: chance 3/4·2/4 + 1/4·2/4 = 1/2. AC1, q = 3: shares 5/8, 3/8, 0, chance (2·15/64)/2 = 15/64.
    assert f"| verdict | 2 | 4 | Cohen's kappa | 0.500 | {(3 / 4 - 15 / 64) / (1 - 15 / 64):.3f} |" in judged
    assert "example.com" not in card


def test_speakers_and_withdrawals_are_told_without_names(
    workspace: Workspace, tmp_path: Path, make_manifests: Callable[..., None]
) -> None:
    clips = list(read_rows(workspace.manifests / "clips.jsonl", ClipRow))
    voices = ["annabel", "annabel", "bartholomew", "bartholomew"]
    spoken = [
        msgspec.structs.replace(row, source="recorded", voice=voice, engine=None)
        for row, voice in zip(read_rows(workspace.manifests / "utterances.jsonl", UtteranceRow), voices, strict=True)
    ]
    make_manifests(workspace, clips, spoken, lambda name: name.startswith("test"))
    consents = Consents(workspace, "I agree.")
    facts = SpeakerFacts(accent="Scottish", age_band="30-44", device="")
    assert consents.admit("Annabel", agreed=True, speaker=facts) == "annabel"
    consents.admit("Zebedee", agreed=True)
    withdraw(workspace, "zebedee")
    card = card_of(workspace, tmp_path / "out")
    speakers = section(card, "Speakers")
    assert "0 synthetic voices, 2 recorded speakers" in speakers
    assert "Age: 30-44: 1, not stated: 1." in speakers
    assert "Accent: Scottish: 1, not stated: 1." in speakers
    assert "Recorded with: not stated: 2." in speakers
    assert "Speakers with a recorded consent: 1." in speakers
    assert "not for redistribution: recordings" in section(card, "Licenses")
    assert "Withdrawn consents: 1." in section(card, "Personal information and withdrawals")
    assert not [name for name in ("annabel", "bartholomew", "zebedee") if name in card.lower()]


def test_recordings_are_counted_without_their_copies_and_takes_that_are_not_used(
    workspace: Workspace, tmp_path: Path, make_manifests: Callable[..., None]
) -> None:
    clips = list(read_rows(workspace.manifests / "clips.jsonl", ClipRow))
    first, *others = read_rows(workspace.manifests / "utterances.jsonl", UtteranceRow)
    recorded = msgspec.structs.replace(
        first, source="recorded", voice="annabel", engine=None, text="", text_source="recording"
    )
    parameters = Augmentation(original=first.id, speed=1.0, gain_db=0.0, room_s=0.1, snr_db=20.0)
    copy = msgspec.structs.replace(recorded, id=f"{first.id}_aug1", augmented=parameters)
    make_manifests(workspace, clips, [recorded, copy, *others], lambda name: name.startswith("test"))
    takes = [
        RecordingRow(
            id=name,
            original=f"recordings/{number:064x}.wav",
            original_sha256=f"{number:064x}",
            name="a.wav",
            licence="CC-BY-4.0",
            take=number,
            utterance=msgspec.structs.replace(recorded, id=name),
        )
        for number, name in enumerate((first.id, f"{first.id}-other"), start=1)
    ]
    write_rows(workspace.recordings / "recordings.jsonl", takes)
    card = card_of(workspace, tmp_path / "out")
    made = section(card, "How it was made")
    assert "1 utterance was recorded by people." in made
    assert "not stated: 2" in made  # its sentence, and that of the copy
    assert "supplied with the recording" not in made
    assert "1 utterance is an augmented copy of others" in made
    assert "by the license stated at their import: CC-BY-4.0: 1\n" in f"{section(card, 'Licenses')}\n"


def test_what_the_rows_and_the_ledger_tell_is_counted(
    workspace: Workspace,
    tmp_path: Path,
    make_manifests: Callable[..., None],
    make_record: Callable[..., None],
    make_review: Callable[..., ReviewRow],
) -> None:
    first, second, *others = read_rows(workspace.manifests / "clips.jsonl", ClipRow)
    clips = [
        msgspec.structs.replace(first, trim=(3, 50), review="trim"),
        msgspec.structs.replace(second, origin=WindowOrigin(index=2, of=2), sound=True, review="accept"),
        *(msgspec.structs.replace(row, sound=True) for row in others),
    ]
    clips[3] = msgspec.structs.replace(clips[3], class_id=first.class_id)
    good, *doubtful = read_rows(workspace.manifests / "utterances.jsonl", UtteranceRow)
    spoken = [
        msgspec.structs.replace(good, quality={}, text_source="grammar", review="accept"),
        msgspec.structs.replace(doubtful[0], text_source="grammar"),
        *(msgspec.structs.replace(row, text_source="tacos", language="zh") for row in doubtful[1:]),
    ]
    make_manifests(workspace, clips, spoken, lambda name: name.startswith("test"))
    make_record(workspace, refused={"too short": 7, "two classes": 9})
    review = make_review(minute=1, id=second.id, content_sha256=second.sha256)
    workspace.annotations.mkdir()
    (workspace.annotations / "reviews.jsonl").write_bytes(msgspec.json.encode(review) + b"\n")
    statuses = {"clip/a": "failed", "clip/b": "failed", "clip/c": "skipped", "clip/d": "ok", "utterance/a": "failed"}
    rows = [LedgerRow(id=name, status=status, stage="cut") for name, status in statuses.items()]  # type: ignore[arg-type]
    workspace.ledger.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))

    card = card_of(workspace, tmp_path / "out")
    made = section(card, "How it was made")
    assert "1 clip is a window of longer intervals; 3 have the audio of their video." in made
    assert "Left out in the build, by kind and status: clip failed: 2, clip skipped: 1, utterance failed: 1." in made
    assert "Refused intervals, by reason: two classes: 9, too short: 7." in made
    assert "utterances by engine: espeak 1.52: 4." in made
    assert "recorded by people" not in made
    judged = section(card, "Annotation and agreement")
    assert "1 annotator reviewed 1 clip and 0 utterances (1 decision)" in judged
    assert "Clips by verdict: not reviewed: 2, accept: 1, trim: 1; 1 were trimmed." in judged
    assert "Utterances by verdict: not reviewed: 3, accept: 1." in judged
    assert "Languages, by utterances: en: 2, zh: 2." in section(card, "Speakers")
    limits = section(card, "Known limits")
    assert "4 of 4 utterances have synthetic voices" in limits
    assert "2 of 4 sentences come from templates" in limits
    assert "3 utterances have audio quality warnings" in limits
    assert "2 of 4 clips were not reviewed." in limits
    assert "Classes are imbalanced: 1 to 3 clips." in limits
