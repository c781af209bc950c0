"""Options of `build` and `speech synthesize` that are not given are those of the last build, and a line says so."""

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
from dataset_tools.core.shipped_files import shipped_file
from dataset_tools.speech.booth import server
from dataset_tools.speech.booth.sessions import Booth

TOLD = "as in the last build: "
SMALL = ("--short-side", 32)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "w"


def record(place: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((place / "manifests" / "build.json").read_text())
    return content


def rows(place: Path, kind: str = "utterances") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (place / "manifests" / f"{kind}.jsonl").read_text().splitlines()]


def contents(place: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (place / "manifests").iterdir()}


def told(ended: Result) -> str:
    """The options of the last build that a command says it uses."""
    lines = [line.strip() for line in ended.output.splitlines() if TOLD in line]
    return "" if not lines else " ".join(lines).removeprefix(TOLD).removesuffix("; --forget-options resets them")


def test_a_plain_build_makes_the_same_data_set_and_says_with_what(
    run: Callable[..., Result], footage: Path, place: Path
) -> None:
    given = ("--keep-audio", "--per-class", 3, "--shortfall", "windows", "--language", "zh", "--seed", 3)
    assert told(run("build", "--annotations", footage, *SMALL, *given)) == ""
    made = contents(place)
    assert {row["language"] for row in rows(place)} == {"zh"}
    for command in (("build", "--dry-run"), ("build",), ("build", "--annotations", footage)):
        ended = run(*command)
        assert set(told(ended).split(" --")) == {
            "--per-class 3", "shortfall windows", "short-side 32", "keep-audio", "seed 3", "language zh",
        }  # fmt: skip
        assert contents(place) == made


def test_one_line_tells_the_options_of_the_annotations_too(run: Callable[..., Result], footage: Path) -> None:
    built = run("build", "--annotations", footage, "--person", r"(p\d+)_", *SMALL, "--no-speech")
    assert "next: fmn-data speech record --workspace" in built.output  # there is nothing to pair yet
    assert told(run("build")) == r"--person '(p\d+)_' --short-side 32 --no-speech"


def test_a_given_option_wins_and_is_remembered_from_then_on(
    run: Callable[..., Result], footage: Path, place: Path
) -> None:
    run("build", "--annotations", footage, *SMALL, "--keep-audio", "--no-speech")
    assert told(run("build", "--no-keep-audio", "--speech")) == "--short-side 32"
    assert {name: record(place)["options"][name] for name in ("keep_audio", "speech")} == {
        "keep_audio": False,
        "speech": True,
    }
    assert told(run("build", "--short-side", 48)) == ""
    assert told(run("build")) == "--short-side 48"


def test_forgotten_options_have_their_defaults(run: Callable[..., Result], footage: Path, place: Path) -> None:
    run("build", "--annotations", footage, *SMALL, "--per-class", 1, "--no-speech", "--classes", 19)
    assert told(run("build", "--forget-options", "--no-speech", *SMALL)) == ""
    options = record(place)["options"]
    assert (options["per_class"], options["classes"]) == (50, 20)
    assert told(run("build")) == "--short-side 32 --no-speech"


def test_other_footage_starts_anew(run: Callable[..., Result], footage: Path, place: Path, tmp_path: Path) -> None:
    run("build", "--annotations", footage, *SMALL, "--per-class", 1, "--no-speech")
    other = footage.with_name("other.csv")
    other.write_text(footage.read_text() + "p1_a.mp4,22,30,cut,carrot,knife\n")
    new = ("build", "--annotations", other, "--replace-footage", "--no-speech", *SMALL)
    assert told(run(*new)) == ""
    assert record(place)["options"]["per_class"] == 50


def test_footage_in_the_layout_of_mpii_has_its_options_again(
    run: Callable[..., Result], small_corpus: Path, place: Path, tmp_path: Path
) -> None:
    run("build", "--mpii", small_corpus, *SMALL, "--per-class", 1, "--no-speech")
    made = contents(place)
    assert (
        told(run("build")) == told(run("build", "--mpii", small_corpus)) == "--per-class 1 --short-side 32 --no-speech"
    )
    moved = tmp_path / "moved"
    shutil.copytree(small_corpus, moved)
    assert told(run("build", "--mpii", moved)) == "--per-class 1 --short-side 32 --no-speech"
    assert contents(place) == made


