"""Recordings through the whole pipeline: motions in folders, a spoken word for each, split by person and voice."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from dataset_tools.cli.main import app as data_app
from dataset_tools.manifests import SplitPairRow, read_rows
from fmn.cli.main import app as fmn_app

NAMES = ("one", "two", "three", "four")
"""Of a motion, and of the word that stands for it."""
TAKES = 2

pytestmark = pytest.mark.real_data


def _run(app: object, *arguments: object) -> Result:
    done = CliRunner().invoke(app, [str(one) for one in arguments])  # type: ignore[arg-type]
    assert done.exit_code == 0, done.output
    return done


def test_motions_and_words_train_and_are_evaluated(tmp_path: Path, real_data: Path) -> None:
    clips, spoken, place = tmp_path / "clips", tmp_path / "spoken", tmp_path / "workspace"
    for name in NAMES:
        (clips / name).mkdir(parents=True)
        for person in range(1, 6):
            for take in range(1, TAKES + 1):
                shutil.copy(real_data / "motions" / name / f"p{person}_{take}.mp4", clips / name)
        shutil.copytree(real_data / "words" / name, spoken / f"show_{name}")
    classes = place / "annotations" / "classes.yaml"
    _run(data_app, "classes", "-w", place, "--from", clips, "-o", classes)
    _run(data_app, "build", "-w", place, "--annotations", clips, "--person", r"^(p\d)_", "--no-speech")
    said = _run(data_app, "speech", "import", spoken, "-w", place).output
    assert f"{10 * len(NAMES)} recordings are new" in said
    _run(data_app, "pairs", "-w", place, "--split", "person")
    train, test = (list(read_rows(place / "manifests" / f"{side}.jsonl", SplitPairRow)) for side in ("train", "test"))
    assert {row.label.id for row in train} == {row.label.id for row in test} == {f"show_{name}" for name in NAMES}
    for who in (lambda row: row.clip.person, lambda row: row.utterance.voice):
        assert not {who(row) for row in train} & {who(row) for row in test}
    run = place / "runs" / "real"
    _run(fmn_app, "train", place / "manifests" / "train.jsonl", "--run", run, "--set", "training.epochs=20")
    _run(fmn_app, "eval", run)
    found = json.loads((run / "metrics.json").read_text())
    for side in ("audio_to_video", "video_to_audio"):
        assert found[side]["class_map"] > 50  # four classes: who knows nothing has about 25
