"""The forget command: it shows what would go, asks, and names runs and files of users that hold the voice."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

VOICE, OTHER = "annabel-q", "ben"


def test_the_command_shows_asks_and_names_runs_and_own_files(place: Any, source: Path) -> None:
    contents = place.contents_of(VOICE)
    shutil.copytree(source.parent, place.root / "monday")
    of_mine = ["manifests/train-v1.jsonl", "recordings/backup.wav"]  # beside those that the command mends and removes
    shutil.copy(place.manifests / "train.jsonl", place.root / of_mine[0])
    shutil.copy(source.parent / "0.wav", place.root / of_mine[1])
    of_study = "runs/noise-demo/20/train.jsonl"  # as of fmn noise
    (place.root / of_study).parent.mkdir(parents=True)
    shutil.copy(place.manifests / "train.jsonl", place.root / of_study)
    (place.runs / "noise-demo" / "noise.json").write_text('{"systems": ["fmn"]}', "utf-8")
    digest = hashlib.sha256((place.manifests / "train.jsonl").read_bytes()).hexdigest()
    states: dict[str, dict[str, object] | None] = {
        "trained": {"fitted_utterances": [row.id for row in place.rows()], "manifest_sha256": digest},
        "validated": {"fitted_utterances": [], "manifest_sha256": digest},
        "validated-before": {
            "fitted_utterances": [],
            "validated_utterances": [row.id for row in place.rows()],
            "manifest_sha256": "0" * 64,
        },
        "none": {"fitted_utterances": [], "manifest_sha256": "0" * 64},
        "learned": {"fitted_utterances": [], "manifest_sha256": "0" * 64},
        "ranked": {"fitted_utterances": [], "manifest_sha256": "0" * 64},
        "silent": None,
    }
    for name, state in states.items():
        (place.runs / name).mkdir(parents=True)
        (place.runs / name / "config.json").write_text("{}", "utf-8")
        if state is not None:
            (place.runs / name / "state.json").write_text(json.dumps(state), "utf-8")
    mine = [row.id for row in place.of(VOICE)]
    about = json.dumps({"items": {"video": [], "audio": mine}})  # as of fmn learn
    save_file({"rows": np.zeros(3)}, place.runs / "learned" / "new_classes.safetensors", {"about": about})
    save_file({"rows": np.zeros(3)}, place.runs / "none" / "new_classes.safetensors", {"about": "{}"})
    (place.runs / "ranked" / "trec").mkdir()
    (place.runs / "ranked" / "trec" / "audio.run.txt").write_text(f"{mine[0]} Q0 c1 1 0.5 fmn\n", "utf-8")
    before = {path: path.read_bytes() for path in place.root.rglob("*") if path.is_file()}
    code, said = place.run("speech", "forget", VOICE)
    assert code == 2
    assert "--yes" in said
    code, said = place.run("speech", "forget", VOICE, "--dry-run", "--json")
    planned = json.loads(said)
    assert code == 0
    assert planned["dry_run"]
    assert {path: path.read_bytes() for path in place.root.rglob("*") if path.is_file()} == before
    code, said = place.run("speech", "forget", VOICE, "--yes", "--json")
    done = json.loads(said)
    assert code == 0, said
    gone = [path for path in before if not path.exists()]
    assert done["files"] == planned["files"] == len(gone)
    assert done["size_bytes"] == sum(len(before[path]) for path in gone)
    assert {one["run"]: (one["link"], one["utterances"]) for one in done["runs"]} == {
        "runs/trained": ("trained", 10),
        "runs/validated": ("validated", 0),
        "runs/validated-before": ("validated", 0),
        "runs/silent": ("unknown", 0),
        "runs/learned": ("learned", 0),
        "runs/ranked": ("named", 0),
    }
    assert done["left"] == sorted(
        ["monday/list.csv", *(f"monday/{number}.wav" for number in range(0, 12, 2)), *of_mine, of_study]
    )
    assert planned["left"] == done["left"]
    for name in (*of_mine, of_study):
        (place.root / name).unlink()
    shutil.rmtree(place.root / "monday")
    assert place.found(contents) == []
    code, said = place.run("speech", "forget", VOICE, "--yes")
    assert code == 0
    assert "no data of the voice" in said


def test_a_file_that_cannot_be_read_is_named_and_keeps_nothing_from_being_said(
    place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = place.root / "notes.txt"
    locked.write_text("nothing", "utf-8")
    read_bytes = Path.read_bytes

    def refused(path: Path) -> bytes:
        if path == locked:
            raise PermissionError(13, "Permission denied", str(path))
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", refused)
    code, said = place.run("speech", "forget", VOICE, "--yes", "--json")
    assert code == 0, said
    assert json.loads(said)["left"] == ["notes.txt"]


def test_what_is_removed_is_what_was_shown_also_by_the_name_of_the_command(place: Any) -> None:
    page = place.root / "report" / "index.html"
    page.write_text("as Ännabel Q said", "utf-8")  # the name is written like this nowhere else
    shown, done = (
        json.loads(place.run("speech", "forget", "Ännabel Q", option, "--json")[1]) for option in ("--dry-run", "--yes")
    )
    assert shown["removed"] == done["removed"]
    assert "report/" in [one["where"] for one in shown["removed"]]
    assert not page.exists()


def test_who_cannot_be_forgotten(place: Any) -> None:
    code, said = place.run("speech", "forget", "nobody", "--yes")
    assert code == 2
    assert VOICE in said
    assert OTHER in said
    voice = next(row.voice for row in place.rows() if row.source == "synthesized")
    code, said = place.run("speech", "forget", voice, "--yes")
    assert code == 2
    assert "speech engine" in said
    assert "--voices" in said


def test_names_that_may_be_of_two_persons_are_told_before_anything_is_removed(place: Any, source: Path) -> None:
    (place.root / "notes.txt").write_text("Ännabel-Q is ill", "utf-8")
    told = "named 'Annabel Q' and 'Ännabel Q': if these are two persons, this removes the recordings of both"
    code, said = place.run("speech", "forget", VOICE, "--dry-run")
    assert code == 0
    assert "two persons" not in said
    assert "notes.txt" not in said
    code, said = place.run("speech", "forget", "Ännabel Q", "--dry-run")
    assert told in " ".join(said.split())
    source.write_text(source.read_text("utf-8").replace(f",{VOICE},", ",Ännabel-Q,"), "utf-8")
    code, said = place.run("speech", "import", str(source))  # the same recordings, with the name as written
    assert code == 0, said
    code, said = place.run("speech", "forget", VOICE, "--yes")
    assert code == 0
    assert told.replace("Ännabel Q", "Ännabel-Q") in " ".join(said.split())
    assert "notes.txt" in said


def test_files_with_the_name_of_the_consent_or_of_the_command_are_named(place: Any) -> None:
    for name, text in (("of-consent.txt", "Annabel Q"), ("of-command.txt", "ANNABEL-Q"), ("other.txt", "Annabel")):
        (place.root / name).write_text(f"1 {text}\n", "utf-8")
    code, said = place.run("speech", "forget", VOICE, "--yes", "--json")
    assert code == 0, said
    assert json.loads(said)["left"] == ["of-command.txt", "of-consent.txt"]