def test_the_number_of_classes_is_kept_only_if_it_left_some_out(
    run: Callable[..., Result], footage: Path, place: Path
) -> None:
    own = place / "annotations" / "classes.yaml"
    own.parent.mkdir(parents=True)
    text = shipped_file("classes.yaml").read_text("utf-8")
    own.write_text(text, "utf-8")
    more = text.rstrip() + "\n  - {action: stir, subject: carrot, object: knife}\n"
    run("build", "--annotations", footage, *SMALL, "--no-speech", "--classes", 20)
    own.write_text(more, "utf-8")
    assert "--classes" not in told(run("build"))
    assert record(place)["options"]["classes"] == 21
    run("build", "--classes", 19)
    assert "--classes 19" in told(run("build"))
    assert record(place)["options"]["classes"] == 19
    assert "--classes" not in told(run("build", "--classes", 21))


def test_the_number_of_classes_is_not_that_of_another_class_file(
    run: Callable[..., Result], footage: Path, place: Path, tmp_path: Path
) -> None:
    run("build", "--annotations", footage, *SMALL, "--no-speech", "--classes", 19)
    other = tmp_path / "other.yaml"
    other.write_text(shipped_file("classes.yaml").read_text("utf-8") + "\n# another file\n", "utf-8")
    assert "--classes" not in told(run("build", "--class-file", other))
    assert record(place)["options"]["classes"] == 20


def test_an_option_of_the_speech_makes_a_silent_data_set_speak(
    run: Callable[..., Result], footage: Path, place: Path
) -> None:
    run("build", "--annotations", footage, *SMALL, "--no-speech")
    run("build", "--seed", 1)
    assert rows(place) == []
    run("build", "--language", "zh")
    assert {row["language"] for row in rows(place)} == {"zh"}


def test_no_sentences_is_kept_before_there_are_any(run: Callable[..., Result], footage: Path, place: Path) -> None:
    run("build", "--annotations", footage, *SMALL, "--no-sentences")
    lines = footage.read_text().splitlines()
    footage.write_text("\n".join([f"{lines[0]},sentence", *(f"{line},Cutting again." for line in lines[1:])]) + "\n")
    assert "--no-sentences" in told(run("build"))
    assert {row["text_source"] for row in rows(place)} == {"grammar"}


def test_sentence_files_are_used_again(run: Callable[..., Result], footage: Path, place: Path, tmp_path: Path) -> None:
    def sources() -> set[str]:
        return {row["text_source"] for row in rows(place)}

    lines = footage.read_text().splitlines()
    footage.write_text("\n".join([f"{lines[0]},sentence", *(f"{line},Cutting again." for line in lines[1:])]) + "\n")
    run("build", "--annotations", footage, *SMALL)
    assert sources() == {"annotations", "grammar"}  # no sentence is said twice while there are others
    run("build", "--no-sentences")
    assert sources() == {"grammar"}
    assert told(run("build")) == "--short-side 32 --no-sentences"
    assert sources() == {"grammar"}
    assert told(run("build", "--footage-sentences")) == "--short-side 32"
    assert "annotations" in sources()
    spoken = contents(place)
    assert told(run("speech", "synthesize")) == ""
    assert contents(place) == spoken

    people = tmp_path / "people.tsv"
    said = "She dices the carrot."
    people.write_text(f"video\tstart_frame\tend_frame\tsentence\np1_a.mp4\t1\t60\t{said}\n")
    used = run("build", "--sentences", people).output
    assert said in {row["text"] for row in rows(place)}
    assert "sentences from the files of --sentences: 1" in used
    assert "no sentence of these files was used" not in used
    for command in ("build", "retry", "build --dry-run", "speech synthesize"):
        ended = run(*command.split())
        assert command == "retry" or f"--sentences {people}" in told(ended)
        assert said in {row["text"] for row in rows(place)}
    people.write_text(people.read_text().replace("She", "He"))
    assert "with unchanged content" in " ".join(run("speech", "synthesize", code=2).output.split())
    run("build")
    assert "He dices the carrot." in {row["text"] for row in rows(place)}
    people.write_text(people.read_text().replace("p1_a.mp4", "another.mp4"))
    assert "no sentence of these files was used" in run("build").output
    people.unlink()
    for command in ("build", "speech synthesize"):
        refused = " ".join(run(*command.split(), code=2).output.split())
        assert "sentence files that are not available: people.tsv" in refused
        assert "--no-sentences" in refused
    run("build", "--no-sentences")


