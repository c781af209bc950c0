"""Media URLs of tasks: the file shown for a clip, its offset in the source video, and its URL."""

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
"""The only folders of a workspace that a server may serve."""


@dataclass(frozen=True)
class ShownVideo:
    """The video that a task shows.

    Attributes:
        path: relative to the workspace, POSIX.
        first_frame: source frame (1-based) of the video's first frame. frames: number of frames.
        fps: frames per second; constant.
        source_sha256: SHA-256 of the source video of the clip, if it is recorded.
        source_frames: source frame of each frame, if the video was resampled; None: frames correspond one to one.
    """

    path: str
    first_frame: int
    frames: int
    fps: float
    source_sha256: str | None = None
    source_frames: tuple[int, ...] | None = None

    def shown_range(self, start_frame: int, end_frame: int) -> tuple[int, int]:
        """Returns the first and last frame (1-based) that show these source frames; may lie outside the video."""
        if self.source_frames is None:
            return start_frame - self.first_frame + 1, end_frame - self.first_frame + 1
        return bisect_left(self.source_frames, start_frame) + 1, bisect_right(self.source_frames, end_frame)


def clip_alone(clip: ClipRow) -> ShownVideo:
    """Returns the video to show for a clip whose footage is not available: the clip itself."""
    first_frame = clip.start_frame if clip.trim is None else clip.trim[0]
    source_frames = None if clip.source_frames is UNSET else clip.source_frames
    return ShownVideo(clip.path, first_frame, clip.frames, clip.fps, source_frames=source_frames)


class Addresses:
    """Maps paths of a workspace to URLs that the page can play.

    The files are served by Label Studio itself (``/data/local-files/?d=…``, relative to its document root, which must
    contain the folders), or by any other web server that serves the workspace's folders (``media_url``).
    """

    def __init__(self, workspace: Workspace, *, media_url: str | None, document_root: Path | None) -> None:
        self.media_url = None if media_url is None else _checked_media_url(media_url)
        self._workspace = workspace
        # Links are not resolved: the folder that `serve` makes for a server has links to the workspace's folders.
        root = document_root or workspace.root.absolute()
        below = Path(os.path.abspath(workspace.root))  # noqa: PTH100  # without resolving links
        self._base = below if below.is_relative_to(root) else root
        self._prefix = self._base.relative_to(root).as_posix() if self._base != root else ""

    def __call__(self, path: str) -> str:
        """Returns the URL of a file of the workspace (POSIX path, relative to it)."""
        if self.media_url is not None:
            return f"{self.media_url}/{quote(path)}"
        return f"/data/local-files/?d={quote(f'{self._prefix}/{path}'.lstrip('/'))}"

    def storage_folders(self) -> list[Path]:
        """Returns the folders that Label Studio has to serve; none if another server does.

        Raises:
            InputError: a link in them leads out of them.
        """
        if self.media_url is not None:
            return []
        refuse_links_out(self._workspace)
        return [self._base / name for name in MEDIA_FOLDERS if (self._workspace.root / name).is_dir()]


def refuse_links_out(workspace: Workspace) -> None:
    """Ensures that a server of the media folders, which follows symbolic links, serves nothing else.

    The folders themselves may be links, for example to a larger disk.

    Raises:
        InputError: a link in them leads out of them; the message names it.
    """
    roots = [(workspace.root / name).resolve() for name in MEDIA_FOLDERS]
    for root in roots:
        for folder, folders, files in os.walk(root):
            for path in (Path(folder, name) for name in [*folders, *files]):
                target = Path(os.path.realpath(path))  # unlike resolve(), does not raise for a link to itself
                if path.is_symlink() and not any(target.is_relative_to(one) for one in roots):
                    raise InputError(
                        f"A link leads out of {root.name}/, so that every annotator could read its target",
                        where=path,
                        expected=f"files in {' and '.join(f'{name}/' for name in MEDIA_FOLDERS)}, no links out of them",
                        next_step="replace the link with the file itself, or remove it",
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
            next_step="use such a URL, or leave out --media-url for a server on this machine",
        )
    return url.rstrip("/")
