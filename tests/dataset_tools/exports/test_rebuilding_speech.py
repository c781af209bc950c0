"""Speech that was synthesized after the build: build.json tells how, so that an export without media can be rebuilt."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from dataset_tools.cli.main import app
from dataset_tools.core.workspace import Workspace
from dataset_tools.speech.engines.espeak import EspeakEngine
from dataset_tools.speech.recordings.consents import Consents

pytestmark = pytest.mark.xdist_group("rebuilding speech")  # in one worker: most start from one build

MANIFESTS = ("build.json", "clips.jsonl", "utterances.jsonl", "pairs.jsonl", "train.jsonl", "test.jsonl")
SMALL = ("--short-side", 32)
SPLIT = ("pairs", "--split", "pairs", "--test-share", 0.5)


@pytest.fixture(scope="module")
def listing(tmp_path_factory: pytest.TempPathFactory, write_video: Callable[..., Path]) -> Path:
    """Four intervals of a class, two of which have a sentence."""
    folder = tmp_path_factory.mktemp("footage")
    lines = ["video,start_frame,end_frame,action,subject,object,sentence"]
    for number, name in enumerate(("p1_a.mp4", "p2_b.mp4")):
        write_video(folder / name, range(100 * number + 1, 100 * number + 61))
        lines += [f"{name},1,21,cut,carrot,knife,", f"{name},31,51,cut,carrot,knife,Now the carrot {number}."]
    path = folder / "list.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def built(listing: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of them, as most tests copy it."""
    place = tmp_path_factory.mktemp("built") / "place"
    run(place, "build", "--annotations", listing, *SMALL)
    return place


@pytest.fixture
def place(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "place"))


def run(place: Path, *arguments: object, code: int = 0) -> Result:
    ended = CliRunner().invoke(app, [*map(str, arguments), "-w", str(place)])
    assert ended.exit_code == code, ended.output
    return ended


def record(place: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((place / "manifests" / "build.json").read_text())
    return content


def is_rebuilt(place: Path, listing: Path, out: Path) -> None:
    """The data set is paired, exported without media, and built again from the footage: the same bytes."""
    run(place, *SPLIT)
    run(place, "export", "csv", out, "--no-media")
    ours = out.with_name(f"{out.name}-ours")
    assert "identical to the export" in run(ours, "build", "--from-export", out, "--annotations", listing).output
    for name in MANIFESTS:
        assert (ours / "manifests" / name).read_bytes() == (place / "manifests" / name).read_bytes()


@pytest.mark.parametrize(
    "options",
    [("--seed", 7), ("--language", "zh", "--augment", 1), ("--no-sentences",), ("--forget-options", "--seed", 2)],
)
def test_new_speech_is_rebuilt(options: tuple[object, ...], place: Path, listing: Path, tmp_path: Path) -> None:
    before = record(place)
    run(place, "speech", "synthesize", *options)
    after = record(place)
    assert after["options"]["voices"] != before["options"]["voices"]
    assert list(after) == list(before)  # the order of a build
    is_rebuilt(place, listing, tmp_path / "out")


def test_speech_after_a_silent_build_is_that_of_a_build(listing: Path, tmp_path: Path) -> None:
    place, other = tmp_path / "place", tmp_path / "other"
    run(place, "build", "--annotations", listing, *SMALL, "--no-speech")
    assert len(record(place)["licences"]) == 1
    run(place, "speech", "synthesize", "--seed", 7)
    run(other, "build", "--annotations", listing, *SMALL, "--no-speech")
    run(other, "build", "--speech")
    run(other, "speech", "synthesize", "--seed", 7)
    assert record(place) == record(other)
    assert record(place)["options"]["speech"]
    assert record(place)["counts"]["utterances"] == 4
    assert len(record(place)["licences"]) == 2
    is_rebuilt(place, listing, tmp_path / "out")


def test_new_speech_beside_recordings_is_rebuilt(place: Path, listing: Path, tmp_path: Path) -> None:
    spoken = tmp_path / "spoken" / "cut_carrot_knife"
    spoken.mkdir(parents=True)
    EspeakEngine().speak("This is Anna.", EspeakEngine().voices("en")[62], path=spoken / "anna_1.wav", seed=0)
    run(place, "speech", "import", spoken.parent)
    Consents(Workspace(place), "I agree.").admit("Anna", agreed=True)
    run(place, "speech", "synthesize", "--seed", 7)
    sources = [json.loads(line)["source"] for line in (place / "manifests/utterances.jsonl").read_text().splitlines()]
    assert sorted(sources) == ["recorded", "synthesized", "synthesized", "synthesized"]
    is_rebuilt(place, listing, tmp_path / "out")


def test_speech_that_the_record_does_not_tell_of_is_not_exported_as_a_recipe(listing: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    run(place, "build", "--annotations", listing, *SMALL, "--language", "zh")
    path = place / "manifests" / "build.json"
    stale = path.read_text().replace('"language": "zh"', '"language": "en"')
    run(place, *SPLIT)
    path.write_text(stale)  # as speech synthesize of earlier versions left it
    refused = " ".join(run(place, "export", "csv", tmp_path / "out", "--no-media", code=2).output.split())
    assert "It is not recorded how 4 utterances were synthesized" in refused
    assert "descriptions in the language 'en'" in refused
    assert "fmn-data speech synthesize" in refused
    run(place, "speech", "synthesize", "--language", "zh")
    run(place, "build", "--no-speech")  # keeps them
    run(place, *SPLIT)
    refused = " ".join(run(place, "export", "csv", tmp_path / "out", "--no-media", code=2).output.split())
    assert "build.json tells of no synthesis" in refused
    assert not (tmp_path / "out").exists()
    run(place, "speech", "synthesize")
    is_rebuilt(place, listing, tmp_path / "out")


@pytest.mark.parametrize(
    ("options", "recorded", "changed", "tells"),
    [
        ((), '"engine":"espeak', '"engine":"other', "by espeak, without augmented copies"),
        (("--augment", 1), '"augment": 1', '"augment": 0', "by espeak, without augmented copies"),
    ],
)
def test_speech_of_another_engine_or_with_copies_is_not_told_of(
    options: tuple[object, ...], recorded: str, changed: str, tells: str, place: Path, tmp_path: Path
) -> None:
    """As ``speech synthesize --voices other`` and ``--augment 1`` of earlier versions left it."""
    if options:
        run(place, "build", *options)
    run(place, *SPLIT)
    before = {path: path.read_text() for path in (place / "manifests").iterdir()}
    assert any(recorded in text for text in before.values())
    for path, text in before.items():
        path.write_text(text.replace(recorded, changed))
    refused = " ".join(run(place, "export", "csv", tmp_path / "out", "--no-media", code=2).output.split())
    assert "It is not recorded how 4 utterances were synthesized" in refused
    assert tells in refused
    assert not (tmp_path / "out").exists()


def test_failures_of_the_clips_stay_in_the_record(place: Path) -> None:
    path = place / "manifests" / "build.json"
    failed = {**record(place), "failures": ["clip/a", "utterance/b", "interval/c"]}
    path.write_text(json.dumps(failed))
    run(place, "speech", "synthesize")
    assert record(place)["failures"] == ["clip/a", "interval/c"]


def test_manifests_from_elsewhere_have_no_record(listing: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    run(place, "build", "--annotations", listing, *SMALL, "--no-speech")
    (place / "manifests" / "build.json").unlink()
    run(place, "speech", "synthesize")
    assert not (place / "manifests" / "build.json").exists()
