"""Media URLs of tasks: the file shown for a clip, its offset in the source, and its address."""

from __future__ import annotations

import os
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from msgspec import UNSET

from dataset_tools.core.errors import InputError
from dataset_tools.core.workspace import Workspace
from dataset_tools.label_studio.connection import without_password
from dataset_tools.manifests import ClipRow

MEDIA_FOLDERS = ("clips", "speech")
"""Folders of a workspace that a server may serve, and no others."""


@dataclass(frozen=True)
class ShownVideo:
    """The video that a task shows.

    Attributes:
        path: relative to the workspace, POSIX.
        first_frame: source frame (1-based) that is the video's first frame. frames: how many it has.
        fps: frames per second; constant.
        source_sha256: of the source video that the clip was cut from, where that is remembered.
        source_frames: the source frame of each frame, of a video that was resampled; None: one frame is one source
            frame.
    """

    path: str
    first_frame: int
    frames: int
    fps: float
    source_sha256: str | None = None
    source_frames: tuple[int, ...] | None = None

    def shown_range(self, start_frame: int, end_frame: int) -> tuple[int, int]:
        """First and last frame, counted from 1, that show source frames; outside of the video where those are."""
        if self.source_frames is None:
            return start_frame - self.first_frame + 1, end_frame - self.first_frame + 1
        return bisect_left(self.source_frames, start_frame) + 1, bisect_right(self.source_frames, end_frame)


def clip_alone(clip: ClipRow) -> ShownVideo:
    """The video of a clip whose footage is not at hand: the clip as it was cut."""
    first_frame = clip.start_frame if clip.trim is None else clip.trim[0]
    source_frames = None if clip.source_frames is UNSET else clip.source_frames
    return ShownVideo(clip.path, first_frame, clip.frames, clip.fps, source_frames=source_frames)


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
        """The folders that the server is asked to serve; none when another server does.

        Raises:
            InputError: a link in them leads out of them.
        """
        if self.media_url is not None:
            return []
        refuse_links_out(self._workspace)
        return [self._base / name for name in MEDIA_FOLDERS if (self._workspace.root / name).is_dir()]


def refuse_links_out(workspace: Workspace) -> None:
    """Sees to it that a server which serves the media folders serves nothing else: it follows links.

    The folders themselves may be links, to a larger disk.

    Raises:
        InputError: a link in them leads out of them; its name is told.
    """
    roots = [(workspace.root / name).resolve() for name in MEDIA_FOLDERS]
    for root in roots:
        for folder, folders, files in os.walk(root):
            for path in (Path(folder, name) for name in [*folders, *files]):
                target = Path(os.path.realpath(path))  # unlike resolve(), without an error for a link to itself
                if path.is_symlink() and not any(target.is_relative_to(one) for one in roots):
                    raise InputError(
                        f"A link leads out of {root.name}/, and everybody who reviews could read what it leads to",
                        where=path,
                        expected=f"files in {' and '.join(f'{name}/' for name in MEDIA_FOLDERS)}, no links out of them",
                        next_step="put the file itself there in place of the link, or remove the link",
                    )


def _checked_media_url(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    is_plain = not (parts.query or parts.fragment or parts.username or parts.password)
    if parts.scheme not in ("http", "https") or not parts.netloc or not is_plain:
        raise InputError(
            f"This is not a valid base URL for media: {without_password(url)!r}",
            where="--media-url",
            expected="the base URL of clips/ and speech/, such as https://media.example.org/demo",
            next_step="give that address, or leave --media-url out for a server on this machine",
        )
    return url.rstrip("/")
