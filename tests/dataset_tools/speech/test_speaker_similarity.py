"""Whose voices are alike: the arithmetic on made-up embeddings, and real speakers, one of whom has two names."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from made_up_rows import utterance_row
from msgspec.structs import replace
from typer.testing import CliRunner

from dataset_tools.cli.main import app
from dataset_tools.core.errors import InputError
from dataset_tools.core.files import sha256_of
from dataset_tools.core.workspace import Workspace
from dataset_tools.manifests import Augmentation, UtteranceRow, write_rows
from dataset_tools.speech import speaker_similarity
from dataset_tools.speech.speaker_similarity import VoiceComparison, compare_voices, part_starts, similarities


def test_takes_are_compared_in_groups_of_five() -> None:
    # Every take of one voice is the first axis; those of the other are all the same, at 60 degrees to it.
    takes = {"a": np.tile([1, 0], (10, 1)), "b": np.tile([0.5, np.sqrt(0.75)], (17, 1))}
    within, between = similarities({name: each.astype(np.float32) for name, each in takes.items()})
    assert within == {"a": pytest.approx(1), "b": pytest.approx(1)}
    assert between == {("a", "b"): pytest.approx(0.5)}
    # Takes of independent directions in 1000 dimensions around a common one of length 1, each of length s = 2: groups
    # of five have the cosine 1 / (1 + s² / 5), single takes would have 1 / (1 + s²).
    random = np.random.default_rng(0)
    noisy = 2 * random.normal(size=(40, 1000)) / np.sqrt(1000) + np.eye(1000)[0]
    assert similarities({"a": noisy.astype(np.float32)})[0]["a"] == pytest.approx(1 / (1 + 4 / 5), abs=0.05)


def test_only_pairs_as_alike_as_one_speakers_takes_are_named() -> None:
    between = {("a", "b"): 0.9, ("a", "c"): 0.95, ("b", "c"): 0.6}
    assert VoiceComparison({}, between, 0.9, {}, {}).alike == [("a", "c", 0.95), ("a", "b", 0.9)]


def test_where_an_utterance_is_read() -> None:
    # Parts of 1.6 s, one every 0.77 s; the last counts where three quarters of it (1.2 s) are in the utterance.
    assert part_starts(16_000) == [0]
    assert part_starts(int(16_000 * 1.96)) == [0]
    assert part_starts(int(16_000 * 1.98)) == [0, 77]
    assert part_starts(int(16_000 * 2.73)) == [0, 77]
    assert part_starts(int(16_000 * 2.75)) == [0, 77, 154]


def test_without_the_package_the_way_to_get_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speaker_similarity, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="not installed") as raised:
        compare_voices(Workspace(tmp_path))
    assert "pip install --no-deps resemblyzer==0.1.4" in str(raised.value.next_step)


def test_a_copy_is_no_take(
    tmp_path: Path, make_utterance: Callable[..., UtteranceRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speaker_similarity, "load_embedder", lambda: lambda path: np.ones(3, dtype=np.float32))
    voices = [voice for voice in ("ann", "ben") for _ in range(9)]
    takes = [replace(make_utterance("cut", None, voice), source="recorded") for voice in voices]
    rows = [replace(row, id=f"{row.id}{number}") for number, row in enumerate(takes)]
    done = Augmentation(original=rows[0].id, speed=1.0, gain_db=0.0, room_s=0.2, snr_db=20.0)
    copies = [replace(row, id=f"{row.id}_aug1", augmented=done) for row in rows]
    write_rows(tmp_path / "manifests" / "utterances.jsonl", sorted([*rows, *copies], key=lambda row: row.id))
    with pytest.raises(InputError, match="0 voices have at least 10 utterances"):
        compare_voices(Workspace(tmp_path))


SECOND_NAME = 4
"""Which of the speakers has another name, too."""


def take_of(path: Path) -> str:
    """The words of a recording of one speaker; takes of a word come together."""
    return "_".join(reversed(path.stem.split("_")[1:]))


@pytest.fixture
def speakers(real_data: Path, tmp_path: Path) -> Path:
    """A workspace of up to eleven speakers with 24 takes each; the second half of those of one is by "other"."""
    if find_spec("resemblyzer") is None:
        pytest.skip("the package resemblyzer is not installed")
    rows = []
    names = sorted({path.name.split("_")[0] for path in (real_data / "speakers").iterdir()})[:11]
    for voice in names:
        for number, path in enumerate(sorted((real_data / "speakers").glob(f"{voice}_*"), key=take_of)):
            target = tmp_path / "speech" / path.name
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(path, target)
            name = "other" if voice == names[SECOND_NAME] and number >= 12 else voice
            about = {"path": f"speech/{path.name}", "sha256": sha256_of(target)}
            rows.append(utterance_row(path.stem, "wash_plate", None, voice=name, source="recorded", **about))
    write_rows(tmp_path / "manifests" / "utterances.jsonl", sorted(rows, key=lambda row: row.id))
    return tmp_path


@pytest.mark.real_data
@pytest.mark.slow
def test_one_speaker_under_two_names_is_found_and_others_are_told_apart(speakers: Path) -> None:
    result = CliRunner().invoke(app, ["speech", "voices", "--workspace", str(speakers), "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    (pair,) = found["alike"]
    assert pair[0] == "other"
    assert pair[1] == sorted({path.name.split("_")[0] for path in (speakers / "speech").iterdir()})[SECOND_NAME]
    assert found["voices"] == len({path.name.split("_")[0] for path in (speakers / "speech").iterdir()}) + 1
    assert found["within"] > found["between"] + 0.1
