"""One set of clips, described by voices, by people's files, and by both: each ends in manifests that train."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from dataset_tools.speech.engines.espeak import EspeakEngine

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("sources of speech")]

ROWS = {"cut_carrot_knife": "carrot", "stir_onion_spatula": "onion", "take-out_plate_spice": "plate"}
EACH = 8  # clips of a class
ENCODED = {  # as phones, browsers and sound recorders write them
    "wav": ("-ar", 44100, "-ac", 2),
    "flac": ("-ar", 48000),
    "mp3": ("-ar", 22050),
    "m4a": ("-c:a", "aac", "-ar", 32000),
    "ogg": ("-c:a", "libvorbis", "-ar", 44100),
    "webm": ("-c:a", "libopus", "-ar", 48000),
}


@pytest.fixture(scope="module")
def silent_set(tmp_path_factory: pytest.TempPathFactory, ffmpeg: Callable, run: Callable) -> Path:
    """Twenty-four clips of test patterns, nothing said about them yet."""
    root = tmp_path_factory.mktemp("sources")
    lines = ["video,start_frame,end_frame,action,subject,object"]
    for person, pattern in (("s07", "testsrc2"), ("s08", "mandelbrot"), ("s09", "life=ratio=.1"), ("s10", "testsrc")):
        video = f"{person}-d20-cam-002.avi"
        source = f"{pattern}{':' if '=' in pattern else '='}s=96x72:r=25"
        ffmpeg("-f", "lavfi", "-t", 5, "-i", source, "-vcodec", "mpeg4", "-q:v", 4, root / video)
        for place in range(6):
            action, thing, other = list(ROWS)[place % 3].split("_")
            lines.append(f"{video},{20 * place + 1},{20 * place + 18},{action},{thing},{other}")
    (root / "intervals.csv").write_text("\n".join(lines) + "\n")
    own = ("--annotations", root / "intervals.csv", "--videos", root)
    built = run("fmn-data", "build", "-w", root / "set", *own, "--no-speech", "--jobs", 2, "--json")
    assert built.code == 0, built.out + built.err
    assert built.json["clips"] == 3 * EACH
    return root / "set"


@pytest.fixture
def incoming(silent_set: Path, ffmpeg: Callable, tmp_path: Path) -> Path:
    """A file for every clip, by six voices in as many formats, named in the three ways there are."""
    folder = tmp_path / "incoming"
    folder.mkdir()
    listed = ["path,clip,voice,text,licence"]
    voices = EspeakEngine().voices("en")[62:68]
    for number, clip in enumerate(rows(silent_set, "clips")):
        voice, (suffix, options) = voices[number % 6], list(ENCODED.items())[number % 6]
        said, name = f"This is {ROWS[clip['class']]} number {number}.", voice.id.replace("+", "-")
        match number % 3:
            case 0:
                path = folder / f"sounds/{number}.{suffix}"
                listed.append(f"sounds/{number}.{suffix},{clip['id']},{name},{said},CC0-1.0")
            case 1:
                path = folder / f"people/{name}/{clip['id']}.{suffix}"
            case _:
                path = folder / f"people/{clip['class']}/{name}_{number}.{suffix}"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.with_suffix(".txt").write_text(said)
        path.parent.mkdir(parents=True, exist_ok=True)
        EspeakEngine().speak(said, voice, path=tmp_path / "spoken.wav", seed=number)
        ffmpeg("-i", tmp_path / "spoken.wav", *options, path)
    (folder / "sounds.csv").write_text("\n".join(listed) + "\n")
    return folder


def rows(workspace: Path, kind: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (workspace / f"manifests/{kind}.jsonl").read_text().splitlines()]


def recorded(workspace: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (workspace / "recordings/recordings.jsonl").read_text().splitlines()]


def sources(workspace: Path) -> Counter[tuple[str, str]]:
    return Counter((row["class"], row["source"]) for row in rows(workspace, "utterances"))


def hashes(workspace: Path) -> dict[str, str]:
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in (workspace / "recordings").glob("*.*")}


def trains(workspace: Path, run: Callable, name: str) -> None:
    """The data set goes all the way: pairs, verify, two epochs, a table."""
    paired = run("fmn-data", "pairs", "-w", workspace, "--json")
    assert paired.code == 0, paired.out + paired.err
    assert paired.json["pairs"] == 3 * EACH**2
    assert run("fmn-data", "verify", "-w", workspace).code == 0
    manifests = workspace / "manifests"
    options = ("--preset", "demo", "--epochs", 2, "--run", workspace / "runs" / name, "--device", "cpu")
    cheap = ("--set", "video.kind=mean_colour", "--set", "model.hidden_size=16")
    trained = run("fmn", "train", manifests / "train.jsonl", *options, *cheap)
    assert trained.code == 0, trained.out + trained.err
    assert "is older than" not in trained.out
    evaluated = run("fmn", "eval", workspace / "runs" / name, "--manifest", manifests / "test.jsonl")
    assert evaluated.code == 0, evaluated.out + evaluated.err
    metrics = json.loads((workspace / "runs" / name / "metrics.json").read_text())
    for direction in ("audio_to_video", "video_to_audio"):
        # of eight clips and utterances of a class, 30 % are for the test: 2 of each of the three classes
        assert metrics[direction]["queries"] == metrics[direction]["gallery"] == 6
        assert metrics[direction]["chance"]["class_hit"]["1"] == pytest.approx(100 / 3)


def test_synthesized_imported_and_half_recorded_sets_train(
    silent_set: Path, incoming: Path, tmp_path: Path, run: Callable
) -> None:
    # people's files alone: a listing, then a folder of clips' and of classes' names
    imported = tmp_path / "imported"
    shutil.copytree(silent_set, imported)
    first = run("fmn-data", "speech", "import", incoming / "sounds.csv", "-w", imported, "--json")
    assert first.code == 0, first.out + first.err
    assert first.json["added"] == EACH
    second = run("fmn-data", "speech", "import", incoming / "people", "-w", imported, "--licence", "CC0-1.0", "--json")
    assert second.code == 0, second.out + second.err
    assert (second.json["added"], second.json["mismatches"]) == (2 * EACH, [])
    assert sources(imported) == {(class_id, "recorded"): EACH for class_id in ROWS}
    assert {row["sample_rate_hz"] for row in rows(imported, "utterances")} == {16000}
    trains(imported, run, "imported")

    # voices alone
    mixed = tmp_path / "mixed"
    shutil.copytree(imported, mixed, ignore=shutil.ignore_patterns("recordings", "speech", "ledger.jsonl", "runs"))
    shutil.copy(silent_set / "ledger.jsonl", mixed)
    assert run("fmn-data", "speech", "synthesize", "-w", mixed, "--jobs", 2).code == 0
    assert sources(mixed) == {(class_id, "synthesized"): EACH for class_id in ROWS}
    trains(mixed, run, "synthesized")

    # and half of those replaced, a file at a time at first
    spoken = {row["clip"]: row for row in rows(mixed, "utterances")}
    for count, path in enumerate(sorted((incoming / "people").glob("en-us*/*"))[:2], start=1):
        one = tmp_path / f"one-{count}" / path.parent.name
        one.mkdir(parents=True)
        shutil.copy(path, one)
        assert run("fmn-data", "speech", "import", one.parent, "-w", mixed).code == 0
        now = {row["clip"]: row for row in rows(mixed, "utterances")}
        assert len(now) == 3 * EACH
        assert [clip for clip in now if now[clip] != spoken[clip]] == [path.stem]
        assert now[path.stem]["source"] == "recorded"
        spoken = now
    assert run("fmn-data", "speech", "import", incoming / "people", "-w", mixed).code == 0
    by_source = Counter(row["source"] for row in rows(mixed, "utterances"))
    assert by_source == {"recorded": 2 * EACH, "synthesized": EACH}
    older = run("fmn", "train", mixed / "manifests" / "train.jsonl", "--preset", "demo", "--dry-run")
    assert older.code == 0
    assert "train.jsonl is older than clips.jsonl and utterances.jsonl" in " ".join(older.out.split())
    trains(mixed, run, "half")


def test_no_command_touches_a_recording(
    silent_set: Path, incoming: Path, tmp_path: Path, run: Callable, ffmpeg: Callable
) -> None:
    workspace = tmp_path / "set"
    shutil.copytree(silent_set, workspace)
    assert run("fmn-data", "speech", "import", incoming / "people", "-w", workspace).code == 0
    before = hashes(workspace)
    listing = before.pop("recordings.jsonl")
    kept = {row["id"]: row for row in recorded(workspace)}
    assert len(before) == len(kept) == 2 * EACH
    own = ("--annotations", silent_set.parent / "intervals.csv", "--videos", silent_set.parent)
    for command in (
        ("speech", "import", incoming / "people"),  # again
        ("speech", "synthesize", "--augment", 1, "--seed", 5),
        ("build", *own),
        ("build", *own, "--no-speech"),
        ("build", *own, "--per-class", 3),
        ("retry", *own),
        ("build", *own, "--per-class", EACH),
    ):
        ended = run("fmn-data", command[0], *command[1:], "-w", workspace)
        assert ended.code == 0, (command, ended.err)
        assert hashes(workspace) == {**before, "recordings.jsonl": listing}, command
        assert command[0] != "speech" or f", {len(kept)} of them recorded" in ended.out, ended.out  # without copies
    # a retake, under the name of the first one: another file; the first stays
    old = min((incoming / "people").glob("en-us*/*.*"))
    retake = tmp_path / f"retake{old.suffix}"
    ffmpeg("-i", old, "-af", "volume=0.5", retake)
    shutil.copy(retake, old)
    assert run("fmn-data", "speech", "import", incoming / "people", "-w", workspace).code == 0
    after = hashes(workspace)
    assert {name: after[name] for name in before} == before
    takes = recorded(workspace)
    assert sorted(row["take"] for row in takes if row["utterance"]["clip"] == old.stem) == [1, 2]
    assert {row["id"]: row for row in takes}.items() >= kept.items()
