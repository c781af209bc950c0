"""Files of users that hold a voice, or may: also where files or folders cannot be looked at."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from dataset_tools.core.ledger import read_ledger
from dataset_tools.core.workspace import Workspace
from dataset_tools.withdrawal.recorded_voice import RecordedVoice, find_voice
from dataset_tools.withdrawal.remaining_data import own_files, sizes_of

OF_SET = "annabel-q"
VOICE = RecordedVoice("anna", frozenset(), frozenset(), frozenset())


def test_folders_and_files_that_cannot_be_looked_at_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("closed/a.txt", "listed-only/b.txt", "open/c.txt", "speech/d.txt", "gone/e.txt"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("nothing", "utf-8")
    (tmp_path / "link.txt").symlink_to("nowhere")
    scandir, stat = os.scandir, Path.stat

    def no_scan(path: str | Path) -> Iterator[os.DirEntry[str]]:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        if Path(path).name == "gone":
            raise FileNotFoundError(2, "No such file or directory", str(path))
        return scandir(path)

    def no_stat(path: Path, **options: bool) -> os.stat_result:
        if path.parent.name == "listed-only":
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, **options)

    monkeypatch.setattr(os, "scandir", no_scan)
    monkeypatch.setattr(Path, "stat", no_stat)
    assert own_files(Workspace(tmp_path), VOICE, {}) == ["closed", "listed-only/b.txt"]


def test_an_empty_file_that_failed_to_import_makes_no_other_empty_file_one_of_the_voice(
    place: Any, tmp_path: Path
) -> None:
    before = own_files(place, find_voice(place, OF_SET), {})
    (place.root / "mine.txt").touch()
    source = tmp_path / "more" / "cut_carrot_knife"
    source.mkdir(parents=True)
    (source / f"{OF_SET}_1.wav").touch()
    (source / "ben_1.wav").write_bytes(b"no sound")
    assert place.run("speech", "import", str(source.parent))[0] == 1
    voice = find_voice(place, OF_SET)
    failed = f"cut_carrot_knife_{OF_SET}_{hashlib.sha256(b'').hexdigest()[:12]}"
    assert failed in {row_id.partition("/")[2] for row_id in read_ledger(place.ledger)}
    assert voice.owns(failed)
    assert own_files(place, voice, sizes_of(place, voice)) == before


def test_the_header_of_a_tensor_file_is_searched_and_not_its_numbers(tmp_path: Path) -> None:
    (tmp_path / "runs" / "study").mkdir(parents=True)
    numbers = np.frombuffer(b" anna ", np.uint8)
    for name, about in (("mine", "x_anna_0123456789ab"), ("others", "x_ben_0123456789ab")):
        for folder in ("", "runs/study/"):
            save_file({"numbers": numbers}, tmp_path / f"{folder}{name}.safetensors", {"utterances": about})
    assert own_files(Workspace(tmp_path), VOICE, {}) == ["mine.safetensors", "runs/study/mine.safetensors"]


@pytest.mark.parametrize(
    ("name", "text", "is_found"),
    [
        ("Anna", "Anna: microphone 2", True),
        ("Anna", "ANNA\n", True),
        ("Anna", "Annabel, Johanna, Annaé", False),
        ("Anna", "Anna-1.wav", True),
        ("speaker-0123abcd", "Speaker-0123abcd", True),
        ("speaker-0123abcd", "Speaker-0123abcd-2", False),
        ("José", "said by José.", True),
        ("José", unicodedata.normalize("NFD", "said by José."), True),
        (unicodedata.normalize("NFD", "José"), "josé", True),
        ("José", "said by Jose Maria", False),
        ("Jose", unicodedata.normalize("NFD", "said by José."), False),
        ("Иван", "иван 3", True),
        ("Иван", "Ивановна", False),
        ("王芳", "由王芳朗读", True),  # between words is no space
        ("Ann O'Neil (2)", "- ann o'neil (2), Cork", True),
    ],
)
def test_the_name_as_written_is_found_in_other_files(tmp_path: Path, name: str, text: str, is_found: bool) -> None:
    (tmp_path / "speakers.txt").write_text(text, "utf-8")
    voice = replace(VOICE, name="speaker-0123abcd", written=frozenset({name}))
    assert own_files(Workspace(tmp_path), voice, {}) == ["speakers.txt"] * is_found


def test_a_file_with_the_name_as_written_in_its_own_name_is_found(tmp_path: Path) -> None:
    (tmp_path / "Notes on José.txt").write_text("nothing", "utf-8")
    (tmp_path / "jose.png").write_bytes(b"\xff\xfe")
    voice = replace(VOICE, written=frozenset({"José"}))
    assert own_files(Workspace(tmp_path), voice, {}) == ["Notes on José.txt"]


def test_features_of_the_voice_are_found_by_the_content_of_its_utterances(place: Any) -> None:
    """Features that ``fmn features export`` writes have the SHA-256 of an utterance as name, or as key of one file."""
    before = own_files(place, find_voice(place, OF_SET), {})
    own, others = (
        next(row.sha256 for row in place.rows() if (row.voice == OF_SET) is is_own) for is_own in (True, False)
    )
    for folder, name in (("feat/audio", own), ("feat/audio", others)):
        (place.root / folder).mkdir(parents=True, exist_ok=True)
        np.save(place.root / folder / f"{name}.npy", np.zeros(3, np.float32))
    for name, digest in (("mine", own), ("theirs", others)):
        np.savez(place.root / f"{name}.npz", **{digest: np.zeros(3, np.float32)})
        save_file({digest: np.zeros(3, np.float32)}, place.root / f"{name}.safetensors")
    voice = find_voice(place, OF_SET)
    found = own_files(place, voice, sizes_of(place, voice))
    assert found == sorted([*before, f"feat/audio/{own}.npy", "mine.npz", "mine.safetensors"])
