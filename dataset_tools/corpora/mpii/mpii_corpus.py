"""MPII Cooking 2 on disk: the annotation file, the videos, the official splits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dataset_tools.core.errors import InputError
from dataset_tools.corpora.corpus import Corpus
from dataset_tools.corpora.mpii.annotations import read_mpii_annotations
from dataset_tools.corpora.mpii.official_split import read_official_split

MAT_NAME = "attributesAnnotations_MPII-Cooking-2.mat"
STANDIN_NAME = "STANDIN.json"
VIDEO_SUFFIXES = (".avi", ".mp4", ".mkv")
_LAYOUT = "a folder with attributesAnnotations_MPII-Cooking-2.mat, videos/ and experimentalSetup/"


def open_corpus(root: Path | str) -> Corpus:
    """Reads a folder in MPII Cooking 2's layout; videos are located, not opened.

    Raises:
        InputError: the folder does not exist or has no annotation file, or the annotation file, a split list or
            STANDIN.json cannot be used.
    """
    root = Path(root)
    annotations = read_mpii_annotations(find_mat(root))
    videos = _find_videos(root)
    standin = _read_standin(root)
    sequences = {interval.sequence for interval in annotations.intervals}
    splits, notes = read_official_split(root, sequences if standin is None else ())
    if not videos:
        notes += ("There are no videos in the folder.",)
    return Corpus(
        root=root,
        annotations=annotations,
        videos=videos,
        splits=splits,
        standin=standin,
        sentences=next((root / name for name in ("tacos", "tacos.json") if (root / name).exists()), None),
        notes=annotations.notes + notes,
    )


def find_mat(root: Path) -> Path:
    """Returns the annotation file of a folder: by its name, else the only .mat file in the folder or one level below.

    Raises:
        InputError: the folder does not exist, or has no annotation file, or several candidates.
    """
    if not root.is_dir():
        raise InputError(
            "The path is a file, not a folder" if root.exists() else "There is no such folder",
            where=root,
            expected=_LAYOUT,
            next_step="give the folder with --mpii or MPII_COOKING2_ROOT; to try without it: fmn-data standin DIR",
        )
    found = sorted(
        path for pattern in ("[!.]*.mat", "[!.]*/[!.]*.mat") for path in root.glob(pattern) if path.is_file()
    )
    named = [path for path in found if path.name == MAT_NAME]
    if root / MAT_NAME in named:
        return root / MAT_NAME
    candidates = named or found
    if len(candidates) == 1:
        return candidates[0]
    raise InputError(
        "There are several annotation files: " + ", ".join(str(path.relative_to(root)) for path in candidates)
        if candidates
        else "There is no annotation file (.mat) in the folder",
        where=root,
        expected=_LAYOUT,
        next_step=f"keep one, named {MAT_NAME}, in the folder itself" if candidates else "check the folder",
    )


def _find_videos(root: Path) -> dict[str, Path]:
    """Returns video files by stem; ``videos/`` takes precedence over the folder itself, AVI over other formats."""
    videos: dict[str, Path] = {}
    for folder in (root / "videos", root / "videos" / "videos", root):
        files = [path for path in folder.glob("[!.]*") if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()]
        for path in sorted(files):
            videos.setdefault(path.stem, path)
    return dict(sorted(videos.items()))


def _read_standin(root: Path) -> dict[str, Any] | None:
    path = root / STANDIN_NAME
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_bytes())
        if not isinstance(content, dict):
            raise ValueError("it is not an object")
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"The file that marks a synthetic corpus cannot be read: {error}",
            where=path,
            expected="the JSON object that fmn-data standin wrote",
            next_step="write the synthetic corpus again with: fmn-data standin DIR",
        ) from error
    return content
