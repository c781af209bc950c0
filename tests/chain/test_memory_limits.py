"""Small inputs that ask for gigabytes: where memory is limited, the commands end properly, with a reason."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open
from safetensors.torch import save_file

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("memory limits")]

OLD = Path(__file__).parents[1] / "fixtures" / "workspace_0_1_0"
LIMIT_BYTES = 4 * 2**30
WORDS = "stir the onion " * 6667  # 20,001 of them


def limited(script: str, *arguments: object) -> tuple[int, str]:
    """Exit code and output of a command each of whose processes may have so much memory, and no more."""
    ended = subprocess.run(
        [str(Path(sys.executable).with_name(script)), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (LIMIT_BYTES, LIMIT_BYTES)),
    )
    said = ended.stdout + ended.stderr
    assert "Unexpected error" not in said
    assert "Traceback" not in said
    return ended.returncode, said


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory, ffmpeg: Callable) -> Path:
    """Three clips of a test pattern, and their list."""
    root = tmp_path_factory.mktemp("footage")
    ffmpeg("-f", "lavfi", "-t", 5, "-i", "testsrc2=s=96x72:r=25", "-vcodec", "mpeg4", root / "s07-d20-cam-002.avi")
    write_list(root, ["Cut the carrot."] * 3)
    return root


def write_list(root: Path, sentences: list[str], name: str = "intervals.csv") -> Path:
    rows = [
        f"s07-d20-cam-002.avi,{30 * n + 1},{30 * n + 25},cut,carrot,knife,{said}" for n, said in enumerate(sentences)
    ]
    path = root / name
    path.write_text("\n".join(["video,start_frame,end_frame,action,subject,object,sentence", *rows]) + "\n")
    return path


@pytest.fixture(scope="module")
def build(footage: Path) -> Callable[..., tuple[int, str]]:
    def build(workspace: Path, *more: object, listed: str = "intervals.csv") -> tuple[int, str]:
        own = ("--annotations", footage / listed, "--videos", footage)
        return limited("fmn-data", "build", "-w", workspace, *own, "--short-side", 64, "--jobs", 2, *more)

    return build


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, build: Callable[..., tuple[int, str]]) -> Path:
    place = tmp_path_factory.mktemp("built") / "set"
    code, said = build(place)
    assert code == 0, said
    return place


@pytest.fixture
def place(tmp_path: Path, built: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "set"))


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_two_hours_of_silence_fail_and_the_recording_beside_them_does_not(
    place: Path, ffmpeg: Callable, tmp_path: Path
) -> None:
    folder = tmp_path / "incoming" / "cut_carrot_knife"
    folder.mkdir(parents=True)
    minute, recording = tmp_path / "minute.flac", folder / "anna_1.ogg"
    ffmpeg("-f", "lavfi", "-i", "anullsrc=r=48000:cl=stereo:d=60", minute)
    ffmpeg("-stream_loop", 119, "-i", minute, "-acodec", "copy", recording)  # encoding all of it takes half a minute
    assert recording.stat().st_size < 2**23
    shutil.copy(next((place / "speech").glob("*.wav")), folder / "berta_1.wav")
    code, said = limited("fmn-data", "speech", "import", folder.parent, "-w", place, "--jobs", 2)
    assert code == 1, said
    assert "1 recording is new" in said
    assert "too long" in said
    (failed,) = [row for row in rows(place / "ledger.jsonl") if row["status"] == "failed"]
    assert failed["reason"]["where"].endswith("anna_1.ogg")


def test_a_decision_of_twenty_thousand_words_is_refused(place: Path, build: Callable[..., tuple[int, str]]) -> None:
    (clip, *_) = rows(place / "manifests" / "clips.jsonl")
    decision = {
        "schema": "fmn.review/1",
        "id": clip["id"],
        "item": "clip",
        "content_sha256": clip["sha256"],
        "annotator": "ann@example.com",
        "time": "2026-11-22T08:00:00.000000Z",
        "verdict": "accept",
        "sentence": WORDS,
        "shown": {
            "class": clip["class"], "sentence": "Cut.", "first_frame": clip["start_frame"], "frames": clip["frames"],
        },
        "label_studio": {
            "server": None, "project": 1, "task": 1, "annotation": 1, "created": "2026-11-22T08:00:00.000000Z",
        },
    }  # fmt: skip
    path = place / "annotations" / "reviews.jsonl"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(decision) + "\n")
    code, said = build(place)
    assert code == 2, said
    assert "sentence" in said
    decision["sentence"] = "Cut it."
    path.write_text(json.dumps(decision) + "\n")
    code, said = build(place)
    assert code == 0, said


def test_a_listed_sentence_of_twenty_thousand_words(
    footage: Path, build: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    write_list(footage, ["Cut the carrot.", WORDS, "Cut it."], "wordy.csv")
    code, said = build(tmp_path / "set", listed="wordy.csv")
    assert code in (1, 2), said
    assert "characters" in said or "too long" in said


GIANT = {
    ("config.json", "model", "hidden_size"): 60_000,
    ("config.json", "model", "head_hidden_size"): 10**10,
    ("config.json", "memory", "capacity"): 10**7,
    ("config.json", "video", "window_frames"): 10**9,
    ("checkpoint.safetensors", "video_dim"): 10**12,
}


def test_memory_is_enough_for_a_run_of_usual_sizes(tmp_path: Path) -> None:
    run = Path(shutil.copytree(OLD, tmp_path / "w")) / "runs" / "fmn"
    code, said = limited("fmn", "eval", run, "--device", "cpu")
    assert code == 2  # the old data set has no media; it comes as far as that
    assert ".mp4" in said or ".wav" in said, said


# One process for all: to start it takes three seconds, to refuse a run a tenth of one.
EVAL = """
import json, sys
from typer.testing import CliRunner
from fmn.cli.main import app
for run in sys.argv[1:]:
    ended = CliRunner().invoke(app, ["eval", run, "--device", "cpu"])
    print(json.dumps([ended.exit_code, ended.output, repr(ended.exception)]), flush=True)
