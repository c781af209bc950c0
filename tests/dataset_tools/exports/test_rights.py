"""What may not be passed on is not, unless its name is said; a voice that withdrew never is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dataset_tools.core.errors import InputError
from dataset_tools.core.workspace import Workspace
from dataset_tools.exports.dataset_facts import gather_facts
from dataset_tools.exports.exported_rows import ExportedRows
from dataset_tools.exports.exporting import export_dataset
from dataset_tools.exports.facts_in_words import licenses
from dataset_tools.exports.rights import check_rights, withheld_parts
from dataset_tools.manifests import ClipRow, PairRow, SpeakerFacts, UtteranceRow, read_rows
from dataset_tools.speech.recordings.consents import Consents, withdraw


@pytest.mark.parametrize(
    ("fields", "part", "why"),
    [
        ({}, "mpii-footage", "scientific use only, no redistribution"),
        ({"own_footage": True}, "own-footage", "its license is not known"),
        (None, "unknown-footage", "build.json"),
    ],
)
def test_footage(
    workspace: Workspace,
    tmp_path: Path,
    make_record: Callable[..., None],
    fields: dict[str, Any] | None,
    part: str,
    why: str,
) -> None:
    if fields is None:
        (workspace.manifests / "build.json").unlink()
    else:
        make_record(workspace, **fields)
    with pytest.raises(InputError) as refused:
        export_dataset(workspace, "csv", tmp_path / "out")
    assert f"{part}: 4 clips (" in refused.value.found
    assert why in refused.value.found
    assert "--no-media" in str(refused.value.next_step)
    assert f"--allow {part}" in str(refused.value.next_step)
    assert not (tmp_path / "out").exists()
    others = {"mpii-footage", "own-footage", "unknown-footage"} - {part}
    others |= {"recordings-without-consent", "recordings-of-minors"}
    with pytest.raises(InputError, match=part):
        export_dataset(workspace, "csv", tmp_path / "out", allowed=others)
    summary = export_dataset(workspace, "csv", tmp_path / "out", allowed=iter([part]))
    assert len(summary.withheld) == 1
    assert json.loads((tmp_path / "out" / "export.json").read_text())["allowed"] == [part]


def test_an_unknown_part_cannot_be_allowed(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="everything"):
        export_dataset(workspace, "csv", tmp_path / "out", allowed=["everything"])


@pytest.fixture
def recorded(workspace: Workspace, make_manifests: Callable[..., None]) -> Workspace:
    """The workspace, its utterances recorded by Anna."""
    clips = list(read_rows(workspace.manifests / "clips.jsonl", ClipRow))
    spoken = [
        msgspec.structs.replace(row, source="recorded", voice="anna")
        for row in read_rows(workspace.manifests / "utterances.jsonl", UtteranceRow)
    ]
    make_manifests(workspace, clips, spoken, lambda name: name.startswith("test"))
    return workspace


def test_recordings_go_with_consent_only(recorded: Workspace, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="recordings-without-consent: 4 recorded utterances of anna"):
        export_dataset(recorded, "csv", tmp_path / "out")
    export_dataset(recorded, "csv", tmp_path / "allowed", allowed=["recordings-without-consent"])
    assert Consents(recorded, "I agree.").admit("Anna", agreed=True) == "anna"
    assert export_dataset(recorded, "csv", tmp_path / "out").withheld == ()


def test_what_is_known_of_imported_speakers_is_no_consent(recorded: Workspace, tmp_path: Path) -> None:
    row = {"schema": "fmn.consent/1", "id": "anna", "name": "anna", "text": "", "time": ""}
    (recorded.recordings / "consents.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(InputError, match="recordings-without-consent"):
        export_dataset(recorded, "csv", tmp_path / "out")


@pytest.mark.parametrize("with_media", [True, False])
def test_who_withdrew_is_never_passed_on(recorded: Workspace, tmp_path: Path, with_media: bool) -> None:
    Consents(recorded, "I agree.").admit("Anna", agreed=True)
    withdraw(recorded, "anna")  # as a killed `speech forget` leaves it: the rows are still there
    with pytest.raises(InputError, match="withdrew: anna"):
        export_dataset(recorded, "csv", tmp_path / "out", allowed=["recordings-without-consent"], with_media=with_media)
    assert not (tmp_path / "out").exists()


def test_who_is_under_age_is_not_passed_on_for_their_own_consent(recorded: Workspace, tmp_path: Path) -> None:
    Consents(recorded, "I agree.").admit("Anna", agreed=True, speaker=SpeakerFacts(age_band="under 18"))
    with pytest.raises(InputError, match="recordings-of-minors: 4 recorded utterances of anna"):
        export_dataset(recorded, "csv", tmp_path / "out", allowed=["recordings-without-consent"])
    export_dataset(recorded, "csv", tmp_path / "allowed", allowed=["recordings-of-minors"])
    (recorded.recordings / "consents.jsonl").unlink()  # nothing is known of anna any more
    with pytest.raises(InputError, match="recordings-without-consent"):
        export_dataset(recorded, "csv", tmp_path / "out", allowed=["recordings-of-minors"])


def test_an_age_that_only_the_rows_have_counts(recorded: Workspace, tmp_path: Path) -> None:
    for name in ("utterances", "train", "test"):
        path = recorded.manifests / f"{name}.jsonl"
        path.write_text(path.read_text().replace('"voice":"anna"', '"voice":"anna","speaker":{"age_band":"under 18"}'))
    with pytest.raises(InputError, match="recordings-of-minors"):
        export_dataset(recorded, "csv", tmp_path / "out", allowed=["recordings-without-consent"])


def test_rows_of_voices_without_consent_stay_behind(
    recorded: Workspace, tmp_path: Path, make_manifests: Callable[..., None]
) -> None:
    """Anna agreed, Ben spoke two of the four utterances and was not asked."""
    Consents(recorded, "I agree.").admit("Anna", agreed=True)
    clips = list(read_rows(recorded.manifests / "clips.jsonl", ClipRow))
    spoken = list(read_rows(recorded.manifests / "utterances.jsonl", UtteranceRow))
    bens = {row.id for row in spoken[:2]}
    spoken = [msgspec.structs.replace(row, voice="ben") if row.id in bens else row for row in spoken]
    make_manifests(recorded, clips, spoken, lambda name: name.startswith("test"))
    rows = ExportedRows(recorded, with_media=False)
    withheld = withheld_parts(rows)
    check_rights(rows, withheld, ())
    assert rows.voices == {"anna": 2}
    facts = gather_facts(rows, withheld, ())
    assert len(facts.utterances.recorded) == 2
    told = [line for line in licenses(facts) if "recordings (" in line]
    assert [line.partition(" (")[0] for line in told] == ["left out, with their rows and pairs: recordings"]
    assert {one.row.id for one in rows.rows("utterances")} == {row.id for row in spoken} - bens
    pairs = list(rows.rows("pairs"))
    assert pairs
    assert not any(one.row.utterance in bens for one in pairs if isinstance(one.row, PairRow))
    assert sum(rows.counts["pairs"].values()) == len(pairs)
    assert sum(rows.counts["utterances"].values()) == 2
    assert sum(rows.counts["clips"].values()) == 4
