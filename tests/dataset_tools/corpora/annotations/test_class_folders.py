"""A folder a class: every video whole, of the class that its folder names, with the sentences beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataset_tools.classes.reader import load_classes
from dataset_tools.core.errors import InputError
from dataset_tools.corpora.annotations.formats import ListOptions, read_intervals
from dataset_tools.corpora.annotations.own_footage import open_own_footage


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_every_video_is_of_its_folders_class_and_other_files_are_counted(tmp_path: Path) -> None:
    root = touch(
        tmp_path,
        *("cut_carrot_knife/b.MP4", "cut_carrot_knife/a.webm", "open door/a.mov", "open door/.hidden.mp4"),
        *("open door/notes.md", "open door/lone.txt", "readme.txt", ".cache/x/y.mp4", "empty/x.srt"),
    )
    (root / "open door" / "a.txt").write_text("Open it.\n\n 开门。 \n", "utf-8")
    listed = read_intervals(root)
    assert [(row.video, row.action, row.subject, row.object, row.sentences) for row in listed.rows] == [
        ("cut_carrot_knife/a.webm", "cut", "carrot", "knife", ()),
        ("cut_carrot_knife/b.MP4", "cut", "carrot", "knife", ()),
        ("open door/a.mov", "open", "door", "", ("Open it.", "开门。")),
    ]
    assert all(row.start is None and row.end is None for row in listed.rows)
    assert any(
        note.startswith("4 files are not videos") and "readme.txt, empty/x.srt, open door/lone.txt" in note
        for note in listed.notes
    )
    assert any(note.startswith("1 folder without videos is ignored: ") and "empty" in note for note in listed.notes)


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (("a.mp4",), "The folder has no folder with videos in it; it has 0 folders and 1 file"),
        (("cut/a.txt",), "The folder has no folder with videos in it; it has 1 folder and 1 file"),
        (("cut/a.mp4", "cut/more/b.mp4"), "1 folder within the folders of classes: cut/more"),
        (("_/a.mp4",), "_/a.mp4: the label '_' has no words"),
        ((f"cut/{'a' * 160}.mp4",), "characters, at most 150"),
        ((f"cut/{'я' * 110}.mp4",), "228 bytes in UTF-8, at most 200"),
    ],
)
def test_other_layouts_are_refused(names: tuple[str, ...], found: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_intervals(touch(tmp_path, *names))
    assert found in caught.value.found
    assert caught.value.where == str(tmp_path)


def test_of_an_absolute_path_only_the_file_name_is_limited_in_bytes(tmp_path: Path) -> None:
    """Ids and file names begin with it alone."""
    video = f"/{'папка/' * 20}я.mp4"  # 228 bytes
    (tmp_path / "list.csv").write_text(f"video,action,subject\n{video},cut,carrot\n", "utf-8")
    assert [row.video for row in read_intervals(tmp_path / "list.csv").rows] == [video]


@pytest.mark.parametrize("content", [b"\xff", b"a\x00b", b"x" * 600, b"x\n" * 600_000])
def test_a_text_that_is_no_list_of_sentences_is_refused(content: bytes, tmp_path: Path) -> None:
    touch(tmp_path, "cut_carrot/a.mp4")
    (tmp_path / "cut_carrot" / "a.txt").write_bytes(content)
    with pytest.raises(InputError, match=r"cut_carrot/a\.mp4 with a\.txt: "):
        read_intervals(tmp_path)


def test_options_of_lists_in_frames_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "cut_carrot/a.mp4")
    for options in ({"fps": 30.0}, {"frame_base": 0}):
        with pytest.raises(InputError, match="whole videos"):
            read_intervals(tmp_path, ListOptions(**options))
    with pytest.raises(InputError, match="--tier does not apply to the format folder"):
        read_intervals(tmp_path, ListOptions(tier="x"))


def test_the_videos_of_a_folder_lie_nowhere_else(tmp_path: Path) -> None:
    root = touch(tmp_path / "a", "cut_carrot/a.mp4")
    with pytest.raises(InputError, match="Class folders contain their videos"):
        open_own_footage(root, load_classes(), videos=tmp_path, cache=tmp_path / "memory")
