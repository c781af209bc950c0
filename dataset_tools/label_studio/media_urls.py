"""Which file a task shows for a clip, where in the source that file starts, and under which address it is served."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from dataset_tools.core.errors import InputError
from dataset_tools.core.workspace import Workspace
from dataset_tools.manifests import ClipRow

MEDIA_FOLDERS = ("clips", "speech")
"""Folders of a workspace that a server may serve, and no others."""


@dataclass(frozen=True)
class ShownVideo:
    """The video that a task shows.

    Attributes:
        path: relative to the workspace, POSIX.
        first_frame: source frame (1-based) that is the video's first frame. frames: how many it has.
        fps: frames per second; constant, and the source's, so that one frame is one source frame.
        source_sha256: of the source video that the clip was cut from, where that is remembered.
    """

    path: str
    first_frame: int
    frames: int
    fps: float
    source_sha256: str | None = None


def clip_alone(clip: ClipRow) -> ShownVideo:
    """The video of a clip whose footage is not at hand: the clip as it was cut."""
    first_frame = clip.start_frame if clip.trim is None else clip.trim[0]
    return ShownVideo(clip.path, first_frame, clip.frames, clip.fps)


class Addresses:
    """Turns paths of a workspace into addresses that the page can play.

    Two ways: files that the server itself reads (``/data/local-files/?d=…``, relative to its document root, below
    which the folders must lie), or any other web server that serves the workspace's folders (``media_url``).
    """

    def __init__(self, workspace: Workspace, *, media_url: str | None, document_root: Path | None) -> None:
        self.media_url = None if media_url is None else _checked_media_url(media_url)
        self._workspace = workspace
        # Links are kept: the folder that `serve` makes for a server holds links to the workspace's folders.
        root = document_root or workspace.root.absolute()
        below = Path(os.path.abspath(workspace.root))  # noqa: PTH100  # without resolving links
        self._base = below if below.is_relative_to(root) else root
        self._prefix = self._base.relative_to(root).as_posix() if self._base != root else ""

    def __call__(self, path: str) -> str:
        """The address of a file of the workspace (POSIX path, relative to it)."""
        if self.media_url is not None:
            return f"{self.media_url}/{quote(path)}"
        return f"/data/local-files/?d={quote(f'{self._prefix}/{path}'.lstrip('/'))}"

    def storage_folders(self) -> list[Path]:
        """The folders that the server is asked to serve; none when another server does."""
        if self.media_url is not None:
            return []
        return [self._base / name for name in MEDIA_FOLDERS if (self._workspace.root / name).is_dir()]


def _checked_media_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
        raise InputError(
            f"This is not an address that media can lie under: {url!r}",
            where="--media-url",
            expected="an address under which clips/ and speech/ lie, such as https://media.example.org/demo",
            next_step="give that address, or leave --media-url out for a server on this machine",
        )
    return url.rstrip("/")
