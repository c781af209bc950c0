"""Voices of imported files: those that the speakers have already, and names that share one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from dataset_tools.core.errors import InputError
from dataset_tools.core.workspace import Workspace
from dataset_tools.speech.recordings.consents import CONSENT, Consents, withdraw
from dataset_tools.speech.recordings.recording_import import ImportSummary
from dataset_tools.speech.recordings.recording_rows import read_recordings
from dataset_tools.withdrawal.recorded_voice import find_voice

CARROT = "cut_carrot_knife"
Take, Load, Listed = Callable[..., Path], Callable[..., ImportSummary], Callable[..., Path]


def voices_of(summary: ImportSummary) -> dict[str, str]:
    return {row.name: row.utterance.voice for row in summary.added}


def without_names(workspace: Workspace) -> Path:
    """The list of recordings as earlier versions wrote it."""
    listing = workspace.recordings / "recordings.jsonl"
    rows = [json.loads(line) for line in listing.read_text("utf-8").splitlines()]
    listing.write_text(
        "".join(
            json.dumps({key: row[key] for key in row if key != "speaker_name"}, ensure_ascii=False) + "\n"
            for row in rows
        ),
        "utf-8",
    )
    return listing


@pytest.fixture
def listed(tmp_path: Path, take: Take) -> Callable[..., Path]:
    """Writes a list of its own with a recording of each of the speakers."""

    def write(month: str, *speakers: str) -> Path:
        lines = ["path,class,voice"]
        for number, name in enumerate(speakers):
            take(tmp_path / month / f"{number}.wav", 200 + 20 * number + sum(map(ord, month)) % 97)
            lines.append(f"{number}.wav,{CARROT},{name}")
        (tmp_path / month / "list.csv").write_text("\n".join(lines), "utf-8")
        return tmp_path / month / "list.csv"

    return write


@pytest.mark.parametrize(("first", "second"), [("José", "Jose"), ("Jose", "José"), ("jose", "José")])
def test_names_that_share_a_voice_in_lists_that_are_imported_apart_are_told(
    workspace: Workspace, tmp_path: Path, load: Load, listed: Listed, first: str, second: str
) -> None:
    assert load(listed("january", first)).notes == ()
    one, other = sorted((first, second))
    told = f"voice jose: files name the speaker {one!r} and {other!r}; if these are two persons, rename one of them"
    assert load(listed("may", second)).notes == (told,)
    together = load(listed("june", first, second), into=Workspace(tmp_path / "together"))
    assert together.notes == (told,)
    assert {row.speaker_name for row in read_recordings(workspace)} == {first, second}
    for name in (first, second, "jose"):
        voice = find_voice(workspace, name)
        assert voice.name == "jose"
        assert voice.is_named_in(f"1 {first}".encode())
        assert voice.is_named_in(f"1 {second}".encode())


def test_a_voice_instead_of_the_name_is_not_told_and_does_not_replace_the_name(
    workspace: Workspace, load: Load, listed: Listed
) -> None:
    load(listed("january", "José"))
    assert load(listed("may", "jose")).notes == ()
    assert load(listed("june", "José")).notes == ()
    again = load(listed("january", "jose"))
    assert (again.known, again.corrected) == (1, 0)
    assert sorted(str(row.speaker_name) for row in read_recordings(workspace)) == ["José", "José", "jose"]


def test_lists_of_earlier_versions_have_no_names_until_they_are_imported_again(
    workspace: Workspace, load: Load, listed: Listed
) -> None:
    january = listed("january", "Łada")
    load(january)
    without_names(workspace)
    voice = "ada-5627d8c4"
    assert not find_voice(workspace, voice).is_named_in("Łada".encode())
    again = load(january)
    assert (again.known, again.corrected) == (1, 1)
    assert find_voice(workspace, voice).is_named_in("Łada".encode())


def test_a_voice_instead_of_the_name_does_not_hide_that_of_a_file_of_an_earlier_version(
    workspace: Workspace, tmp_path: Path, take: Take, load: Load
) -> None:
    path = take(tmp_path / "takes" / CARROT / "wang_1.wav", 300)
    load(tmp_path / "takes")
    listing = without_names(workspace)
    listing.write_text(listing.read_text("utf-8").replace('"wang_1.wav"', '"Wang 芳_1.wav"'), "utf-8")
    (tmp_path / "list.csv").write_text(f"path,class,voice\n{path},{CARROT},wang\n", "utf-8")
    again = load(tmp_path / "list.csv")
    assert (again.known, again.corrected) == (1, 0)
    assert find_voice(workspace, "Wang 芳").name == "wang"


def test_a_voice_of_an_earlier_version_is_found_by_the_name_in_a_later_list(
    workspace: Workspace, load: Load, listed: Listed
) -> None:
    load(listed("january", "wang"))
    without_names(workspace)
    (warning,) = load(listed("may", "Wang 芳")).notes
    assert warning.startswith("voice wang: 'Wang 芳' gets this voice")
    assert find_voice(workspace, "Wang 芳").name == "wang"


@pytest.mark.parametrize(
    ("old", "name"),
    [("s-ren", "Søren"), ("wang", "Wang 芳"), ("speaker-cc078195", "Иван"), ("o-brien-d37dc21d", "OʼBrien")],
)
def test_a_speaker_keeps_the_voice_of_an_earlier_version_and_its_tombstone(
    workspace: Workspace, tmp_path: Path, take: Take, load: Load, old: str, name: str
) -> None:
    take(tmp_path / "january" / CARROT / f"{old}_1.wav", 200)
    load(tmp_path / "january")
    listing = without_names(workspace)
    listing.write_text(listing.read_text("utf-8").replace(f'"{old}_1.wav"', f'"{name}_1.wav"'), "utf-8")
    take(tmp_path / "may" / CARROT / f"{name}_2.wav", 300)
    summary = load(tmp_path / "may")
    assert voices_of(summary) == {f"{name}_2.wav": old}
    assert summary.notes == ()
    assert find_voice(workspace, name).name == old
    withdraw(workspace, old)
    for folder in ("may", "june"):
        take(tmp_path / folder / CARROT / f"{name}_3.wav", 400)
        with pytest.raises(InputError, match="Consent was withdrawn for the voice"):
            load(tmp_path / folder)


def test_a_voice_that_may_be_of_the_speaker_is_used_with_a_warning(
    workspace: Workspace, tmp_path: Path, take: Take, load: Load
) -> None:
    take(tmp_path / "january" / "wang" / "s07-d01_000001-000050.wav", 200)
    load(tmp_path / "january")
    without_names(workspace)
    take(tmp_path / "may" / CARROT / "Wang 芳_2.wav", 300)
    summary = load(tmp_path / "may")
    assert set(voices_of(summary).values()) == {"wang"}
    (warning,) = summary.notes
    assert warning.startswith("voice wang: 'Wang 芳' gets this voice")
    take(tmp_path / "june" / CARROT / "Wang_3.wav", 400)
    (warning,) = load(tmp_path / "june").notes
    assert "'Wang' and 'Wang 芳'; if these are two persons, rename" in warning


def test_another_speakers_voice_is_not_that_of_an_earlier_version(tmp_path: Path, take: Take, load: Load) -> None:
    take(tmp_path / "january" / CARROT / "Wang_1.wav", 200)
    load(tmp_path / "january")
    take(tmp_path / "may" / CARROT / "Wang 芳_2.wav", 300)
    summary = load(tmp_path / "may")
    assert set(voices_of(summary).values()) == {"wang-a1674b35"}
    assert summary.notes == ()


def test_two_names_with_one_voice_are_named(tmp_path: Path, take: Take, load: Load) -> None:
    names = ("Jose", "José", "jose", "Ann-Marie", "ann marie", "Søren", "Særen", "Łada", "Ada")
    for number, name in enumerate(names):
        take(tmp_path / "takes" / CARROT / f"{name}_{number}.wav", 200 + 30 * number)
    summary = load(tmp_path / "takes")
    assert summary.notes == (
        "voice jose: files name the speaker 'Jose' and 'José'; if these are two persons, rename one of them",
    )
    assert sorted(set(voices_of(summary).values())) == [
        "ada",
        "ada-5627d8c4",
        "ann-marie",
        "jose",
        "s-ren-6bea0147",
        "s-ren-bec1dea6",
    ]


def test_a_name_of_another_voice_too_is_named(workspace: Workspace, tmp_path: Path, take: Take, load: Load) -> None:
    booth = Consents(workspace, CONSENT)
    assert [booth.admit("Anna", agreed=True, other=other) for other in (False, True)] == ["anna", "anna-2"]
    take(tmp_path / "takes" / CARROT / "Anna_1.wav", 200)
    summary = load(tmp_path / "takes")
    assert set(voices_of(summary).values()) == {"anna"}
    (warning,) = summary.notes
    assert warning.startswith("voice anna: 'Anna' is also the name of anna-2; if")


def test_a_withdrawn_voice_of_an_earlier_version_bars_the_name_until_another_is_given(
    workspace: Workspace, tmp_path: Path, take: Take, load: Load
) -> None:
    withdraw(workspace, "wang")
    take(tmp_path / "takes" / CARROT / "Wang 芳_1.wav", 200)
    with pytest.raises(InputError) as refused:
        load(tmp_path / "takes")
    assert f"voice wang-a1674b35, formerly wang ({CARROT}/Wang 芳_1.wav)" in refused.value.found
    assert "another person" in str(refused.value.next_step)
    assert voices_of(load(tmp_path / "takes", renewed=("wang",))) == {"Wang 芳_1.wav": "wang-a1674b35"}


@pytest.mark.parametrize("stated", ["иван", "Иван", "speaker-74f46a58"])
def test_consent_is_renewed_by_the_name_as_written_too_and_a_refusal_names_the_files(
    workspace: Workspace, tmp_path: Path, take: Take, load: Load, stated: str
) -> None:
    for number in range(4):
        take(tmp_path / "takes" / CARROT / f"Иван_{number}.wav", 200 + 50 * number)
    withdraw(workspace, "speaker-74f46a58")
    with pytest.raises(InputError) as refused:
        load(tmp_path / "takes")
    files = f"{CARROT}/Иван_0.wav, {CARROT}/Иван_1.wav, {CARROT}/Иван_2.wav, and 1 more"
    assert f"speaker-74f46a58 ({files})" in refused.value.found
    with pytest.raises(InputError, match="No withdrawn consent to renew: Пётр"):
        load(tmp_path / "takes", renewed=("Пётр",))
    assert len(load(tmp_path / "takes", renewed=(stated,)).added) == 4
    assert len(read_recordings(workspace)) == 4
    assert find_voice(workspace, "Иван").name == "speaker-74f46a58"
