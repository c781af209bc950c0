"""--dry-run of every command that writes: nothing is written, and wrong input is refused as by the command."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from cli import app

WRITE_NOTHING = {
    "data annotate status": "reads the decisions pulled so far",
    "data speech voices": "shows the similarity of voices",
    "data verify": "reads the files of the data set",
}
UNTIL_STOPPED = {
    "data annotate serve": "starts or stops the server of Label Studio",
    "data speech record": "a page that people record with",
    "serve": "a page to search with",
}


def commands(command: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every command of both programs that does something by itself, by its full name."""
    if not hasattr(command, "commands") or command.invoke_without_command:
        yield name, command
    for word, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, f"{name} {word}".strip())


def test_every_command_that_writes_has_a_dry_run() -> None:
    found = dict(commands(typer.main.get_command(app)))
    without = {name for name, one in found.items() if not any("--dry-run" in each.opts for each in one.params)}
    assert without == WRITE_NOTHING.keys() | UNTIL_STOPPED.keys()
    assert len(found) > 35


@pytest.fixture(scope="module")
def built(run: Callable, drawn_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small data set with speech, pairs and a report; it is the workspace ``w`` of its folder, beside the footage."""
    root = tmp_path_factory.mktemp("dry")
    shutil.copytree(drawn_corpus, root / "mpii")
    place = root / "w"
    for command in (("build", "--mpii", root / "mpii", "--short-side", 64, "--per-class", 6), ("pairs",), ("report",)):
        assert run("fmn-data", *command, "-w", place).code == 0
    return root


@pytest.fixture
def place(built: Path, tmp_path: Path) -> Path:
    """A copy of `built`, which other tests do not see; nothing is on this machine that could be found instead."""
    shutil.copytree(built, tmp_path / "all")
    return tmp_path / "all" / "w"


@pytest.fixture
def dry(run: Callable, tree: Callable, place: Path) -> Callable[..., Any]:
    """Runs a command with --dry-run and --json in the workspace; gives what it prints if nothing was written."""

    def run_dry(*arguments: object, code: int = 0) -> Any:
        before = tree(place.parent)
        ended = run("fmn-data", *arguments, "--dry-run", "--json", "-w", place, cwd=place.parent)
        assert tree(place.parent) == before, arguments
        assert ended.code == code, (arguments, ended.out, ended.err)
        return ended.json

    return run_dry


def test_no_dry_run_writes_anything(place: Path, dry: Callable, run: Callable) -> None:
    mpii = place.parent / "mpii"
    speech = sorted((place / "speech").glob("*.wav"))
    recordings = place.parent / "recordings"
    recordings.mkdir()
    shutil.copy(speech[0], recordings / f"{speech[0].stem.rpartition('_')[0]}.wav")
    listing = place.parent / "list.csv"
    listing.write_text("video,start_frame,end_frame,action,subject,object\ns07-d20-cam-002.avi,1,20,cut,carrot,knife\n")
    for arguments in (
        ("classes",),
        ("classes", "--mpii", mpii, "--propose", 1, "-o", "proposed.yaml"),
        ("classes", "--from", listing, "-o", "drafted.yaml"),
        ("build", "--mpii", mpii, "--short-side", 32),
        ("retry",),
        ("pairs",),
        ("pairs", "--seed", 3),
        ("report",),
        ("report", "-o", "elsewhere"),
        ("speech", "synthesize", "--seed", 5, "--augment", 1),
        ("speech", "synthesize", "--language", "zh"),
        ("speech", "import", recordings),
        ("speech", "check", "--synthesized"),
        ("export", "csv", place.parent / "out", "--no-media"),
        ("clean",),
        ("annotate", "push", "-o", "tasks.json"),
    ):
        if arguments[:2] == ("speech", "check"):
            pytest.importorskip("pocketsphinx")
        found = dry(*arguments)
        assert found["dry_run"] is True, arguments


def test_commands_without_a_dry_run_write_nothing(place: Path, run: Callable, tree: Callable) -> None:
    before = tree(place.parent)
    for name in WRITE_NOTHING:
        ended = run("fmn-data", *name.split()[1:], "-w", place)
        assert ended.code == (2 if name == "data speech voices" else 0), ended.err  # each voice speaks too little
    assert run("fmn-data", "verify", "--untrusted", place).code in (0, 2)
    assert tree(place.parent) == before


def test_what_a_command_refuses_its_dry_run_refuses(place: Path, dry: Callable, run: Callable) -> None:
    (place.parent / "report").mkdir()
    (place.parent / "report" / "index.html").write_text("mine")
    (place / "mine.yaml").write_text("mine")
    listing = place.parent / "list.csv"
    listing.write_text("video,start_frame,end_frame,action,subject,object\n")
    for arguments in (
        ("classes", "-o", "classes.yaml"),
        ("classes", "--propose", 1, "-o", place / "mine.yaml"),
        ("classes", "--from", listing, "-o", "drafted.yaml"),
        ("classes", "--mpii", place.parent / "none"),
        ("retry", "--mpii", place.parent / "none"),
        ("report", "-o", place.parent / "report"),
        ("report", "--class-file", place / "mine.yaml"),
        ("speech", "synthesize", "--voices", "none"),
        ("speech", "synthesize", "--language", "tlh"),
        ("speech", "synthesize", "--sentences", "none.json"),
    ):
        refused = dry(*arguments, code=2)["error"]
        ended = run("fmn-data", *arguments, "--json", "-w", place, cwd=place.parent)
        assert (ended.code, ended.json["error"]) == (2, refused), arguments


def test_a_synthesis_makes_the_files_that_were_said(place: Path, dry: Callable, run: Callable) -> None:
    def made(*options: object) -> set[Path]:
        before = {path: path.stat().st_mtime_ns for path in (place / "speech").glob("*.wav")}
        ended = run("fmn-data", "speech", "synthesize", *options, "-w", place)
        assert ended.code == 0, ended.err
        now = {path: path.stat().st_mtime_ns for path in (place / "speech").glob("*.wav")}
        return {path for path, changed in now.items() if before.get(path) != changed}

    assert dry("speech", "synthesize")["to_make"] == 0
    clips = (place / "manifests" / "clips.jsonl").read_text().count("\n")
    for options, files in ((("--augment", 1), clips), (("--augment", 1, "--seed", 7), None), (("--augment", 0), 0)):
        said = dry("speech", "synthesize", *options)
        assert said["to_make"] == len(made(*options)), options
        assert files in (None, said["to_make"])
        rows = (place / "manifests" / "utterances.jsonl").read_text().count("\n")
        assert said["utterances"] == rows, options
    (place / "ledger.jsonl").unlink()
    assert dry("speech", "synthesize", "--augment", 2)["to_make"] == 3 * clips


def test_a_report_draws_the_thumbnails_that_were_said(place: Path, dry: Callable, run: Callable) -> None:
    said = dry("report")
    assert said["to_draw"] == 0
    pictures = sorted((place / "report" / "thumbnails").glob("*.jpg"))
    for path in pictures[:2]:
        path.unlink()
    assert dry("report")["to_draw"] == 2
    new = dry("report", "-o", place.parent / "other")
    assert new["to_draw"] == len(pictures)
    done = run("fmn-data", "report", "-o", place.parent / "other", "--json", "-w", place).json
    assert done == {**new, "dry_run": False, "to_draw": 0}
    assert len(list((place.parent / "other" / "thumbnails").glob("*.jpg"))) == len(pictures)


def test_a_class_file_has_the_classes_that_were_said(place: Path, dry: Callable, run: Callable) -> None:
    listing = place.parent / "list.csv"
    rows = [f"s07-d20-cam-002.avi,{start},{start + 17},cut,{thing},knife" for start in (1, 21) for thing in ("a", "b")]
    listing.write_text("\n".join(["video,start_frame,end_frame,action,subject,object", *rows, ""]))
    draft = ("classes", "--from", listing, "-o", "drafted.yaml")
    said = dry(*draft)
    ended = run("fmn-data", *draft, "-w", place, "--json", cwd=place.parent)
    assert ended.json == {**said, "dry_run": False}
    shown = run("fmn-data", *draft[:-1], "again.yaml", "--dry-run", cwd=place.parent)
    assert "2 classes would be written  → again.yaml" in shown.out
    assert (place.parent / "drafted.yaml").is_file()
    assert not (place.parent / "again.yaml").exists()


def test_the_synthetic_corpus_is_what_was_said(
    run: Callable, tmp_path: Path, tree: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dataset_tools.corpora.standin.standin_corpus.LEAST_VIDEOS", 1)
    standin = ("standin", tmp_path / "c", "--per-class", 1, "--difficulty", "easy", "--json")

    def dry(*options: object) -> Any:
        before = tree(tmp_path)
        ended = run("fmn-data", *standin, *options, "--dry-run")
        assert tree(tmp_path) == before
        return ended

    said = dry().json["standin"]
    done = run("fmn-data", *standin).json["standin"]
    for one in (said, done):
        one.pop("seconds")
    assert done == {**said, "dry_run": False}
    assert said["drawn"] == said["videos"] == len(list((tmp_path / "c" / "videos").iterdir()))
    assert dry().json["standin"]["drawn"] == 0
    refused = dry("--seed", 1)
    assert (refused.code, run("fmn-data", *standin, "--seed", 1).json) == (2, refused.json)
    (tmp_path / "c" / "STANDIN.json").unlink()
    assert "The folder is not empty" in dry().json["error"]["found"]


def test_a_dry_run_without_footage_renders_none(run: Callable, tmp_path: Path, tree: Callable) -> None:
    before = tree(tmp_path)
    ended = run("fmn-data", "build", "--dry-run", "-w", tmp_path / "w")
    assert ended.code == 0, ended.err
    assert "the synthetic (stand-in) corpus would be rendered first" in ended.out
    assert tree(tmp_path) == before


@pytest.mark.parametrize("options", [(), ("--dry-run",), ("--propose", 3)])
def test_classes_are_not_counted_in_footage_that_nobody_named(
    run: Callable, tmp_path: Path, tree: Callable, options: tuple[object, ...]
) -> None:
    before = tree(tmp_path)
    ended = run("fmn-data", "classes", *options, "-w", tmp_path / "w", "--json")
    assert ended.code == 2
    assert ended.json["error"]["found"].startswith("No footage is named")
    assert tree(tmp_path) == before


@pytest.mark.parametrize("wrong", [("--voices", "none"), ("--language", "tlh"), ("--sentences", "none.json")])
def test_a_build_without_footage_checks_the_speech_before_it_renders_some(
    run: Callable, tmp_path: Path, tree: Callable, wrong: tuple[str, str]
) -> None:
    before = tree(tmp_path)
    for options in (("--dry-run",), ()):
        ended = run("fmn-data", "build", *wrong, *options, "-w", tmp_path / "w")
        assert (ended.code, tree(tmp_path)) == (2, before), ended.out
        assert wrong[1] in ended.err
