"""A dry run of a command that uses a run or features writes nothing, and says what the command then does."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataset_tools.manifests import SplitPairRow, read_rows, write_rows

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def dry(fmn: Callable, tmp_path: Path, tree: Callable) -> Callable[..., Any]:
    """Runs a command with --dry-run and gives its result, after checking that nothing was written."""

    def run(*arguments: object, exit_code: int = 0) -> Any:
        before = tree(tmp_path)
        ended = fmn(*arguments, "--dry-run")
        assert tree(tmp_path) == before, ended.output
        assert ended.exit_code == exit_code, ended.output
        return ended

    return run


@pytest.fixture
def said(dry: Callable[..., Any]) -> Callable[..., dict[str, Any]]:
    """The same with --json."""

    def run(*arguments: object, exit_code: int = 0) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(dry(*arguments, "--json", exit_code=exit_code).stdout)
        assert found.pop("dry_run") is True
        return found

    return run


@pytest.fixture(scope="module")
def trained_once(
    shared_files: Path, tmp_path_factory: pytest.TempPathFactory, done: Callable, small_settings: list[str]
) -> Path:
    """What `trained` is a copy of."""
    files = Path(shutil.copytree(shared_files, tmp_path_factory.mktemp("trained") / "workspace"))
    done("train", files / "manifests" / "train.jsonl", "--epochs", 1, *small_settings, "--run", files / "runs" / "one")
    rows = list(read_rows(files / "manifests" / "test.jsonl", SplitPairRow))
    for name in ("clip", "utterance"):
        items = {row.id: row for row in (getattr(pair, name) for pair in rows)}
        write_rows(files / "manifests" / f"{name}s.jsonl", [items[key] for key in sorted(items)])
    return files


@pytest.fixture
def trained(trained_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with a run on files that play, whose training features are cached; those of the test are not."""
    files = Path(shutil.copytree(trained_once, tmp_path / "workspace"))
    monkeypatch.chdir(files)
    return files


def contents(workspace: Path, *names: str) -> tuple[set[str], set[str]]:
    """The contents of clips and of utterances of some manifests; some clips have the same."""
    rows = [row for name in names for row in read_rows(workspace / "manifests" / f"{name}.jsonl", SplitPairRow)]
    return {row.clip.sha256 for row in rows}, {row.utterance.sha256 for row in rows}


def unknown(workspace: Path) -> tuple[int, int]:
    """The numbers of contents of the test that are not in the training, and so not in the cache."""
    test, train = contents(workspace, "test"), contents(workspace, "train")
    return len(test[0] - train[0]), len(test[1] - train[1])


def cached(workspace: Path) -> int:
    """The number of features in the cache."""
    return sum(1 for path in (workspace / "cache" / "features").glob("*/*/*.npy") if path.parts[-3] != "contents")


def test_the_dry_runs_of_trainings_write_nothing_either(
    trained: Path, said: Callable, give_two_actions: Callable
) -> None:
    other = ("compare", "noise --rates 0,50", "ablate", "tune", "newclasses --held-out 2")
    for command in ("train --run runs/two", "train --resume --run runs/one", *other):
        said(*command.split())
    give_two_actions(trained)
    said("finetune")


def test_an_evaluation_writes_what_its_dry_run_said(
    trained: Path, dry: Callable, said: Callable, fmn: Callable
) -> None:
    planned = said("eval", "runs/one", "--trec", "trec")
    items = {row.clip.id for row in read_rows(trained / "manifests" / "test.jsonl", SplitPairRow)}
    new = sum(unknown(trained))
    assert (planned["clips"], planned["utterances"], planned["to_extract"]) == (len(items), len(items), new)
    shown = dry("eval", "runs/one").output
    assert f"up to {new} features would be extracted first" in shown
    assert "would write runs/one/metrics.json\n" in shown
    before = {path for path in trained.rglob("*") if path.is_file()}
    assert fmn("eval", "runs/one", "--trec", "trec").exit_code == 0
    written = {path for path in trained.rglob("*") if path.is_file()} - before
    written = {path for path in written if "cache" not in path.parts}
    assert {trained / path for path in planned["files"]} == written
    assert said("eval", "runs/one")["to_extract"] == 0


def test_content_to_be_plotted_that_was_trained_on_counts_once(trained: Path, said: Callable) -> None:
    shutil.rmtree(trained / "cache" / "features")
    planned = said("plot", "runs/one", "--manifest", "manifests/train.jsonl")
    assert planned["to_extract"] == sum(map(len, contents(trained, "train")))
    assert "runs/one/plots-train/slots.png" in planned["files"]


