from __future__ import annotations

import itertools
import json
import os
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import av
import h5py
import numpy as np
import pytest

from dataset_tools.classes.matching import classify
from dataset_tools.classes.triplets import ClassFile
from dataset_tools.core.errors import InputError
from dataset_tools.corpora.mpii.mpii_corpus import open_corpus
from dataset_tools.corpora.sentence_files import read_sentences
from dataset_tools.corpora.standin.standin_corpus import write_standin

# As facts about the real file have them; roles' properties are further keys.
KEYS = {
    "activity attributeMap iaMat className startFrame endFrame startTimeSeconds endTimeSeconds fileName fileNameId",
    "fileId idxInFile subject dish annoFileMap classMap bgClassName bgLabel bgLabelAttr minBgWindow dataset attrFields",
    "fields labels frameRate tool ingredients containers containersSource containersDestination filters nImgsPerFile",
    "nullAttr nullAttrLabel",
}


def content(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_the_corpus_opens_as_mpii_cooking_2_and_says_that_it_is_a_stand_in(
    small_corpus: Path, classes: ClassFile
) -> None:
    corpus = open_corpus(small_corpus)
    assert corpus.videos.keys() == {interval.video for interval in corpus.annotations.intervals}
    assert corpus.standin is not None
    assert corpus.standin["generator"] == "dataset_tools.standin"
    assert corpus.standin["seed"] == 3
    assert corpus.standin["difficulty"] == "standard"
    assert "stand-in" in corpus.standin["notice"]
    assert corpus.annotations.frame_rate == 29.4
    assert corpus.annotations.dataset == "cooking12eccv"
    assert any("count from 1 and that the end frame is included" in note for note in corpus.annotations.notes)
    found = Counter(classify(interval, classes).class_id for interval in corpus.annotations.intervals)
    assert {one.id: found[one.id] for one in classes.classes} == dict.fromkeys((one.id for one in classes.classes), 1)


def test_intervals_lie_within_their_videos_and_apart(small_corpus: Path) -> None:
    corpus = open_corpus(small_corpus)
    for name, path in corpus.videos.items():
        with av.open(str(path)) as file:
            frames = sum(1 for _ in file.decode(video=0))
        spans = sorted((i.start_frame, i.end_frame) for i in corpus.annotations.intervals if i.video == name)
        assert spans[0][0] >= 1
        assert spans[-1][1] <= frames
        assert all(one[1] < other[0] for one, other in itertools.pairwise(spans))


def test_the_official_lists_keep_persons_apart_and_name_every_sequence(small_corpus: Path) -> None:
    corpus = open_corpus(small_corpus)
    sequences = {path.removesuffix("-cam-002") for path in corpus.videos}
    assert set().union(*corpus.splits.values()) == sequences
    persons = [{sequence[:3] for sequence in corpus.splits[name]} for name in ("train", "val", "test")]
    assert sum(map(len, persons)) == len(set().union(*persons))
    assert corpus.splits["train"]
    assert corpus.splits["test"]
    setup = small_corpus / "experimentalSetup"
    assert {path.name for path in setup.iterdir()} == {
        "sequencesTrainAttr.txt",
        "sequencesTrainDishes.txt",
        "sequencesTrainValDishes.txt",
        "sequencesVal.txt",
        "sequencesTest.txt",
    }


def test_sentences_are_in_tacos_form_and_name_what_is_there(small_corpus: Path, classes: ClassFile) -> None:
    corpus = open_corpus(small_corpus)
    assert corpus.sentences is not None
    sentences = read_sentences(corpus.sentences)
    assert sentences.invalid == 0
    names = {one.id: classes.things[one.subject].name for one in classes.classes}
    named = 0
    for interval in corpus.annotations.intervals:
        covering = sentences.covering(interval.sequence, interval.start_frame, interval.end_frame)
        texts = [text for *_, text in covering]
        assert texts
        class_id = classify(interval, classes).class_id
        if class_id:
            named += any(names[class_id] in text or names[class_id].split()[-1] in text for text in texts)
    assert named >= 18  # a frying pan may be called a skillet


def test_the_annotation_file_is_matlab_7_3_with_all_its_keys(small_corpus: Path) -> None:
    path = small_corpus / "annos" / "attributesAnnotations_MPII-Cooking-2.mat"
    assert path.read_bytes()[:10] == b"MATLAB 7.3"
    assert path.read_bytes()[124:128] == b"\x00\x02IM"
    with h5py.File(path) as file:
        assert {"#refs#", "#subsystem#", "annos"} == set(file)
        annos = file["annos"]
        assert set(" ".join(KEYS).split()) <= set(annos)
        count = annos["activity"].size
        assert annos["iaMat"].shape == (222, count)
        assert annos["iaMat"].dtype == np.float64
        assert set(np.unique(annos["iaMat"])) == {0, 1}

        def texts(key: str) -> list[str]:
            assert h5py.check_ref_dtype(annos[key].dtype) is h5py.Reference
            return ["".join(map(chr, file[reference][()].ravel())) for reference in annos[key][()].ravel()]

        assert file[annos["activity"][0, 0]].dtype == np.uint16
        assert len(texts("attributeMap")) == 222
        assert texts("attributeMap")[:3] == ["addV", "apple", "arils"]
        assert texts("attributeMap")[-1] == "zucchini"
        assert all(text.endswith("V") for text in texts("activity"))
        assert all(name.startswith(verb) for name, verb in zip(texts("className"), texts("activity"), strict=True))
        assert not any("-" in name for name in texts("className"))
        rows = {name: row for row, name in enumerate(texts("attributeMap"))}
        for column, verb in enumerate(texts("activity")):
            assert annos["iaMat"][rows[verb], column] == 1
        for key in ("tool", "ingredients", "containers"):
            cell = file[annos[key][0, 0]]
            assert "MATLAB_empty" in cell.attrs or h5py.check_ref_dtype(cell.dtype) is h5py.Reference
        sequence = texts("fileNameId")[0]
        assert texts("fileName")[0] == f"{sequence}-cam-002"
        assert (annos["subject"][0, 0], annos["dish"][0, 0]) == (float(sequence[1:3]), float(sequence[5:]))
        np.testing.assert_allclose(annos["endTimeSeconds"][()], annos["endFrame"][()] / 29.4)


def test_a_run_goes_on_where_another_was_killed_and_the_bytes_do_not_depend_on_the_jobs(
    small_corpus: Path, tmp_path: Path
) -> None:
    root = tmp_path / "corpus"
    shutil.copytree(small_corpus, root)
    videos = sorted((root / "videos").glob("*.avi"))
    videos[3].unlink()  # which a worker drew after another one
    for name in ("annos", "tacos", "experimentalSetup"):
        shutil.rmtree(root / name)
    (root / "videos" / ".partial-abc.avi").write_bytes(b"half a video")
    os.utime(videos[0], (0, 0))
    steps = []
    summary = write_standin(root, seed=3, per_class=1, jobs=1, progress=lambda *step: steps.append(step))
    assert (summary.videos, summary.drawn) == (4, 1)
    assert [step[1:3] for step in steps] == [(3, 4), (4, 4)]
    assert videos[0].stat().st_mtime == 0
    assert content(root) == content(small_corpus)


def test_another_seed_is_another_corpus(small_corpus: Path, classes: ClassFile) -> None:
    from dataset_tools.corpora.standin.cast import sequences

    assert {one.video for one in sequences(4, 4)} != set(open_corpus(small_corpus).videos)


def test_a_stand_in_of_other_options_is_not_mixed_in(small_corpus: Path) -> None:
    before = content(small_corpus)
    with pytest.raises(InputError, match="other options"):
        write_standin(str(small_corpus), seed=4, per_class=1)
    assert content(small_corpus) == before


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "s07-d72-cam-002.avi").write_bytes(b"footage")
    with pytest.raises(InputError, match="does not contain a synthetic corpus"):
        write_standin(tmp_path, per_class=1)
    assert content(tmp_path) == {"videos/s07-d72-cam-002.avi": b"footage"}


@pytest.mark.parametrize(
    ("options", "named"),
    [({"per_class": 0}, "--per-class"), ({"per_class": 834}, "--per-class"), ({"difficulty": "x"}, "'x'")],
)
def test_wrong_options_are_named_and_nothing_is_written(tmp_path: Path, options: dict[str, object], named: str) -> None:
    with pytest.raises(InputError, match=named):
        write_standin(tmp_path / "corpus", **options)  # type: ignore[arg-type]
    assert not (tmp_path / "corpus").exists()


def test_the_summary_says_that_it_is_a_stand_in(small_corpus: Path, tmp_path: Path) -> None:
    corpus = Path(shutil.copytree(small_corpus, tmp_path / "corpus"))
    summary = write_standin(corpus, seed=3, per_class=1)
    assert "stand-in, not MPII Cooking 2" in summary.text()
    assert summary.class_intervals == 20
    assert json.loads(json.dumps(summary.as_dict()))["persons"] == 4
    assert "(1 minute, " in replace(summary, duration_s=80.0, drawn=0).text()
    assert "(2 minutes, " in replace(summary, duration_s=100.0, drawn=0).text()
