"""An export without media, built again from the footage elsewhere: the same bytes, or what differs is said."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner, Result

from dataset_tools.classes.reader import load_classes
from dataset_tools.cli.main import app
from dataset_tools.core.workspace import Workspace
from dataset_tools.decisions.journal import ReviewRow, append_reviews, reviews_path
from dataset_tools.manifests import ClipRow, SpeakerFacts, read_rows
from dataset_tools.speech.dataset_speech import import_dataset
from dataset_tools.speech.recordings.consents import Consents
from dataset_tools.speech.recordings.recording_rows import read_recordings

MANIFESTS = ("build.json", "clips.jsonl", "utterances.jsonl", "pairs.jsonl", "train.jsonl", "test.jsonl", "split.json")


pytestmark = pytest.mark.xdist_group("rebuilding")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="session")
def corpus(corpus_of_three: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(corpus_of_three, tmp_path_factory.mktemp("footage") / "corpus"))


@pytest.fixture(scope="session")
def built(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six clips of two classes, small pictures."""
    root = tmp_path_factory.mktemp("built")
    done = run("build", "--classes", 2, "--per-class", 3, "--short-side", 32, "--mpii", corpus, "-w", root)
    assert done.exit_code == 0, done.output
    return root


@pytest.fixture(scope="session")
def theirs(built: Path, tmp_path_factory: pytest.TempPathFactory, make_review: Callable[..., ReviewRow]) -> Workspace:
    """The data set, one clip rejected, one sentence spoken by Anna, who agreed, one by Ben, who was not asked."""
    tmp_path = tmp_path_factory.mktemp("theirs")
    place = Workspace(tmp_path / "data")
    shutil.copytree(built, place.root)
    clips = list(read_rows(place.manifests / "clips.jsonl", ClipRow))
    verdict = make_review(
        minute=1,
        id=clips[0].id,
        content_sha256=clips[0].sha256,
        verdict="reject",
        note="my neighbor's kitchen",
        shown={"class_id": clips[0].class_id},
    )
    append_reviews(reviews_path(place), [verdict])
    spoken = tmp_path / "spoken"
    spoken.mkdir()
    lines = ["path,class,clip,voice,text"]
    for number, voice in enumerate(["anna", "ben"], start=1):
        sound = 0.1 * np.sin(np.arange(32000) * 0.05 * number) * (np.arange(32000) % 4000 < 3000)
        soundfile.write(spoken / f"{voice}-private-name.wav", sound, 16000)
        lines.append(f"{voice}-private-name.wav,,{clips[number].id},{voice.title()},This is {voice}.")
    (spoken / "list.csv").write_text("\n".join(lines) + "\n")
    import_dataset(place, spoken / "list.csv", load_classes())
    bens = next(row for row in read_recordings(place) if row.utterance.voice == "ben")
    shown = {"class_id": clips[2].class_id, "sentence": "This is ben."}
    judged = (clips[2].id, "clip", clips[2].sha256), (bens.id, "utterance", bens.utterance.sha256)
    append_reviews(
        reviews_path(place),
        [
            make_review(minute=2, annotation=2, id=name, item=item, content_sha256=sha256, shown=shown)
            for name, item, sha256 in judged
        ],
    )
    Consents(place, "I agree.").admit("Anna", agreed=True, speaker=SpeakerFacts(accent="Scottish"))
    return place


@pytest.fixture(scope="session")
def paired(theirs: Workspace, corpus: Path) -> Workspace:
    """The same, built with the decision, and paired."""
    options = ("--classes", 2, "--per-class", 3, "--short-side", 32, "--mpii", corpus)
    for command in (("build", *options), ("pairs", "--split", "pairs", "--test-share", 0.4, "--seed", 7)):
        done = run(*command, "-w", theirs.root)
        assert done.exit_code == 0, done.output
    return theirs