def test_a_wrong_use_of_a_run_is_refused_by_the_dry_run(trained: Path, dry: Callable, fmn: Callable) -> None:
    for arguments, found in (
        (("eval", "runs/none"), "There is no run"),
        (("eval", "runs/one", "--manifest", "none.jsonl"), "none.jsonl"),
        (("eval", "runs/one", "--device", "gpu"), "The device 'gpu' cannot be used"),
        (("eval", "runs/one", "--metrics", "best@1"), "best@1"),
        (("plot", "runs/none"), "There is no run"),
        (("predict", "runs/one", "--clip-manifest", "none.jsonl"), "none.jsonl"),
        (("learn", "runs/one", "manifests/train.jsonl"), "The run was already trained on"),
        (("learn", "runs/one", "manifests/train.jsonl", "--skip-known"), "The run was already trained on"),
        (("index", "runs/one", "--manifest", "none.jsonl"), "none.jsonl"),
        (("search", "runs/one", "--speech", "none.wav"), "There is no such file"),
        (("search", "runs/one", "--text", "wash", "--voices", "none"), "none"),
        (("features", "export", "runs/one", "manifests"), "manifests"),
        (("features", "extract", "none.jsonl"), "none.jsonl"),
        (("features", "extract", "--video-encoder", "none:x"), "There is no encoder 'none'"),
    ):
        if arguments[:2] == ("features", "export"):
            (trained / "manifests" / "video").mkdir()
            (trained / "manifests" / "video" / "mine").write_text("")
        assert found in dry(*arguments, exit_code=2).output, arguments
        assert fmn(*arguments).exit_code == 2, arguments


def test_a_system_without_memories_has_none_to_update(
    trained: Path, dry: Callable, done: Callable, small_settings: list[str]
) -> None:
    done("train", "--model", "fmn_no_memory", "--epochs", 1, *small_settings, "--run", "runs/other")
    assert "There is no memory to update" in dry("eval", "runs/other", "--update-memory", exit_code=2).output


def test_files_that_changed_are_left_out_by_the_dry_run_too(trained: Path, said: Callable, fmn: Callable) -> None:
    row = next(read_rows(trained / "manifests" / "test.jsonl", SplitPairRow)).clip
    path = trained / row.path
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    planned = said("eval", "runs/one", exit_code=1)
    assert planned["clips"] == 11
    done = json.loads(fmn("eval", "runs/one", "--json").stdout)
    assert done["failures"] == planned["failures"]
    assert list(done["failures"]) == [row.id]
    for command in ("plot", "predict", "index"):
        assert row.id in said(command, "runs/one", exit_code=1)["failures"], command


def test_plots_and_predictions_are_those_that_were_said(trained: Path, said: Callable, done: Callable) -> None:
    planned = said("plot", "runs/one")
    assert planned["to_extract"] == sum(unknown(trained))  # of the test; those of the training are known
    assert done("plot", "runs/one")["files"] == planned["files"]
    (trained / "manifests" / "train.jsonl").rename(trained / "manifests" / "other.jsonl")
    without = said("plot", "runs/one", "--manifest", "manifests/test.jsonl")
    assert without["files"] == [path for path in planned["files"] if "slots" not in path]
    assert "No slots.png" in without["notes"][0]
    (trained / "manifests" / "other.jsonl").rename(trained / "manifests" / "train.jsonl")
    planned = said("predict", "runs/one")
    found = done("predict", "runs/one")
    assert (planned["clips"], planned["files"]) == (found["clips"], [found["path"]])


def test_prepared_galleries_are_those_that_were_said(
    trained: Path, said: Callable, dry: Callable, done: Callable
) -> None:
    planned = said("index", "runs/one")
    clips, utterances = unknown(trained)
    assert planned["to_extract"] == clips + utterances
    assert (
        f"12 clips and 12 utterances; up to {clips + utterances} features would be extracted"
        in dry("index", "runs/one").output
    )
    wav = next((trained / "speech").iterdir())
    assert said("search", "runs/one", "--speech", wav)["to_extract"] == clips
    before = cached(trained)
    galleries = done("index", "runs/one")["galleries"]
    assert cached(trained) == before + clips + utterances
    assert galleries == [{**one, "to_extract": 0} for one in planned["galleries"]]
    assert said("search", "runs/one", "--speech", wav)["to_extract"] == 0
    words = said("search", "runs/one", "--text", "somebody washes", "--by-words")
    assert (words["clips"], words["files"]) == (12, [])


def test_features_are_extracted_and_exported_as_was_said(
    trained: Path, said: Callable, dry: Callable, done: Callable, small_settings: list[str]
) -> None:
    extract = ("features", "extract", "runs/one")
    planned = said(*extract)
    counts, new = tuple(map(len, contents(trained, "train", "test"))), sum(unknown(trained))
    assert (planned["clips"], planned["utterances"], planned["computed"]) == (*counts, new)
    assert (
        f"up to {new} features of {counts[0]} clips and {counts[1]} utterances would be extracted"
        in dry(*extract).output
    )
    exported = said("features", "export", "runs/one", "made")
    assert (exported["clips"], exported["utterances"], exported["to_extract"]) == (*counts, new)
    on_ray = said(*extract, "--engine", "ray", "--address", "10.0.0.1:6379")  # does not connect
    assert on_ray["computed"] == new
    found = done(*extract)
    assert {name: found[name] for name in planned} == planned
    found = done("features", "export", "runs/one", "made")
    assert {name: found[name] for name in exported} == {**exported, "to_extract": 0}
    assert said(*extract)["computed"] == said("features", "export", "runs/one", "made")["to_extract"] == 0
    assert said("features", "extract", "--speech-encoder", "hubert_base", *small_settings)["computed"] == counts[1] + 0