"""


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, ...], tuple[Path, int, str]]:
    """Runs of which one size is giant, by its place: the run, and exit code and output of its evaluation."""
    runs = {key: tmp_path_factory.mktemp("giant") / "w" / "runs" / "fmn" for key in GIANT}
    for (file, *names), run in runs.items():
        shutil.copytree(OLD, run.parents[1])
        enlarge(run / file, names, GIANT[file, *names])
    code, said = limited("python", "-c", EVAL, *runs.values())
    assert code == 0, said
    ended = [json.loads(line) for line in said.splitlines() if line.startswith("[")]
    assert len(ended) == len(runs), said
    return {key: (run, code, said) for (key, run), (code, said, _) in zip(runs.items(), ended, strict=True)}


def enlarge(path: Path, names: list[str], value: int) -> None:
    """Writes ``value`` into the configuration, or into what the checkpoint says of itself."""
    if path.suffix == ".json":
        about = json.loads(path.read_text())
    else:
        with safe_open(path, "pt") as opened:
            header, tensors = opened.metadata(), {one: opened.get_tensor(one) for one in opened.keys()}  # noqa: SIM118
        about = json.loads(header["about"])
    inner = about
    for name in names[:-1]:
        inner = inner[name]
    inner[names[-1]] = value
    if path.suffix == ".json":
        path.write_text(json.dumps(about))
    else:
        save_file(tensors, path, {**header, "about": json.dumps(about)})


@pytest.mark.parametrize("place_of_it", GIANT, ids=[key[-1] for key in GIANT])
def test_giant_sizes_in_a_run_are_refused(
    place_of_it: tuple[str, ...], evaluated: dict[tuple[str, ...], tuple[Path, int, str]]
) -> None:
    run, code, said = evaluated[place_of_it]
    assert code == 2, said
    assert ".mp4" not in said
    assert place_of_it[0] in said.replace("\n", "") or run.name in said
