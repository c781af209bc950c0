"""Export of the features of a manifest's items to files (``fmn features export``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dataset_tools.core.errors import InputError
from dataset_tools.core.progress import Progress, silent
from fmn.config import Config
from fmn.data.items import load_items
from fmn.data.loading import extract_both, usable_device
from fmn.features.feature_files import check_feature_folder, save_feature_files
from fmn.features.media import distinct, reasons

VIDEO_FOLDER, AUDIO_FOLDER = "video", "audio"


@dataclass(frozen=True)
class ExportSummary:
    """Result of `export_features`: folder, number of features (one per distinct file), their size, and failures.

    ``to_extract``: after a dry run, number of features that would be extracted first (`fmn.data.dry_run.DryRun`).
    """

    folder: Path
    clips: int
    utterances: int
    video_dim: int
    audio_dim: int
    failures: dict[str, str]
    dry_run: bool = False
    to_extract: int = 0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"folder": str(self.folder)}


def export_features(
    manifests: Sequence[Path | str],
    config: Config,
    folder: Path | str,
    *,
    root: Path | str | None = None,
    device: str = "auto",
    jobs: int | None = None,
    dry_run: bool = False,
    progress: Progress = silent,
) -> ExportSummary:
    """Writes the features of all clips and utterances of some manifests to ``folder``/video and ``folder``/audio.

    Args:
        manifests: of one workspace.
        config: its ``video`` and ``audio`` define the features.
        folder: new or empty, or an earlier export of the same items.
        root: the workspace, if it is not the parent of the manifests' folder.
        device: ``auto``, or a torch device.
        jobs: workers; None: one per core.
        dry_run: only check, and return what would be exported; write nothing.
        progress: progress callback.

    Raises:
        InputError: a manifest is invalid, or the folder has other content.
        StoppedError: the disk is full, or the device fails.
    """
    folder, root = Path(folder), None if root is None else Path(root)
    chosen = usable_device(device, dry_run=dry_run)
    _check_alone(folder)
    loaded = [load_items(Path(manifest), root) for manifest in manifests]
    clips = distinct(media for items in loaded for media in items.clip_media())
    spoken = distinct(media for items in loaded for media in items.utterance_media())
    check_feature_folder(folder / VIDEO_FOLDER, [media.sha256 for media in clips])  # fail before hours of extraction
    check_feature_folder(folder / AUDIO_FOLDER, [media.sha256 for media in spoken])
    found = extract_both(
        clips, spoken, config, loaded[0].workspace, device=chosen, jobs=jobs, progress=progress, dry_run=dry_run
    )
    video, audio = found.video, found.audio
    check_feature_folder(folder / VIDEO_FOLDER, video.values.keys())  # check both before writing either
    check_feature_folder(folder / AUDIO_FOLDER, audio.values.keys())
    if not dry_run:
        save_feature_files(folder / VIDEO_FOLDER, video)
        save_feature_files(folder / AUDIO_FOLDER, audio)
    counts = len(video.values), len(audio.values), video.dim, audio.dim
    return ExportSummary(folder, *counts, reasons(found.failures), dry_run, found.computed if dry_run else 0)


def _check_alone(folder: Path) -> None:
    """Checks that the folder is new, empty or an earlier export, and has no file that ``--features`` would read, too.

    Raises:
        InputError: it is not, or has one.
    """
    for part in (VIDEO_FOLDER, AUDIO_FOLDER):
        for file in (folder / f"{part}{suffix}" for suffix in (".npz", ".parquet")):
            if file.exists():
                raise InputError(
                    f"The folder has {part} features already",
                    where=file,
                    expected="a new or empty folder, or an earlier export of the same items",
                    next_step="choose another folder",
                )
    others = sorted(folder.iterdir()) if folder.is_dir() else []
    if others and not any((folder / part).is_dir() for part in (VIDEO_FOLDER, AUDIO_FOLDER)):
        raise InputError(
            f"The folder contains other files, such as {others[0].name}",
            where=folder,
            expected="a new or empty folder, or an earlier export of the same items",
            next_step="choose another folder",
        )