@pytest.mark.parametrize(
    ("command", "other"),
    [("build", "--no-sentences"), ("build", "--footage-sentences"), ("speech synthesize", "--no-sentences")],
)
def test_sentence_files_beside_another_choice_of_sentences_are_refused(
    run: Callable[..., Result], footage: Path, place: Path, tmp_path: Path, command: str, other: str
) -> None:
    people = tmp_path / "people.tsv"
    people.write_text("video\tstart_frame\tend_frame\tsentence\np1_a.mp4\t1\t60\tShe dices.\n")
    source = ("--annotations", footage, *SMALL)
    if command != "build":
        run("build", *source)
    made = contents(place) if place.exists() else {}
    refused = run(*command.split(), *(source if not made else ()), "--sentences", people, other, code=2).output
    assert f"--sentences and {other} contradict each other" in " ".join(refused.split())
    assert (contents(place) if place.exists() else {}) == made


def test_synthesis_speaks_as_the_last_build_did(run: Callable[..., Result], footage: Path, place: Path) -> None:
    run("build", "--annotations", footage, *SMALL, "--language", "zh", "--augment", 1)
    made = contents(place)
    assert told(run("speech", "synthesize")) == "--language zh --augment 1"
    assert contents(place) == made
    assert told(run("speech", "synthesize", "--seed", 7)) == "--language zh --augment 1"
    again = contents(place)
    assert again != made
    built = run("build")
    assert told(built) == "--short-side 32 --language zh --augment 1"  # what can be typed
    assert "speech: with the seed of fmn-data speech synthesize --seed 7" in built.output
    assert contents(place) == again
    assert told(run("speech", "synthesize")) == "--language zh --augment 1 --seed 7"
    assert contents(place) == again
    assert told(run("speech", "synthesize", "--forget-options")) == ""
    assert {row["language"] for row in rows(place)} == {"en"}


def test_the_booth_shows_sentences_in_the_language_of_the_last_build(
    run: Callable[..., Result], footage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Booth] = []
    monkeypatch.setattr(server, "serve_booth", lambda booth, *_, **__: opened.append(booth))
    run("build", "--annotations", footage, *SMALL, "--no-speech", "--language", "zh")
    for options, language, said in (((), "zh", "--language zh"), (("--language", "en"), "en", "")):
        assert told(run("speech", "record", *options)) == said
        assert {line.language for line in opened.pop().lines.values()} == {language}
    run("build", "--language", "en", "--no-speech")
    assert told(run("speech", "record")) == ""
    assert {line.language for line in opened.pop().lines.values()} == {"en"}


def test_records_of_earlier_versions_are_read(run: Callable[..., Result], footage: Path, place: Path) -> None:
    run("build", "--annotations", footage, *SMALL, "--no-speech", "--classes", 19)
    path = place / "manifests" / "build.json"
    older = record(place)
    older["options"].pop("footage_sentences", None)
    older["class_file"].pop("classes", None)
    path.write_text(json.dumps(older))
    assert told(run("build")) == "--short-side 32 --no-speech --classes 19"
    older["options"] = {"per_class": 1}
    path.write_text(json.dumps(older))
    ended = run("build", *SMALL, "--no-speech")
    assert told(ended) == ""
    assert "The options of the last build are not known" in ended.output
    assert record(place)["options"]["per_class"] == 50


def test_the_help_says_how_to_undo_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = CliRunner().invoke(app, ["build", "--help"]).output
    for pair in (
        ("--keep-audio", "--no-keep-audio"),
        ("--speech", "--no-speech"),
        ("--footage-sentences", "--no-sentences"),
    ):
        assert all(name in text for name in pair)


def test_clips_of_a_size_that_no_codec_has_are_refused(run: Callable[..., Result], place: Path) -> None:
    assert "33 is odd" in run("build", "--clips", place, "--short-side", 33, code=2).output
    assert "is not an integer from 16 to" in run("build", "--clips", place, "--short-side", 100_000, code=2).output
    assert not place.exists()
