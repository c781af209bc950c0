"""Archives that are damaged, hostile or half unpacked."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataset_tools.core.errors import InputError
from dataset_tools.corpora.mpii import unpacking

CONTENT = np.random.default_rng(0).bytes(500_001)


@pytest.mark.parametrize("damage", ["truncated", "checksum", "middle", "empty", "no tar"])
def test_a_damaged_archive_gives_no_videos_and_is_fetched_again(
    home: Any, tmp_path: Path, damage: str, download: Callable, videos: dict[str, bytes]
) -> None:
    root, address = tmp_path / "root", "MPII-Cooking-2-videos.tar.gz"
    whole = home.files[address]
    home.files[address] = {
        "truncated": whole[: len(whole) // 2],
        "checksum": whole[:-8] + bytes([whole[-8] ^ 1]) + whole[-7:],
        "middle": whole[: len(whole) // 2] + bytes(99) + whole[len(whole) // 2 + 99 :],
        "empty": gzip.compress(b""),
        "no tar": gzip.compress(CONTENT),
    }[damage]
    with pytest.raises(InputError, match="archive is damaged"):
        download(root, parts=("videos",))
    assert not (root / "videos").exists()
    assert not (root / address).exists()
    home.files[address] = whole
    record = json.loads((root / "DOWNLOADS.json").read_text()) if (root / "DOWNLOADS.json").exists() else {}
    assert address not in record  # what turned out damaged is not what later downloads must match
    assert download(root, parts=("videos",)).unpacked == 3
    assert {path.name: path.read_bytes() for path in (root / "videos").iterdir()} == videos


@pytest.mark.parametrize("damage", ["directory", "long name", "file and folder"])
def test_a_zip_that_cannot_be_unpacked_is_fetched_again(
    home: Any, tmp_path: Path, damage: str, download: Callable
) -> None:
    root, address = tmp_path / "root", "TACoS-Multi-Level-1.0.zip"
    whole = home.files[address]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in {"long name": ["n" * 300], "file and folder": ["a", "a/b"]}.get(damage, ["a"]):
            archive.writestr(name, "text")
    content = bytearray(packed.getvalue())
    if damage == "directory":
        content[content.index(b"PK\x01\x02") + 46] = 0  # a name that ends before it begins
    home.files[address] = bytes(content)
    with pytest.raises(InputError, match="archive is damaged"):
        download(root, parts=("sentences",))
    assert not (root / address).exists()
    home.files[address] = whole
    assert download(root, parts=("sentences",)).unpacked == 2


def test_unpacking_goes_on_where_it_stopped(
    home: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, download: Callable
) -> None:
    root = tmp_path / "root"

    def interrupted(stage: str, done: int, total: int, note: str = "") -> None:
        if note.startswith("s08"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(root, parts=("videos",), progress=interrupted)
    staged = {path.name: path.stat().st_ino for path in (root / ".unpacking").rglob("*.avi")}
    assert len(staged) == 2
    asked = len(home.asked)
    assert download(root, parts=("videos",)).unpacked == 3
    assert len(home.asked) == asked
    assert staged.items() <= {path.name: path.stat().st_ino for path in (root / "videos").iterdir()}.items()


def test_a_half_unpacked_video_of_a_killed_download_is_no_video(
    home: Any, tmp_path: Path, download: Callable, videos: dict[str, bytes]
) -> None:
    root = tmp_path / "root"
    for left in (".partial-abc/half.avi", ".partial-abc.avi"):
        path = root / ".unpacking" / "MPII-Cooking-2-videos.tar.gz" / left
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    download(root, parts=("videos",))
    assert {path.name for path in (root / "videos").rglob("*") if path.is_file()} == set(videos)


def test_a_zip_that_would_fill_the_disk_is_not_unpacked(
    home: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, download: Callable
) -> None:
    monkeypatch.setattr(unpacking, "_MOST_UNPACKED", 10)
    with pytest.raises(InputError, match="more than 10"):
        download(tmp_path / "root", parts=("sentences",))
    assert not (tmp_path / "root" / "TACoS-Multi-Level-1.0").exists()
