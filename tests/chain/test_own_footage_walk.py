"""docs/own-footage.md as its reader runs it: the blocks of commands in a new folder, with fewer epochs."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import imageio_ffmpeg
import pytest

from dataset_tools.speech.engines.espeak import EspeakEngine

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs" / "own-footage.md"
CLASSES = ("open_door", "wave", "cut_carrot_knife", "pour milk into glass", "sit down", "stir_soup")


def block(heading: str, *, pretrained: bool = False) -> str:
    """The commands of the first block below a heading; ``pretrained``: with the networks of ``--preset light``."""
    section = PAGE.read_text("utf-8").split(f"## {heading}\n")[1]
    found = re.search(r"```bash\n(.*?)```", section, re.DOTALL)
    assert found is not None
    commands, trainings = re.subn(r"(fmn train [^\n#]*)", r"\1 --epochs 2 --set training.pairs_per_epoch=64", found[1])
    assert trainings == 1
    # The pretrained networks take 20 s of CPU time for all frames.
    few = "--preset light --set video.sample_fps=2"
    cheap = "--preset demo --set video.kind=mean_colour --set model.hidden_size=16"
    assert "--preset light" in commands
    return commands.replace("--preset light", few if pretrained else cheap)


def draw(path: Path, hue: int, *, seconds: float, fps: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = f"testsrc2=d={seconds}:s=96x72:r={fps},hue=h={hue}"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "lavfi", "-i", pictures]
    subprocess.run([*command, "-c:v", "libx264", "-preset", "ultrafast", "-g", "25", str(path)], check=True)


def commands_of(text: str) -> int:
    return sum(line.startswith("fmn") for line in text.splitlines())


def test_from_eighteen_clips_in_six_folders_to_a_table_and_then_with_recordings(
    tmp_path: Path, walk: Callable[..., str]
) -> None:
    for place, label in enumerate(CLASSES):
        for person in range(1, 4):
            draw(tmp_path / "my-videos" / label / f"p{person}_1.mp4", 60 * place + 5 * person, seconds=1, fps=15)
        (tmp_path / "my-videos" / label / "p1_1.txt").write_text(f"Look at this number {place}.\nAnd at that.\n")
    commands = block("From a folder of clips to a table", pretrained=True)
    assert commands_of(commands) == 5
    said = walk(commands, tmp_path, COLUMNS="120")
    assert "18 of 6 classes" in said
    assert "next: fmn train manifests/train.jsonl --preset light" in said
    assert "class hit" in said
    assert "is older than" not in said
    utterances = (tmp_path / "manifests" / "utterances.jsonl").read_text()
    assert sum(f"Look at this number {place}." in utterances or "And at that." in utterances for place in range(6))
    assert utterances.count('"text_source":"annotations"') == 6
    clips = (tmp_path / "manifests" / "clips.jsonl").read_text()
    assert {"p1", "p2", "p3"} == set(re.findall(r'"person":"(\w+)"', clips))

    engine = EspeakEngine()
    for name in ("open_door", "show_wave", "cut_carrot_knife"):
        for voice in engine.voices("en")[:3]:
            path = tmp_path / "spoken" / name / f"{voice.id.replace('+', '-')}_1.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            engine.speak(f"this is {name}".replace("_", " "), voice, path=path, seed=1)
    said = walk(block("With recordings in place of voices"), tmp_path, COLUMNS="120")
    assert (tmp_path / "manifests" / "utterances.jsonl").read_text().count('"source":"recorded"') == 9
    assert "class hit" in said
    assert "is older than" not in said


def test_from_epic_kitchens_to_a_table(tmp_path: Path, real_data: Path, walk: Callable[..., str]) -> None:
    published = real_data / "formats" / "epic_100_validation_200.csv"
    shutil.copy(published, tmp_path / "EPIC_100_validation.csv")
    duration_s = 570 if "FMN_TEST_DATA" in os.environ else 60
    for place, video in enumerate(("P01_11", "P01_12")):  # as long as the rows say, and made up
        draw(tmp_path / "videos" / f"{video}.mp4", 120 * place, seconds=duration_s, fps=10)
    commands = block("From EPIC-KITCHENS-100 to a table")
    assert commands_of(commands) == 5
    said = walk(commands, tmp_path, COLUMNS="120")
    narrations = {row["narration"] for row in csv.DictReader(published.read_text("utf-8").splitlines())}
    utterances = map(json.loads, (tmp_path / "manifests" / "utterances.jsonl").read_text().splitlines())
    texts = [row["text"] for row in utterances if row["text_source"] == "annotations"]
    assert len(texts) >= 5
    assert set(texts) <= narrations
    assert "class hit" in said
    assert "is older than" not in said
