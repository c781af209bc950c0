"""The annotation file: read exactly, in either orientation, and refused with every problem named."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataset_tools.core.errors import InputError
from dataset_tools.corpora.mpii.annotations import read_mpii_annotations


def test_reads_every_interval_as_it_was_written(write_mat):
    annotations = read_mpii_annotations(write_mat())
    assert (annotations.frame_rate, annotations.dataset, len(annotations.attribute_names)) == (
        29.4,
        "cooking12eccv",
        30,
    )
    first, second, third, fourth = annotations.intervals
    assert (first.index, first.video, first.start_frame, first.end_frame) == (0, "s07-d72-cam-002", 194, 243)
    assert (first.sequence, first.person, first.dish) == ("s07-d72", "s07", "d72")
    assert first.id == "s07-d72_000194-000243"
    assert first.frames == 50
    assert (first.verb, first.verbs, first.things) == ("take out", {"take out"}, {"knife", "plate"})
    assert (second.verb, second.things) == ("cut apart", {"carrot", "chefs-knife"})
    assert (third.verb, third.verbs) == ("rip off", frozenset())  # an activity that attributeMap does not have
    assert (fourth.start_frame, fourth.end_frame, fourth.frames) == (90, 80, -9)  # kept: the plan refuses it by name
    assert (first.tools, first.ingredients, first.containers) == (None, None, None)


@pytest.mark.parametrize("key", ["activity", "attributeMap", "fileName", "startFrame", "endFrame", "iaMat"])
def test_orientation_does_not_matter(write_mat, key):
    path = write_mat()
    expected = read_mpii_annotations(path)
    with h5py.File(path, "r+") as file:
        turned = file["annos"][key][()].T
        del file["annos"][key]
        file["annos"][key] = turned
    assert read_mpii_annotations(path) == expected


def test_strings_may_be_chunked_and_compressed(write_mat):
    path = write_mat()
    expected = read_mpii_annotations(path)
    with h5py.File(path, "r+") as file:
        text = file["annos/fileName"][0, 0]
        packed = file["#refs#"].create_dataset("packed", data=file[text][()], chunks=(4, 1), compression="gzip")
        file["annos/fileName"][0, 0] = packed.ref
    assert read_mpii_annotations(path) == expected


NEEDED = ["activity", "attributeMap", "iaMat", "startFrame", "endFrame", "fileName", "frameRate"]


@pytest.mark.parametrize("key", NEEDED)
def test_a_missing_key_is_named(write_mat, edit_mat, key):
    path = write_mat()
    edit_mat(path, **{key: None})
    with pytest.raises(InputError, match=f"`{key}`: it is missing") as refused:
        read_mpii_annotations(path)
    assert refused.value.where == str(path)
    assert refused.value.found.count("\n") == 1  # one problem, and no consequences of it


def test_keys_that_are_not_needed_may_be_missing_or_opaque(write_mat, edit_mat):
    path = write_mat()
    expected = [interval.id for interval in read_mpii_annotations(path).intervals]
    edit_mat(path, className=None, dataset=None, endTimeSeconds=None, startTimeSeconds=[3.0] * 4, filters=["x"])
    annotations = read_mpii_annotations(path)
    assert [interval.id for interval in annotations.intervals] == expected
    assert annotations.dataset == ""


@pytest.mark.parametrize(
    ("key", "value", "found"),
    [
        ("fileName", ["s07-d72-cam-002"] * 3, "`fileName`: found 3 values, expected 4, as many as in `activity`"),
        ("fileName", ["a.avi", "s07-d72", "s7", "s07"], r"'a.avi' \(interval 1\), 's7' \(interval 3\), 's07'"),
        ("startFrame", np.array([[1.0], [2.5], [np.nan], [-1]]), r"2.5 \(interval 2\), nan \(interval 3\), -1.0 \(in"),
        ("endFrame", np.array([[1.0, 2.0], [3.0, 4.0]]), "`endFrame`: found 2 × 2 of float64, expected a row"),
        ("activity", ["cutV", "cut", "V", "washV"], r"'cut' \(interval 2\), 'V' \(interval 3\), expected a verb"),
        ("activity", [3.0] * 4, "`activity`: its cell 1 holds no string, expected a cell array of strings"),
        ("activity", np.zeros((4, 1)), "`activity`: it is not a cell array: it holds float64"),
        ("frameRate", np.array([[0.0]]), "`frameRate`: found "),
        ("frameRate", np.array([[25.0], [29.4]]), "`frameRate`: found "),
        ("iaMat", np.zeros((29, 4)), "`iaMat`: found 29 × 4 of float64, expected 30 × 4 of 0 and 1"),
        ("iaMat", np.full((30, 4), 0.5), "`iaMat`: 120 values are neither 0 nor 1"),
        ("attributeMap", ["cutV"] * 30, "`attributeMap`: a name occurs twice"),
    ],
)
def test_a_wrong_value_is_named_with_its_place(write_mat, edit_mat, key, value, found):
    path = write_mat()
    edit_mat(path, **{key: value})
    with pytest.raises(InputError, match=found):
        read_mpii_annotations(path)


def test_all_problems_come_in_one_message(write_mat, edit_mat):
    path = write_mat()
    edit_mat(path, activity=["cut"] * 4, endFrame=None, frameRate=np.zeros((1, 1)), fileName=["x"] * 4)
    with pytest.raises(InputError) as refused:
        read_mpii_annotations(path)
    for key in ("activity", "endFrame", "frameRate", "fileName"):
        assert f"- `{key}`:" in str(refused.value)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (None, "cannot be read: No such file"),
        (b"", "The file is empty"),
        (b"just a text" * 100, "not a MATLAB v7.3 file"),
        (b"MATLAB 7.3 MAT-file, ".ljust(512) + b"\x89HDF\r\n\x1a\n" + bytes(2000), "truncated or damaged"),
    ],
)
def test_what_is_no_such_file_is_refused(tmp_path, content, found):
    path = tmp_path / "annotations.mat"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=found):
        read_mpii_annotations(path)


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        read_mpii_annotations(tmp_path)


def test_an_older_matlab_version_is_told_how_to_save_again(tmp_path):
    path = tmp_path / "old.mat"
    scipy.io.savemat(path, {"annos": {"startFrame": np.arange(3)}})  # v5
    with pytest.raises(InputError, match="older version") as refused:
        read_mpii_annotations(path)
    assert refused.value.next_step == "save it again in MATLAB: load('old.mat'), then save('old.mat', 'annos', '-v7.3')"


def test_another_hdf5_file_is_refused(tmp_path):
    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as file:
        file["annos"] = np.zeros(3)
    with pytest.raises(InputError, match="`annos`: the group is missing"):
        read_mpii_annotations(path)


def test_roles_are_read_from_strings_nested_cells_and_several_keys(write_mat, edit_mat):
    path = write_mat()
    edit_mat(
        path,
        tool=["knife", ["hand", "chefs-knife"], "", [["deeper"], "hand"]],
        ingredients=["frying pan", 3.0, [], ""],
        containersSource=["plate", "", "jar", 3.0],
        containersDestination=["bowl", "cutting-board", "", 3.0],
    )
    with h5py.File(path, "r+") as file:  # an empty reference is an empty cell
        file["annos/tool"][2, 0] = h5py.Reference()
    intervals = read_mpii_annotations(path).intervals
    assert [interval.tools for interval in intervals] == [{"knife"}, {"hand", "chefs-knife"}, frozenset(), None]
    assert [interval.ingredients for interval in intervals] == [{"frying-pan"}, None, frozenset(), frozenset()]
    assert [interval.containers for interval in intervals] == [{"plate", "bowl"}, {"cutting-board"}, {"jar"}, None]


def test_roles_that_cannot_be_read_never_fail(write_mat, edit_mat):
    path = write_mat()
    edit_mat(path, tool=["knife"] * 3, ingredients=np.zeros((4, 1)), containers=np.array(5))
    first = read_mpii_annotations(path).intervals[0]
    assert (first.tools, first.ingredients, first.containers) == (None, None, None)


@pytest.mark.parametrize(
    ("start_s", "end_s", "first_id", "note"),
    [
        (
            "(f - 1) / 29.4",
            "f / 29.4",
            "s07-d72_000194-000243",
            "frames count from 1 and that the end frame is included",
        ),
        ("(f - 1) / 29.4", "(f - 1) / 29.4", "s07-d72_000194-000243", "they do not show whether the end"),
        ("f / 29.4", "f / 29.4", "s07-d72_000194-000243", "which leaves open where frames count from"),
        ("f / 29.4", "(f + 1) / 29.4", "s07-d72_000195-000244", "frames count from 0 and that the end frame"),
        ("(f + 7) / 29.4", "f / 29.4", "s07-d72_000194-000243", "disagree with its frames: the median difference is 7"),
    ],
)
def test_seconds_decide_how_frames_are_counted(write_mat, edit_mat, start_s, end_s, first_id, note):
    path = write_mat()
    starts, ends = np.array([[194.0], [244], [1], [90]]), np.array([[243.0], [500], [30], [80]])
    edit_mat(path, startTimeSeconds=eval(start_s, {"f": starts}), endTimeSeconds=eval(end_s, {"f": ends}))
    annotations = read_mpii_annotations(path)
    assert annotations.intervals[0].id == first_id
    assert any(note in one for one in annotations.notes)


def test_frame_0_exists_only_where_frames_count_from_0(write_mat, edit_mat):
    path = write_mat()
    starts = np.array([[194.0], [244], [0], [90]])
    edit_mat(path, startFrame=starts, startTimeSeconds=None)
    annotations = read_mpii_annotations(path)
    assert annotations.intervals[2].id == "s13-d21_000001-000031"
    assert "1 interval starts at frame 0" in "".join(annotations.notes)
    edit_mat(path, startTimeSeconds=(starts - 1) / 29.4)  # the seconds say otherwise: that one interval is wrong
    assert read_mpii_annotations(path).intervals[2].id == "s13-d21_000000-000030"


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_is_refused_or_read_but_never_crashes(write_mat, data):
    path = write_mat()
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans(), label="cut"):
        del content[data.draw(st.integers(0, len(content) - 1), label="length") :]
    else:
        for _ in range(data.draw(st.integers(1, 20), label="bytes")):
            content[data.draw(st.integers(512, len(content) - 1))] = data.draw(st.integers(0, 255))
    damaged = Path(str(path) + ".damaged")
    damaged.write_bytes(content)
    try:
        assert read_mpii_annotations(damaged).intervals
    except InputError as error:
        assert str(damaged) in str(error)
