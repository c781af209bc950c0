from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from dataset_tools.core.errors import InputError
from dataset_tools.core.workspace import Workspace
from dataset_tools.label_studio.media_urls import Addresses, clip_alone
from dataset_tools.manifests import ClipRow


def test_the_first_frame_is_that_of_the_interval_or_of_its_trim(clip_factory: Callable[..., ClipRow]) -> None:
    clip = clip_factory(0, "cut_carrot_knife")
    assert (clip_alone(clip).first_frame, clip_alone(clip).frames) == (101, 60)
    trimmed = msgspec.structs.replace(clip, trim=(110, 129), frames=20)
    assert (clip_alone(trimmed).first_frame, clip_alone(trimmed).frames) == (110, 20)


def test_addresses_are_relative_to_the_servers_document_root(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "data" / "a set")
    for folder in ("clips", "speech", "recordings"):
        (workspace.root / folder).mkdir(parents=True)
    own_root = Addresses(workspace, media_url=None, document_root=None)
    assert own_root("clips/a&b.mp4") == "/data/local-files/?d=clips/a%26b.mp4"
    assert own_root.storage_folders() == [workspace.root / "clips", workspace.root / "speech"]

    above = Addresses(workspace, media_url=None, document_root=tmp_path)
    assert above("clips/c.mp4") == "/data/local-files/?d=data/a%20set/clips/c.mp4"
    assert above.storage_folders() == [workspace.root / "clips", workspace.root / "speech"]

    links = Addresses(workspace, media_url=None, document_root=tmp_path / "served")
    assert links("clips/c.mp4") == "/data/local-files/?d=clips/c.mp4"
    assert links.storage_folders() == [tmp_path / "served" / "clips", tmp_path / "served" / "speech"]


def test_another_web_server_serves_the_folders_of_the_workspace(tmp_path: Path) -> None:
    addresses = Addresses(Workspace(tmp_path), media_url="https://media.example.org/demo/", document_root=None)
    assert addresses("speech/ä.wav") == "https://media.example.org/demo/speech/%C3%A4.wav"
    assert addresses.storage_folders() == []


@pytest.mark.parametrize("url", ["media.example.org", "ftp://x/y", "https://x/?a=1", "", "file:///tmp"])
def test_what_is_no_web_address_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(InputError, match="not a valid base URL for media"):
        Addresses(Workspace(tmp_path), media_url=url, document_root=None)
