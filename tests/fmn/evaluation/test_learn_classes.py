"""fmn learn: new classes are found afterwards, old figures stay until then, the same pairs change nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import fmn.data.loading
import fmn.evaluation.fitted_items
import fmn.evaluation.learn_classes as learn_module
import fmn.search.gallery_search as search_module
from dataset_tools.core.errors import InputError, ManifestError, ToolkitError
from dataset_tools.manifests import ClassLabel, ClipRow, PredictionRow, SplitPairRow, read_rows, write_rows
from fmn.cli.main import app
from fmn.config import Config, with_values
from fmn.data.items import load_items
from fmn.data.loading import load_features
from fmn.evaluation.evaluate import evaluate
from fmn.evaluation.learn_classes import learn_classes, plan_learning
from fmn.evaluation.predict import predict, with_new_classes
from fmn.models.memory import MODALITIES
from fmn.models.retrieval_model import encode_all
from fmn.search.gallery_search import search
from fmn.search.search_results import GallerySource
from fmn.training.checkpoint import CHECKPOINT_FILE, load_run
from fmn.training.learned_classes import NEW_CLASSES_FILE, LearnedClasses
from fmn.training.run_state import read_run_state
from fmn.training.train import train

pytestmark = pytest.mark.usefixtures("made_features", "one_thread")
NEW = "wash_thing2"
CPU = torch.device("cpu")


def rows_of(workspace: Path, name: str, *classes: str) -> list[SplitPairRow]:
    rows = read_rows(workspace / "manifests" / f"{name}.jsonl", SplitPairRow)
    return [row for row in rows if not classes or row.label.id in classes]


@pytest.fixture
def run(workspace: Path, small: Config) -> Path:
    """A run that was trained on three of the four classes."""
    manifest = workspace / "manifests" / "fewer.jsonl"
    write_rows(manifest, [row for row in rows_of(workspace, "train") if row.label.id != NEW])
    train(manifest, with_values(small, {"training.epochs": 6}), workspace / "runs" / "old")
    return workspace / "runs" / "old"


@pytest.fixture
def pairs(workspace: Path) -> Path:
    path = workspace / "manifests" / "new.jsonl"
    write_rows(path, rows_of(workspace, "train", NEW))
    return path


def bytes_of(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}


def class_map_of(found: Any, name: str) -> float:
    return float(np.mean([found[way]["by_class"][name]["class_map"] for way in ("audio_to_video", "video_to_audio")]))


def test_a_learned_class_is_found_and_the_run_it_was_learned_from_stays(
    workspace: Path, run: Path, pairs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = workspace / "manifests" / "test.jsonl"
    before, files = evaluate(run, test).metrics, bytes_of(run)
    out = workspace / "runs" / "more"
    found = learn_classes(run, pairs, out=out)
    assert (found.classes, found.clips, found.utterances, found.added) == ((NEW,), 5, 5, 10)
    assert bytes_of(run) == files
    assert (out / CHECKPOINT_FILE).read_bytes() == (run / CHECKPOINT_FILE).read_bytes()

    after = evaluate(out, test)
    assert class_map_of(after.metrics, NEW) > class_map_of(before, NEW)
    assert class_map_of(after.metrics, NEW) > 90  # the made features say the class
    assert any(NEW in note and "5 clips and 5 utterances" in note for note in after.notes)
    told = next(note for note in evaluate(out, pairs).notes if "trained on" in note)
    assert told.startswith("5 of the 5 clips and 5 of the 5 utterances")

    asked = rows_of(workspace, "test", NEW)[0].utterance
    monkeypatch.setattr(search_module, "sha256_of", lambda path: asked.sha256)  # the made files are empty, all alike
    hits = search(out, workspace / asked.path, "speech", GallerySource(test), top=3).hits
    assert [hit.class_id for hit in hits] == [NEW] * 3


def test_the_same_pairs_change_nothing_and_parts_are_the_whole(workspace: Path, run: Path, pairs: Path) -> None:
    rows = list(read_rows(pairs, SplitPairRow))
    ids = sorted({row.clip.id for row in rows})
    parts = []
    for number, chosen in enumerate((ids[3:], ids[:3])):
        kept = [row for row in rows if row.clip.id in chosen and row.utterance.clip in chosen]
        parts.append(workspace / "manifests" / f"part{number}.jsonl")
        write_rows(parts[-1], kept)
    for number, part in enumerate(parts):
        assert learn_classes(run, part, out=workspace / "runs" / "parts").added == (4, 6)[number]
    whole = learn_classes(run, pairs, out=workspace / "runs" / "whole")
    of_parts, of_whole = (load_run(workspace / "runs" / name, CPU).learned for name in ("parts", "whole"))
    assert of_parts is not None
    assert of_whole is not None
    assert (of_parts.items, of_parts.sha256s) == (of_whole.items, of_whole.sha256s)
    for modality in MODALITIES:
        for ours, theirs in zip(of_parts.memory[modality].rows, of_whole.memory[modality].rows, strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)  # batches of other sizes round otherwise
    written = (workspace / "runs" / "whole" / NEW_CLASSES_FILE).stat().st_mtime_ns
    again = learn_classes(workspace / "runs" / "whole", pairs)
    assert (again.added, again.clips) == (0, whole.clips)
    assert (workspace / "runs" / "whole" / NEW_CLASSES_FILE).stat().st_mtime_ns == written


def test_one_content_under_two_names_is_learned_once_and_costs_no_other_item(
    workspace: Path, run: Path, pairs: Path
) -> None:
    replace_in = msgspec.structs.replace
    rows = list(read_rows(pairs, SplitPairRow))
    spoken = rows[0].utterance
    twin = replace_in(spoken, id=f"{spoken.id}9")
    twins = [replace_in(row, id=f"{row.id}9", utterance=twin) for row in rows if row.utterance.id == spoken.id]
    write_rows(pairs, sorted([*rows, *twins], key=lambda row: row.id))
    out = workspace / "runs" / "more"
    first = learn_classes(run, pairs, out=out)
    assert (first.clips, first.utterances, first.added) == (5, 5, 10)
    (out / "metrics.json").write_text("as measured with these classes")
    written = (out / NEW_CLASSES_FILE).read_bytes()
    assert learn_classes(out, pairs).added == 0
    assert (out / NEW_CLASSES_FILE).read_bytes() == written

    known = rows_of(workspace, "test")[0].label.id
    label = replace_in(rows[0].label, id="show_thing9", action="show")
    others = [
        replace_in(
            row,
            label=label,
            clip=replace_in(row.clip, class_id=label.id),
            utterance=replace_in(row.utterance, class_id=label.id),
        )
        for row in rows_of(workspace, "test", known)
    ]
    write_rows(workspace / "manifests" / "others.jsonl", others)
    count = len({row.clip.id for row in others}) + len({row.utterance.id for row in others})
    assert (out / "metrics.json").exists()
    more = learn_classes(out, workspace / "manifests" / "others.jsonl")
    assert (more.added, more.earlier_results) == (count, out / "earlier-results-1")
    assert [path.name for path in (out / "earlier-results-1").iterdir()] == ["metrics.json"]
    assert not (out / "metrics.json").exists()
    learned = load_run(out, CPU).learned
    assert learned is not None
    assert [one.id for one in learned.classes] == [label.id, NEW]
    names = {*learned.items["video"], *learned.items["audio"]}
    assert {row.clip.id for row in (*rows, *others)} <= names
    assert {row.utterance.id for row in (*rows, *others)} <= names


def test_predictions_know_learned_classes_by_their_shares(workspace: Path, run: Path, pairs: Path) -> None:
    learn_classes(run, pairs)
    manifest = workspace / "manifests" / "fewer.jsonl"
    clips = {row.clip.id: row.clip for row in rows_of(workspace, "test")}
    path = workspace / "manifests" / "clips.jsonl"
    write_rows(path, [clips[name] for name in sorted(clips)])
    assert predict(run, manifest, clips=path).fitted == 0
    found = {row.id: row.class_id for row in read_rows(run / "predictions.jsonl", PredictionRow)}
    assert {found[name] for name, clip in clips.items() if clip.class_id == NEW} == {NEW}
    learned = {row.clip.id: row.clip for row in read_rows(pairs, SplitPairRow)}
    write_rows(path, [learned[name] for name in sorted(learned)])
    assert predict(run, manifest, clips=path).fitted == len(learned)


def test_shares_of_learned_classes_come_first() -> None:
    labels = [ClassLabel(id=name, action=name, subject=name, object=None) for name in "bc"]
    learned = LearnedClasses("", tuple(labels), {}, {}, {})
    shares, names = with_new_classes(
        np.array([[0.75, 0.25]]), ["a", "b"], np.array([[0.2, 0.4]], dtype=np.float32), learned
    )
    assert names == ["a", "b", "c"]
    np.testing.assert_allclose(shares, [[0.75 * 0.4, 0.25 * 0.4 + 0.2, 0.4]], rtol=1e-6)


def test_pairs_of_known_classes_are_refused_or_passed_over(workspace: Path, run: Path) -> None:
    mixed = workspace / "manifests" / "train.jsonl"
    with pytest.raises(InputError, match="already trained on wash_thing0, wash_thing1, wash_thing3"):
        learn_classes(run, mixed)
    with pytest.raises(InputError, match="already"):
        learn_classes(run, workspace / "manifests" / "fewer.jsonl", skip_known=True)
    assert not (run / NEW_CLASSES_FILE).exists()
    assert learn_classes(run, mixed, skip_known=True).classes == (NEW,)


def test_a_class_that_looks_like_a_known_one_is_refused(workspace: Path, small: Config) -> None:
    def of(rows: list[SplitPairRow], name: str) -> list[SplitPairRow]:
        replaced = msgspec.structs.replace
        return [
            replaced(
                row,
                label=replaced(row.label, id=name),
                clip=replaced(row.clip, class_id=name),
                utterance=replaced(row.utterance, class_id=name),
            )
            for row in rows
        ]

    composed, decomposed = "caf\u00e9", "cafe\u0301"
    folder, run = workspace / "manifests", workspace / "runs" / "old"
    rows = {name: rows_of(workspace, "train", name) for name in ("wash_thing0", "wash_thing1", NEW, "wash_thing3")}
    old = [*of(rows["wash_thing0"], composed), *rows["wash_thing1"]]
    write_rows(folder / "fewer.jsonl", sorted(old, key=lambda row: row.id))
    train(folder / "fewer.jsonl", with_values(small, {"training.epochs": 1}), run)
    write_rows(folder / "new.jsonl", of(rows[NEW], decomposed))
    with pytest.raises(ManifestError, match="two classes look the same"):
        learn_classes(run, folder / "new.jsonl", out=workspace / "runs" / "more")
    assert not (workspace / "runs" / "more").exists()

    for copy in (workspace / "runs" / "copy", None):  # into a copy of the run, which itself has not learned it
        write_rows(folder / "new.jsonl", of(rows[NEW], "th\u00e9"))
        learn_classes(run, folder / "new.jsonl", out=copy)
        write_rows(folder / "new.jsonl", of(rows["wash_thing3"], "the\u0301"))
        for learn in (learn_classes, plan_learning):
            with pytest.raises(ManifestError, match="two classes look the same"):
                learn(run, folder / "new.jsonl", out=copy)


def test_what_cannot_be_learned_right_is_refused(
    workspace: Path, run: Path, pairs: Path, small: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="relative to its own folder"):
        learn_classes(run, pairs, out=workspace / "elsewhere" / "more")
    cosine = workspace / "runs" / "cosine"
    train(workspace / "manifests" / "fewer.jsonl", with_values(small, {"model.score": "cosine"}), cosine)
    with pytest.raises(InputError, match="reads no agreement"):
        learn_classes(cosine, pairs)
    none = workspace / "runs" / "none"
    unread = with_values(small, {"system": "fmn_no_memory", "model.score": "memory", "training.epochs": 1})
    train(workspace / "manifests" / "fewer.jsonl", unread, none)
    with pytest.raises(InputError, match=r"fmn_no_memory with model\.score=s1, which reads no agreement"):
        learn_classes(none, pairs)
    towers = workspace / "runs" / "towers"
    vectors = with_values(small, {"system": "class_towers", "training.epochs": 1})
    train(workspace / "manifests" / "fewer.jsonl", vectors, towers)
    with pytest.raises(InputError, match=r"class_towers with .* which reads no agreement"):
        learn_classes(towers, pairs)
    with pytest.raises(InputError, match=r"config\.json of another run"):
        learn_classes(run, pairs, out=cosine)
    for path in cosine.iterdir():  # a folder that is no run, such as a model of Hugging Face
        path.unlink()
    (cosine / "config.json").write_text("{}")
    with pytest.raises(InputError, match="or of something else"):
        learn_classes(run, pairs, out=cosine)
    assert (cosine / "config.json").read_text() == "{}"
    manifest = workspace / "manifests" / "fewer.jsonl"
    content = manifest.read_bytes()
    write_rows(manifest, list(read_rows(manifest, SplitPairRow))[1:])
    with pytest.raises(InputError, match="has changed"):
        learn_classes(run, pairs, out=workspace / "runs" / "copy")
    assert not (workspace / "runs" / "copy").exists()  # or it would be evaluated as a run
    manifest.write_bytes(content)

    def lacking(media: Any, *args: Any, **options: Any) -> Any:
        found = extract_audio(media, *args, **options)
        lost = {one.sha256 for one in media if one.name == fitted}
        values = {key: value for key, value in found.values.items() if key not in lost}
        return replace(found, values=values, failures=dict.fromkeys(lost, ToolkitError("It is torn")))

    fitted, extract_audio = read_run_state(run).fitted_utterances[0], fmn.data.loading.extract_audio
    with monkeypatch.context() as patch:  # the memory would be fitted to the others only
        patch.setattr(fmn.data.loading, "extract_audio", lacking)
        for learn in (learn_classes, plan_learning):
            with pytest.raises(InputError, match=r"1 file has no features; .*: It is torn") as torn:
                learn(run, pairs)
            assert torn.value.next_step == "restore the files (fmn-data verify names them)"

    def other(*args: Any, **options: Any) -> Any:
        found = load_features(*args, **options)
        return replace(found, sources=("other", "audio"))

    monkeypatch.setattr(learn_module, "load_features", other)
    with pytest.raises(InputError, match="features differ from those of the training"):
        learn_classes(run, pairs)
    assert not (run / NEW_CLASSES_FILE).exists()


def test_classes_are_learned_after_other_pairs_and_another_split(
    workspace: Path, run: Path, pairs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A class is added to the data set: pairs.jsonl, the split and the training manifest are made again."""
    manifest, runs = workspace / "manifests" / "fewer.jsonl", workspace / "runs"
    learn_classes(run, pairs, out=runs / "before")
    rows = rows_of(workspace, "train")
    for kind in ("clip", "utterance"):
        of_kind = {getattr(row, kind).id: getattr(row, kind) for row in rows}
        write_rows(workspace / "manifests" / f"{kind}s.jsonl", [of_kind[name] for name in sorted(of_kind)])
    write_rows(manifest, rows[1::2])  # items of the training are missing there
    learned = learn_classes(run, pairs, out=runs / "after")
    assert learned.classes == (NEW,)
    assert (runs / "after" / NEW_CLASSES_FILE).read_bytes() == (runs / "before" / NEW_CLASSES_FILE).read_bytes()
    assert learn_classes(run, manifest, out=runs / "all", skip_known=True).classes == (NEW,)

    fitted = read_run_state(run).fitted_clips
    assert plan_learning(run, pairs, out=runs / "planned")[1] == replace(learned, run=runs / "planned")
    listed = list(read_rows(workspace / "manifests" / "clips.jsonl", ClipRow))
    other = [msgspec.structs.replace(row, sha256="0" * 64) if row.id == fitted[0] else row for row in listed]
    for changed, message in (
        (other, "their files or classes differ"),
        ([row for row in listed if row.id != fitted[0]], f"1 clip and 0 utterances of them are .* as {fitted[0]}"),
    ):
        write_rows(workspace / "manifests" / "clips.jsonl", changed)
        for learn in (learn_classes, plan_learning):
            with pytest.raises(InputError, match=message):
                learn(run, pairs, out=runs / "refused")
    write_rows(workspace / "manifests" / "clips.jsonl", listed)
    before = replace(read_run_state(run), fitted_sha256="")  # as of runs of earlier versions
    monkeypatch.setattr(fmn.evaluation.fitted_items, "read_run_state", lambda run: before)
    with pytest.raises(InputError, match="training manifest of the run is missing or has changed"):
        learn_classes(run, pairs, out=runs / "refused")
    assert not (runs / "refused").exists()


