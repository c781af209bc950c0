"""TACoS sentences: the real files, and files that are not in their form."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataset_tools.core.errors import InputError
from dataset_tools.corpora.sentence_files import read_sentences


def _file(folder: Path, content: object, name: str = "tacos.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(content))
    return path


def test_spans_of_several_files_come_together_by_sequence(tmp_path):
    first = {"timestamps": [[30, 50], [1, 20]], "sentences": ["He  cuts.", "He washes."], "fps": 29.4, "num_frames": 50}
    second = {"timestamps": [[30, 50], [2, 9]], "sentences": ["He cuts.", "She stirs."], "num_frames": 100}
    one = _file(tmp_path, {"s07-d72.avi": first}, "1.json")
    two = _file(tmp_path, {"s07-d72-cam-002": second, "s08-d01.avi": {"timestamps": [], "sentences": []}}, "2.json")
    read = read_sentences([one, two])
    assert read.spans == {
        "s07-d72": [(1, 20, "He washes."), (2, 9, "She stirs."), (30, 50, "He cuts.")],
        "s08-d01": [],
    }
    assert read.invalid == 0
    assert read_sentences(tmp_path) == read == read_sentences(str(tmp_path)) == read_sentences([str(one), two])
    assert [text for *_, text in read.covering("s07-d72", 2, 9)] == ["He washes.", "She stirs."]
    assert [text for *_, text in read.covering("s07-d72-cam-002", 2, 10)] == ["He washes."]
    assert read.covering("s07-d72", 1, 21) == read.covering("s99-d01", 1, 2) == []


def test_spans_that_cannot_be_are_counted_and_left_out(tmp_path):
    times = [[5, 5], [9, 3], [-1, 4], [90, 101], [90, 100]]
    path = _file(tmp_path, {"s07-d72.avi": {"timestamps": times, "sentences": ["x"] * 5, "num_frames": 100}})
    read = read_sentences(path)
    assert (read.spans, read.invalid) == ({"s07-d72": [(90, 100, "x")]}, 4)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ([], "it is not an object"),
        ({"...": {}}, "'...' is not a video name"),
        ({"s07-d72.avi": {}}, "the entry of 's07-d72.avi' does not have one sentence per timestamp"),
        ({"s07-d72.avi": {"timestamps": [[1, 2]], "sentences": []}}, "does not have one sentence"),
        ({"s07-d72.avi": {"timestamps": [[1, 2.5]], "sentences": ["x"]}}, "does not have one sentence"),
        ({"s07-d72.avi": {"timestamps": [[1]], "sentences": ["x"]}}, "does not have one sentence"),
        ({"s07-d72.avi": {"timestamps": [[1, 2]], "sentences": [3]}}, "does not have one sentence"),
        ({"s07-d72.avi": {"timestamps": [[1, float("inf")]], "sentences": ["x"]}}, "does not have one sentence"),
    ],
)
def test_another_form_is_refused(tmp_path, content, found):
    with pytest.raises(InputError, match=found):
        read_sentences(_file(tmp_path, content))


def test_what_is_no_json_or_no_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        read_sentences(tmp_path / "none.json")
    (tmp_path / "text.json").write_bytes(b"\xff{")
    with pytest.raises(InputError, match="it is not JSON"):
        read_sentences(tmp_path / "text.json")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["timestamps", "sentences"]), inner),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.dictionaries(st.sampled_from(["s07-d72.avi", "x"]), JSON) | JSON)
def test_anything_else_is_read_or_refused(tmp_path, content):
    try:
        read_sentences(_file(tmp_path, content))
    except InputError as error:
        assert "tacos.json" in str(error)


@pytest.mark.real_data
def test_the_real_files(real_data):
    folder = real_data / "tacos"
    files = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    rows = [
        (video, start, end, row["num_frames"], text)
        for file in files
        for video, row in file.items()
        for (start, end), text in zip(row["timestamps"], row["sentences"], strict=True)
    ]
    read = read_sentences(folder)
    whole = [row for row in rows if row[1] < row[2] <= row[3]]
    assert 0 < read.invalid == len(rows) - len(whole)
    valid = {(video[:7], start, end, " ".join(text.split())) for video, start, end, _, text in whole}
    assert {(sequence, *span) for sequence, spans in read.spans.items() for span in spans} == valid
    video, start, end, _, text = whole[0]
    assert " ".join(text.split()) in [said for *_, said in read.covering(video[:7], start, end)]
    if "FMN_TEST_DATA" in os.environ:  # TACoS itself
        assert (len(rows), read.invalid, len(read.spans)) == (18_227, 48, 127)
        assert "He took out a pan" in [said for *_, said in read.covering("s17-d69", 224, 358)]


@pytest.mark.parametrize("key", ["clips/a_01.mp4", "clips\\a_01.avi", "./clips/a_01", "clips-a-01"])
def test_any_video_has_sentences_by_its_path_or_its_name_in_ids(key: str, tmp_path: Path) -> None:
    path = tmp_path / "sentences.json"
    path.write_text(json.dumps({key: {"timestamps": [[1, 20]], "sentences": ["He signs an A."]}}))
    assert read_sentences(path).covering("clips-a-01", 3, 9) == [(1, 20, "He signs an A.")]
