"""From real footage and real voices to a table of results, by the commands that a user types."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

pytestmark = [pytest.mark.real_data, pytest.mark.slow, pytest.mark.xdist_group("real recordings")]

PER_CLASS = 9


@pytest.fixture(scope="module")
def workspace(real_corpus: Path, real_data: Path, run: Callable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with the classes of the footage, built, with human recordings, paired."""
    place = tmp_path_factory.mktemp("workspace")
    (place / "annotations").mkdir()
    shipped = (Path(__file__).parents[2] / "annotations" / "classes.yaml").read_text(encoding="utf-8")
    words, _, classes = shipped.partition("\nclasses:\n")
    wanted = [row for row in classes.splitlines() if any(all(w in row for w in words_of) for words_of in ROWS)]
    assert len(wanted) == 3
    (place / "annotations" / "classes.yaml").write_text(words + "\nclasses:\n" + "\n".join(wanted) + "\n")
    options = ("--classes", 3, "--mpii", real_corpus, "--per-class", PER_CLASS, "--jobs", 2)
    built = run("fmn-data", "build", *options, "--json", cwd=place)
    assert built.code == 0, built.out + built.err
    assert built.json["clips"] == built.json["utterances"] == 3 * PER_CLASS
    assert built.json["stand_in"] is None
    voices = real_data / "speech" / "people"
    recordings = place / "incoming" / "cut_carrot_knife"
    recordings.mkdir(parents=True)
    for number, wav in enumerate(sorted(voices.glob("*.wav"))[:3]):
        shutil.copy(wav, recordings / f"reader_{number}.wav")
    imported = run("fmn-data", "speech", "import", place / "incoming", "--classes", 3, "--json", cwd=place)
    assert imported.code == 0, imported.out + imported.err
    assert imported.json["recorded"] == 3
    paired = run("fmn-data", "pairs", "--json", cwd=place)
    assert paired.code == 0, paired.out + paired.err
    assert paired.json["pairs"] == 3 * PER_CLASS**2
    return place


ROWS = (("take-out", "plate", "spice"), ("cut", "carrot", "knife"), ("stir", "onion", "spatula"))


def test_clips_are_the_frames_of_their_intervals(workspace: Path, real_corpus: Path, ffmpeg: Callable) -> None:
    rows = [json.loads(line) for line in (workspace / "manifests" / "clips.jsonl").read_text().splitlines()]
    for row in rows[::5]:
        source = real_corpus / "videos" / f"{row['video']}.avi"
        # The independent way: ffmpeg's own frame numbers, from the start of the file.
        first, last = row["start_frame"] - 1, row["end_frame"] - 1
        chosen = f"select=between(n\\,{first}\\,{last}),scale={row['width']}:{row['height']}"
        pictures = ("-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "gray", "-")
        raw = ffmpeg("-i", source, "-vf", chosen, *pictures)
        expected = np.frombuffer(raw, np.uint8).reshape(-1, row["height"], row["width"])
        with av.open(str(workspace / row["path"])) as clip:
            found = np.stack([frame.to_ndarray(format="gray") for frame in clip.decode(video=0)])
        assert len(found) == row["frames"] == len(expected) == 18
        assert np.abs(found.astype(int) - expected).mean() < 4


def test_the_data_set_is_what_its_manifests_say(workspace: Path, run: Callable) -> None:
    verified = run("fmn-data", "verify", "--json", cwd=workspace)
    assert verified.code == 0, verified.out
    assert verified.json["checked"] == 2 * 3 * PER_CLASS


def test_a_second_build_changes_nothing(workspace: Path, real_corpus: Path, run: Callable) -> None:
    names = ("manifests/clips.jsonl", "manifests/utterances.jsonl", "manifests/build.json", "ledger.jsonl")
    before = [(workspace / name).read_bytes() for name in names]
    times = {path: path.stat().st_mtime_ns for path in (workspace / "clips").iterdir()}
    options = ("--classes", 3, "--mpii", real_corpus, "--per-class", PER_CLASS, "--jobs", 3)
    assert run("fmn-data", "build", *options, cwd=workspace).code == 0
    assert [(workspace / name).read_bytes() for name in names] == before
    assert {path: path.stat().st_mtime_ns for path in (workspace / "clips").iterdir()} == times


def test_training_and_evaluation_run_on_real_recordings(workspace: Path, run: Callable) -> None:
    trained = run("fmn", "train", "manifests/train.jsonl", "--epochs", 2, "--run", "runs/real", "--json", cwd=workspace)
    assert trained.code == 0, trained.out + trained.err
    evaluated = run("fmn", "eval", "runs/real", "--manifest", "manifests/test.jsonl", "--json", cwd=workspace)
    assert evaluated.code == 0, evaluated.out + evaluated.err
    metrics = json.loads((workspace / "runs" / "real" / "metrics.json").read_text())
    for direction in ("audio_to_video", "video_to_audio"):
        block = metrics[direction]
        assert block["queries"] == block["gallery"] == 9
        # Three of nine items are of the query's class: one draw hits it with 1/3.
        assert block["chance"]["class_hit"]["1"] == pytest.approx(100 / 3)
        assert block["class_hit"]["10"] == 100
        for name in ("instance_hit", "class_hit", "class_recall"):
            assert set(block[name]) == set(block["chance"][name]) == set(block["ceiling"][name]) == {"1", "10", "25"}