def test_what_was_learned_goes_with_its_checkpoint(workspace: Path, run: Path, pairs: Path, small: Config) -> None:
    learn_classes(run, pairs)
    prepared = load_features(load_items(pairs), small, device=CPU)
    assert "new_shares" in encode_all(load_run(run, CPU).model, prepared.data)[0]
    longer = with_values(small, {"training.epochs": 7})
    with pytest.raises(InputError, match="learned new classes since"):
        train(workspace / "manifests" / "fewer.jsonl", longer, run)
    with pytest.raises(InputError, match="only fmn learn writes"):
        evaluate(run, workspace / "manifests" / "test.jsonl", update_orders=1)
    other = workspace / "runs" / "other"
    train(workspace / "manifests" / "fewer.jsonl", with_values(small, {"training.seed": 1}), other)
    (other / NEW_CLASSES_FILE).write_bytes((run / NEW_CLASSES_FILE).read_bytes())
    with pytest.raises(InputError, match="a different checkpoint"):
        load_run(other, CPU)
    (other / NEW_CLASSES_FILE).write_bytes(b"{}")
    with pytest.raises(InputError, match="cannot be read") as refused:
        load_run(other, CPU)
    assert "learn again" in str(refused.value)


def test_the_command_says_what_was_learned(run: Path, pairs: Path) -> None:
    done = CliRunner().invoke(app, ["learn", str(run), str(pairs), "--out", str(run.parent / "more"), "--json"])
    assert done.exit_code == 0, done.output
    values = json.loads(done.stdout)
    assert (values["classes"], values["added"]) == ([NEW], 10)
    assert (run.parent / "more" / NEW_CLASSES_FILE).is_file()