def test_the_same_bytes_elsewhere(paired: Workspace, corpus: Path, tmp_path: Path) -> None:
    out, ours = tmp_path / "out", tmp_path / "ours"
    allowed = ("--allow", "recordings-without-consent")
    exported = run("export", "csv", out, "--no-media", *allowed, "-w", paired.root, "--json")
    assert exported.exit_code == 0, exported.output
    assert json.loads(exported.stdout)["missing"] == 0
    done = run("build", "--from-export", out, "--mpii", corpus, "-w", ours, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["same"]
    for name in MANIFESTS:
        assert (ours / "manifests" / name).read_bytes() == (paired.root / "manifests" / name).read_bytes()
    for line in (ours / "manifests" / "clips.jsonl").read_text().splitlines():
        path = json.loads(line)["path"]
        assert (ours / path).read_bytes() == (paired.root / path).read_bytes()
    again = run("build", "--from-export", out, "--mpii", corpus, "-w", ours)
    assert again.exit_code == 0, again.output


def test_a_dry_run_says_what_an_export_without_media_writes_and_withholds(paired: Workspace, tmp_path: Path) -> None:
    command = ("export", "csv", tmp_path / "out", "--no-media", "-w", paired.root)
    before = {path: path.stat().st_mtime_ns for path in paired.root.rglob("*")}
    planned = run(*command, "--dry-run")
    said = json.loads(run(*command, "--dry-run", "--json").stdout)
    assert {path: path.stat().st_mtime_ns for path in paired.root.rglob("*")} == before
    assert not list(tmp_path.iterdir())
    text = " ".join(planned.output.split())
    assert "would be withheld: recordings-without-consent: 1 recorded utterance of ben" in text
    assert "1 recorded utterance would be left out: recordings cannot be rebuilt" in text
    wrote = run(*command, "--json")
    assert json.loads(wrote.stdout) == {**said, "dry_run": False}
    assert said["written"] == len((tmp_path / "out" / "SHA256SUMS").read_text().splitlines())


def test_own_footage_is_read_with_the_options_of_the_export(corpus: Path, tmp_path: Path) -> None:
    videos = sorted(path.name for path in (corpus / "videos").iterdir())[:2]
    listing = tmp_path / "mine.csv"
    rows = [f"{video},{start},{start + 20},cut,carrot,knife" for video in videos for start in (1, 31)]
    listing.write_text("\n".join(["video,start_frame,end_frame,action,subject,object", *rows]) + "\n")
    place, named = tmp_path / "place", ("--annotations", listing, "--videos", corpus / "videos")
    options = ("--person", "^(s).", "--frame-base", 0, "--short-side", 32)
    for command in (
        ("build", *named, *options),
        ("pairs", "--split", "items", "--test-share", 0.5),
        ("export", "csv", tmp_path / "out", "--no-media"),
    ):
        done = run(*command, "-w", place)
        assert done.exit_code == 0, done.output
    done = run("build", "--from-export", tmp_path / "out", *named, "-w", tmp_path / "ours", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["same"]
    row = json.loads((tmp_path / "ours" / "manifests" / "clips.jsonl").read_text().splitlines()[0])
    assert row["person"] == "s"


@pytest.mark.parametrize("is_named", [True, False])
def test_options_that_the_workspace_remembers_do_not_count_in_a_rebuild(
    is_named: bool, corpus: Path, tmp_path: Path
) -> None:
    video = next(iter(sorted((corpus / "videos").iterdir())))
    listing = tmp_path / "mine.csv"
    rows = [f"{video.name},{start},{start + 20},cut,carrot,knife" for start in (1, 31)]
    listing.write_text("\n".join(["video,start_frame,end_frame,action,subject,object", *rows]) + "\n")
    place, ours, named = tmp_path / "place", tmp_path / "ours", ("--annotations", listing, "--videos", video.parent)
    for command in (
        ("build", *named, "--short-side", 32, "-w", place),
        ("pairs", "--split", "items", "--test-share", 0.5, "-w", place),
        ("export", "csv", tmp_path / "out", "--no-media", "-w", place),
        ("build", *named, "--person", "^(s).", "--short-side", 32, "-w", ours),
        ("build", "--from-export", tmp_path / "out", *(named if is_named else ()), "-w", ours),
    ):
        done = run(*command)
        assert done.exit_code == 0, done.output
    assert "--person" not in done.output
    assert (ours / "manifests" / "build.json").read_bytes() == (place / "manifests" / "build.json").read_bytes()


@pytest.fixture(scope="session")
def of_class_folders(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of two class folders whose files are named as phones do; the class file has Windows' line ends."""
    root = tmp_path_factory.mktemp("folders")
    videos = sorted((corpus / "videos").iterdir())
    for number, label in enumerate(("open_door", "wave")):
        (root / "mine" / label).mkdir(parents=True)
        for person in ("p01", "p02"):
            shutil.copy(videos[number + 1], root / "mine" / label / f"{person}_a.avi")
            with (root / "mine" / label / f"{person}_a.avi").open("ab") as file:
                file.write(person.encode())  # behind the footage: another SHA-256, the same frames
    place = root / "place"
    classes = place / "annotations" / "classes.yaml"
    for command in (
        ("classes", "--from", root / "mine", "-o", classes),
        ("build", "--annotations", root / "mine", "--short-side", 32),
        ("pairs", "--split", "pairs", "--test-share", 0.5),
        ("export", "csv", root / "out", "--no-media"),
    ):
        done = run(*command, "-w", place)
        assert done.exit_code == 0, done.output
        if command[0] == "classes":
            classes.write_bytes(classes.read_bytes().replace(b"\n", b"\r\n"))
    return root


def test_a_class_file_goes_along_byte_for_byte(of_class_folders: Path) -> None:
    content = (of_class_folders / "place" / "annotations" / "classes.yaml").read_bytes()
    assert b"\r\n" in content
    assert (of_class_folders / "out" / "rebuild" / "classes.yaml").read_bytes() == content


def test_source_videos_of_any_name_are_in_the_recipe(of_class_folders: Path) -> None:
    expected = {
        f"{label}-{person}-a": hashlib.sha256(
            (of_class_folders / "mine" / label.replace("-", "_") / f"{person}_a.avi").read_bytes()
        ).hexdigest()
        for label in ("open-door", "wave")
        for person in ("p01", "p02")
    }
    recipe = json.loads((of_class_folders / "out" / "rebuild" / "recipe.json").read_text())
    assert recipe["sources"] == expected


def test_a_source_video_of_any_name_that_is_another_is_named(of_class_folders: Path, tmp_path: Path) -> None:
    mine = Path(shutil.copytree(of_class_folders / "mine", tmp_path / "mine"))
    shutil.copy(mine / "wave" / "p01_a.avi", mine / "open_door" / "p02_a.avi")
    done = run("build", "--from-export", of_class_folders / "out", "--annotations", mine, "-w", tmp_path / "w")
    assert done.exit_code == 1, done.output
    told = " ".join(done.output.split())
    assert "source video open-door-p02-a: its SHA-256 is" in told
    assert "source video wave" not in told


def test_what_does_not_concern_the_other_side_stays(paired: Workspace, tmp_path: Path) -> None:
    out = tmp_path / "out"
    exported = run("export", "csv", out, "--no-media", "-w", paired.root, "--json")
    assert exported.exit_code == 0, exported.output
    assert json.loads(exported.stdout)["missing"] == 1
    everything = b"".join(path.read_bytes() for path in out.rglob("*") if path.is_file())
    for secret in (b"ann@example.com", b"127.0.0.1", b"my neighbor", b"private-name", b'"Anna"'):
        assert secret not in everything
    assert [path.name.split("_")[-2] for path in (out / "rebuild" / "speech").iterdir()] == ["anna"]
    for trace in (b"_ben_", b'"ben"', b",ben,", b"This is ben."):  # who was not asked
        assert trace in b"".join(path.read_bytes() for path in paired.manifests.iterdir()) + b",ben,"
        assert trace not in everything
    rows = [line for line in (paired.manifests / "utterances.jsonl").read_text().splitlines() if '"ben"' not in line]
    assert (out / "rebuild" / "manifests" / "utterances.jsonl").read_text().splitlines() == rows
    for folder in (paired.recordings, paired.clips):
        for path in folder.iterdir():
            assert path.suffix == ".jsonl" or path.read_bytes() not in everything


def test_what_an_editor_adds_to_a_manifest_is_not_in_the_recipe(paired: Workspace, tmp_path: Path) -> None:
    edited = Workspace(Path(shutil.copytree(paired.root, tmp_path / "edited")))
    for name in ("clips.jsonl", "train.jsonl"):
        text = (edited.manifests / name).read_text("utf-8")
        (edited.manifests / name).write_text("\ufeff" + text.replace("\n", "\r\n") + "\r\n \r\n", "utf-8", newline="")
    recipes = []
    for place, out in ((paired, tmp_path / "out"), (edited, tmp_path / "out-edited")):
        exported = run("export", "csv", out, "--no-media", "-w", place.root)
        assert exported.exit_code == 0, exported.output
        recipes.append((out / "rebuild" / "recipe.json").read_bytes())
    assert recipes[0] == recipes[1]
    found = json.loads(recipes[0])["manifests"]["clips.jsonl"]
    assert found == hashlib.sha256((paired.manifests / "clips.jsonl").read_bytes()).hexdigest()


def test_without_a_recording_it_says_what_differs(paired: Workspace, corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run("export", "csv", out, "--no-media", "-w", paired.root).exit_code == 0
    done = run("build", "--from-export", out, "--mpii", corpus, "-w", tmp_path / "ours", "--json")
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert not found["same"]
    assert found["missing"] == 1
    assert "utterances.jsonl, pairs.jsonl, train.jsonl, test.jsonl" in found["differences"][-1]


def test_other_hashes_are_named(paired: Workspace, corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ("--no-media", "--allow", "recordings-without-consent", "-w", paired.root)
    assert run("export", "csv", out, *options).exit_code == 0
    manifest, recipe = out / "rebuild" / "manifests" / "clips.jsonl", out / "rebuild" / "recipe.json"
    first = next(iter(read_rows(manifest, ClipRow)))
    manifest.write_text(manifest.read_text().replace(first.sha256, "0" * 64))
    content = json.loads(recipe.read_text())
    content["manifests"]["clips.jsonl"] = "1" * 64
    content["sources"][first.video] = "2" * 64
    recipe.write_bytes(msgspec.json.encode(content))
    done = run("build", "--from-export", out, "--mpii", corpus, "-w", tmp_path / "ours", "--json")
    assert done.exit_code == 1
    differences = json.loads(done.stdout)["differences"]
    assert any(f"1 clip has a different SHA-256: {first.id}" in text for text in differences)
    assert any(text.startswith(f"source video {first.video}") for text in differences)


def test_other_footage_is_refused_before_anything_is_written(
    paired: Workspace, small_corpus: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert run("export", "csv", out, "--no-media", "-w", paired.root).exit_code == 0
    done = run("build", "--from-export", out, "--mpii", small_corpus, "-w", tmp_path / "ours")
    assert done.exit_code == 2
    assert "annotation file is not that of the export" in done.output
    assert not (tmp_path / "ours").exists()


def test_decisions_of_the_workspace_are_not_replaced(paired: Workspace, corpus: Path, tmp_path: Path) -> None:
    out, ours = tmp_path / "out", tmp_path / "ours" / "annotations" / "reviews.jsonl"
    assert run("export", "csv", out, "--no-media", "-w", paired.root).exit_code == 0
    ours.parent.mkdir(parents=True)
    ours.write_bytes(reviews_path(paired).read_bytes())
    done = run("build", "--from-export", out, "--mpii", corpus, "-w", tmp_path / "ours")
    assert done.exit_code == 2
    assert ours.read_bytes() == reviews_path(paired).read_bytes()


@pytest.mark.parametrize("option", [("--per-class", 3), ("--classes", 2), ("--no-speech",), ("--seed", 1)])
def test_options_that_would_be_ignored_are_refused(tmp_path: Path, corpus: Path, option: tuple[object, ...]) -> None:
    done = run("build", "--from-export", tmp_path, "--mpii", corpus, *option)
    assert done.exit_code == 2
    assert "cannot be combined with options" in done.output


def test_an_export_with_media_has_no_recipe(paired: Workspace, corpus: Path, tmp_path: Path) -> None:
    options = ("--allow", "recordings-without-consent", "-w", paired.root)
    assert run("export", "csv", tmp_path / "out", *options, "--shard-size", "1GB").exit_code == 0
    done = run("build", "--from-export", tmp_path / "out", "--mpii", corpus, "-w", tmp_path / "ours")
    assert done.exit_code == 2
    assert "--no-media" in done.output


def test_a_size_that_cannot_be_read(tmp_path: Path) -> None:
    for size in ("much", "0", "5 apples", "-3MB"):
        done = run("export", "csv", tmp_path / "out", f"--shard-size={size}", "-w", tmp_path)
        assert done.exit_code == 2
        assert "--shard-size" in done.output
