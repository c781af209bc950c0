"""Languages of recordings: stated by the list or the option, else assumed from the sentence or the data set."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from dataset_tools.build_record import BuildOptions
from dataset_tools.cli.main import app
from dataset_tools.core.errors import InputError
from dataset_tools.core.workspace import Workspace
from dataset_tools.manifests import ClipRow, write_rows
from dataset_tools.speech.recordings.recording_import import ImportSummary
from dataset_tools.speech.recordings.recording_rows import read_recordings
from dataset_tools.speech.synthesis import SpeechOptions

CARROT = "cut_carrot_knife"
Load = Callable[..., ImportSummary]


def languages(summary: ImportSummary) -> dict[str, str]:
    """Language by file name of what was added."""
    return {row.name: row.utterance.language for row in summary.added}


def test_a_list_states_the_language_of_each_recording(
    workspace: Workspace, tmp_path: Path, take: Callable[..., Path], load: Load
) -> None:
    for number, name in enumerate("abcd"):
        take(tmp_path / f"{name}.wav", 200 + 50 * number)
    listing = tmp_path / "list.csv"
    rows = ["a.wav,Ann,de", "b.wav,Ann,FR", "c.wav,Ann,", "d.wav,Ann,German"]
    listing.write_text("path,class,voice,language\n" + "".join(f"{row[:5]},{CARROT}{row[5:]}\n" for row in rows))
    summary = load(listing, language="nl")
    assert languages(summary) == {"a.wav": "de", "b.wav": "fr", "c.wav": "nl"}
    (refused,) = summary.mismatches
    assert refused.startswith("list.csv, line 5: 'German' is not a language")
    listing.write_text(f"path,class,voice,language\na.wav,{CARROT},Ann,pl\n")
    again = load(listing, language="nl")  # the list has priority for known recordings, too
    assert again.corrected == 1
    assert {row.name: row.utterance.language for row in read_recordings(workspace)}["a.wav"] == "pl"


def test_the_option_must_be_a_code(tmp_path: Path, take: Callable[..., Path], load: Load) -> None:
    take(tmp_path / CARROT / "ann_1.wav")
    with pytest.raises(InputError, match="'german' is not a language"):
        load(tmp_path, language="german")


@pytest.mark.parametrize(
    ("default", "assumed"),
    [
        ("en", {"1": "en", "2": "en", "3": "zh", "4": "ja"}),
        ("zh", {"1": "zh", "2": "en", "3": "zh", "4": "ja"}),
    ],
)
def test_the_sentence_tells_the_language_if_nothing_is_stated(
    tmp_path: Path, take: Callable[..., Path], load: Load, default: str, assumed: dict[str, str]
) -> None:
    sentences = {"1": "", "2": "She cuts a carrot.", "3": "她切胡萝卜。", "4": "彼女はにんじんを切る。"}
    for name, text in sentences.items():
        path = take(tmp_path / "in" / CARROT / f"ann_{name}.wav", 200 + 50 * int(name))
        if text:
            path.with_suffix(".txt").write_text(text, encoding="utf-8")
    summary = load(tmp_path / "in", default_language=default)
    assert {name.removeprefix("ann_")[0]: language for name, language in languages(summary).items()} == assumed
    assert dict(summary.assumed_languages) == {code: list(assumed.values()).count(code) for code in assumed.values()}


def test_the_command_takes_the_language_of_the_last_build_and_says_so(
    workspace: Workspace,
    tmp_path: Path,
    clips: list[ClipRow],
    take: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_rows(workspace.manifests / "clips.jsonl", sorted(clips, key=lambda clip: clip.id))
    monkeypatch.setattr("dataset_tools.cli.speech._check_imported", lambda *_: None)  # speech recognition
    options = msgspec.to_builtins(BuildOptions(voices=SpeechOptions(language="zh")))
    (workspace.manifests / "build.json").write_text(json.dumps({"options": options | {"classes": 2}}))
    take(tmp_path / "in" / CARROT / "ann_1.wav", 200)
    found = CliRunner().invoke(app, ["speech", "import", str(tmp_path / "in"), "-w", str(workspace.root)])
    assert found.exit_code == 0, found.output
    assert "language not stated, assumed: 1 zh; another: --language CODE" in found.output
    assert [row.utterance.language for row in read_recordings(workspace)] == ["zh"]
    again = ["speech", "import", str(tmp_path / "in"), "-w", str(workspace.root), "--language", "de"]
    found = CliRunner().invoke(app, again)
    assert "not stated" not in found.output
    assert [row.utterance.language for row in read_recordings(workspace)] == ["de"]