@pytest.mark.usefixtures("made_features")
def test_classes_are_learned_as_was_said(
    workspace: Path,
    monkeypatch: pytest.MonkeyPatch,
    said: Callable,
    dry: Callable,
    done: Callable,
    small_settings: list[str],
) -> None:
    """Of class 3, two items of each kind are learned first, and a third one later."""
    monkeypatch.chdir(workspace)
    rows = list(read_rows(workspace / "manifests" / "train.jsonl", SplitPairRow))
    new = [row for row in rows if row.label.id == "wash_thing3"]
    persons = sorted({row.clip.person for row in new})[:3]
    parts = {"old": [row for row in rows if row not in new]}
    for name, count in (("new", 2), ("more", 3)):
        spoken = {row.clip.id for row in new if row.clip.person in persons[:count]}
        parts[name] = [row for row in new if {row.clip.id, row.utterance.clip} <= spoken]
    for name, of_part in parts.items():
        write_rows(workspace / "manifests" / f"{name}.jsonl", of_part)
    done("train", "manifests/old.jsonl", "--epochs", 1, *small_settings, "--run", "runs/one")
    learn = ("learn", "runs/one", "manifests/new.jsonl", "--out", "runs/two")
    Path("runs/two").mkdir()
    Path("runs/two/metrics.json").touch()  # left when the rest of a run was removed
    whole = said(*learn)
    planned = whole["result"]
    assert planned == {
        "run": "runs/two",
        "classes": ["wash_thing3"],
        "clips": 2,
        "utterances": 2,
        "added": 4,
        "earlier_results": "runs/two/earlier-results-1",
    }
    found = done(*learn)
    assert {name: found[name] for name in planned} == {**planned, "classes": ["wash_thing3"]}
    written = {str(path) for path in Path("runs/two").iterdir() if path.suffix in (".json", ".safetensors")}
    assert set(whole["files"]) == written
    again = said(*learn)
    assert (again["result"]["added"], again["files"]) == (0, [])
    Path("runs/two/metrics.json").touch()  # of the classes so far
    more = ("learn", "runs/two", "manifests/more.jsonl")
    assert "would learn wash_thing3: 2 new items among 3 clips and 3 utterances" in dry(*more).output
    planned = said(*more)
    assert planned["files"] == ["runs/two/new_classes.safetensors"]
    planned = planned["result"]
    assert planned["earlier_results"] == "runs/two/earlier-results-2"
    found = done(*more)
    assert {name: found[name] for name in planned} == planned
    other = dry("learn", "runs/one", "manifests/more.jsonl", "--out", "elsewhere/two", exit_code=2)
    assert "A run records its training manifest relative to its own folder" in other.output
    (workspace / "manifests" / "old.jsonl").unlink()
    lost = dry("learn", "runs/one", "manifests/new.jsonl", exit_code=2)
    assert "The training manifest of the run is missing" in lost.output


def test_weights_are_fetched_as_was_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: Callable, dry: Callable
) -> None:
    from fmn.features import weights

    monkeypatch.setenv("FMN_WEIGHTS", str(tmp_path / "weights"))
    planned = said("weights", "download", "--backbone", "all")
    assert [Path(path).name for path in planned["files"]] == [one.file for one in weights.PUBLISHED.values()]
    assert "2 files would be fetched (size unknown), 0 known" in dry("weights", "download").output
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "rgb_imagenet.pt").write_bytes(b"wrong")
    (tmp_path / "weights" / "I3D_8x8_R50.pyth").write_bytes(b"no hash is published")
    planned = said("weights", "download", "--backbone", "all")
    assert [Path(path).name for path in planned["files"]] == ["rgb_imagenet.pt", "flow_imagenet.pt"]
    assert planned["known"] == 1


def test_a_dry_run_leaves_what_a_killed_command_left(trained: Path, said: Callable) -> None:
    """Folders of incomplete files are removed by the next command, not by its dry run."""
    some = next((trained / "cache" / "features").glob("*/*/"))
    (some / ".partial-abc").mkdir()
    (some / ".partial-abc" / "half.npy").write_bytes(np.zeros(3).tobytes())
    said("eval", "runs/one")
    assert (some / ".partial-abc" / "half.npy").exists()
