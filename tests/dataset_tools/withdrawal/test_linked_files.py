"""Links in the folders of a data set: they go, and what they lead to is named, since it still holds the voice."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

VOICE, OTHER = "annabel-q", "ben"


def moved(path: Path, disk: Path) -> Path:
    """Moves a file to another disk, and leaves a link."""
    target = disk / f"{len(list(disk.iterdir()))}{path.suffix}"
    shutil.move(path, target)
    path.symlink_to(target)
    return target


def test_links_are_removed_and_their_targets_named(place: Any, source: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    own = [place.root / row.path for row in place.of(VOICE)]
    others = [place.root / row.path for row in place.of(OTHER)]
    listed = map(json.loads, (place.recordings / "recordings.jsonl").read_text("utf-8").splitlines())
    originals = [place.root / row["original"] for row in listed if row["utterance"]["voice"] == VOICE]
    manifests = [place.manifests / name for name in ("train.jsonl", "utterances.jsonl", "split.json", "build.json")]
    links = [own[0], originals[0], place.root / "report" / "index.html", *manifests, place.ledger]
    targets = [moved(path, disk) for path in links]
    kept = moved(others[0], disk)
    moved(originals[1], disk).unlink()  # the link leads nowhere
    (place.root / "mine.wav").symlink_to(source.parent / "0.wav")
    (place.root / "latest.wav").symlink_to(own[1])
    within = place.root / "archive.wav"
    shutil.move(originals[2], within)
    originals[2].symlink_to("../archive.wav")
    before = {path: path.lstat().st_size for path in place.root.rglob("*") if path.is_symlink() or path.is_file()}
    linked = {path for path in before if path.is_symlink()}

    code, said = place.run("speech", "forget", VOICE, "--dry-run", "--json")
    assert code == 0, said
    planned = json.loads(said)
    code, said = place.run("speech", "forget", VOICE, "--yes", "--json")
    assert code == 0, said
    done = json.loads(said)
    gone = [path for path in before if not path.is_symlink() and not path.exists()]
    assert {own[0], originals[0], originals[1], originals[2], place.root / "report" / "index.html"} <= set(gone)
    assert planned["files"] == done["files"] == len(gone)
    assert planned["size_bytes"] == done["size_bytes"] == sum(before[path] for path in gone if path not in linked)
    assert planned["left"] == done["left"] == sorted([*map(str, targets), "archive.wav", "mine.wav"])
    assert all(target.is_file() for target in (*targets, within, kept))
    assert others[0].is_symlink()
