"""A real Label Studio server for the whole session, and small workspaces with real clips and speech."""

from __future__ import annotations

import json
import re
import wave
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import httpx
import msgspec
import numpy as np
import pytest
from made_up_answers import MEDIA_URL

from dataset_tools.classes.reader import load_classes
from dataset_tools.core.files import sha256_of
from dataset_tools.core.workspace import Workspace
from dataset_tools.label_studio.push import PushOptions, push
from dataset_tools.label_studio.push_summary import PushSummary
from dataset_tools.label_studio.workspace_server import Target, login_file, serve, stop
from dataset_tools.manifests import ClipRow, UtteranceRow, write_rows

CLASSES = load_classes()
FPS = Fraction(147, 5)  # 29.4, MPII Cooking 2's
FRAMES = 60


@dataclass(frozen=True)
class RunningServer:
    """The server of a workspace of its own. Workspaces with media lie in a folder that it may serve."""

    home: Workspace
    target: Target
    email: str
    password: str
    connections: ExitStack

    @property
    def login(self) -> Target:
        """What push and pull need; without the document root, as of somebody's own server."""
        return Target(self.target.url, self.target.api_key)

    def client(self, api_key: str | None = None) -> Any:
        from label_studio_sdk import LabelStudio

        http = self.connections.enter_context(httpx.Client(timeout=60, follow_redirects=True))
        return LabelStudio(base_url=self.target.url, api_key=api_key or self.target.api_key, httpx_client=http)

    def push_all(self, workspace: Workspace, **options: Any) -> PushSummary:
        """Pushes a workspace whose media are elsewhere, unless said otherwise."""
        chosen = {one.name: options.pop(one.name) for one in fields(PushOptions) if one.name in options}
        target = replace(self.login, document_root=options.pop("document_root", None))
        return push(workspace, target, CLASSES, options=PushOptions(**{"media_url": MEDIA_URL, **chosen}), **options)

    def tasks_of(self, project: int | None) -> dict[str, Any]:
        """The tasks of a project by clip id, asked of the server in the plainest way."""
        answer = httpx.get(
            f"{self.target.url}/api/tasks",
            params={"project": project, "fields": "all", "page_size": 100},
            headers={"Authorization": f"Token {self.target.api_key}"},
        )
        return {task["data"]["clip_id"]: SimpleNamespace(**task) for task in answer.json()["tasks"]}

    def second_annotator(self, email: str) -> str:
        """Signs somebody up through the invitation page, as a person would; gives the key of the new account."""
        with httpx.Client(base_url=self.target.url, follow_redirects=True, timeout=60) as browser:
            invitation = httpx.get(
                f"{self.target.url}/api/invite", headers={"Authorization": f"Token {self.target.api_key}"}
            ).json()["invite_url"]
            page = browser.get(invitation).text
            hidden = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
            assert hidden is not None
            form = {"csrfmiddlewaretoken": hidden[1], "email": email, "password": "a-long-password"}
            browser.post(invitation, data=form, headers={"Referer": f"{self.target.url}{invitation}"})
            return str(browser.get("/api/current-user/token").json()["token"])


@pytest.fixture(scope="session")
def label_studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Installs the server once for all sessions (FMN_LABEL_STUDIO_VENV or the user's cache), starts it for this one."""
    home = Workspace(tmp_path_factory.mktemp("home"))
    target = serve(home)
    account = json.loads(login_file(home).read_text())["account"]
    with ExitStack() as connections:
        yield RunningServer(home, target, account["email"], account["password"], connections)
    stop(home)


@pytest.fixture
def make_workspace(
    tmp_path: Path, clip_factory: Callable[..., ClipRow], utterance_factory: Callable[[ClipRow], UtteranceRow]
) -> Callable[..., Workspace]:
    """A workspace with one clip a class id, each with an utterance; media are only written on request."""

    def make(
        class_ids: Sequence[str], *, root: Path | None = None, media: bool = False, speech: bool = True
    ) -> Workspace:
        workspace = Workspace(root or tmp_path / "set")
        clips = [clip_factory(number, class_id) for number, class_id in enumerate(class_ids)]
        utterances = [utterance_factory(clip) for clip in clips] if speech else []
        if media:
            clips = [msgspec.structs.replace(clip, sha256=write_clip(workspace.root / clip.path)) for clip in clips]
            utterances = [
                msgspec.structs.replace(one, sha256=write_tone(workspace.root / one.path)) for one in utterances
            ]
        write_rows(workspace.manifests / "clips.jsonl", clips)
        if speech:
            write_rows(workspace.manifests / "utterances.jsonl", utterances)
        return workspace

    return make


def write_clip(path: Path) -> str:
    """Writes a silent H.264 clip in which a bar moves; gives its sha256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 192, 144, "yuv420p"
        for number in range(FRAMES):
            picture = np.full((144, 192, 3), 40, np.uint8)
            picture[40:100, number * 2 : number * 2 + 30] = (240, 200, 40)
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return sha256_of(path)


def write_tone(path: Path) -> str:
    """Writes a second of a 220 Hz tone as 16 kHz mono PCM; gives its sha256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tone = (8000 * np.sin(2 * np.pi * 220 * np.arange(16000) / 16000)).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(tone.tobytes())
    return sha256_of(path)
