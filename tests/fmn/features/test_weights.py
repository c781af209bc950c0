from __future__ import annotations

import hashlib
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from dataset_tools.core import torch_compat
from dataset_tools.core.errors import InputError, StoppedError
from fmn.features import weights
from fmn.features.i3d import I3D

CONTENT = np.random.default_rng(0).bytes(700_001)
NAME = ("i3d", "rgb")


def blob_id(content: bytes) -> str:
    return hashlib.sha1(b"blob " + str(len(content)).encode() + b"\0" + content).hexdigest()


class Server(BaseHTTPRequestHandler):
    """Serves CONTENT, ranges included; may break off, ignore ranges, or refuse."""

    cut_after: ClassVar[int | None] = None
    ranges: ClassVar[bool] = True
    status: ClassVar[int] = 200
    content: ClassVar[bytes] = CONTENT
    asked: ClassVar[list[str | None]] = []

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        Server.asked.append(asked)
        if Server.status != 200:
            self.send_error(Server.status)
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and Server.ranges else 0
        if start >= len(Server.content):
            self.send_error(416)
            return
        body = Server.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if Server.cut_after is None else body[: Server.cut_after])

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    Server.cut_after, Server.ranges, Server.status, Server.content, Server.asked = None, True, 200, CONTENT, []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/rgb_imagenet.pt"
    entry = replace(weights.PUBLISHED[NAME], url=url, git_blob_id=blob_id(CONTENT))
    monkeypatch.setitem(weights.PUBLISHED, NAME, entry)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield url
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_git_blob_id_is_gits(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    by_git = subprocess.run(["git", "hash-object", str(path)], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert weights.git_blob_id(path) == by_git.stdout.strip() == blob_id(CONTENT)


def test_a_download_is_checked_and_tells_its_progress(address: str, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    paths = weights.download(
        [NAME], tmp_path, progress=lambda stage, done, total, note="": seen.append((stage, done, total))
    )
    assert paths == [tmp_path / "rgb_imagenet.pt"]
    assert paths[0].read_bytes() == CONTENT
    assert seen[0] == ("rgb_imagenet.pt", 0, len(CONTENT))
    assert seen[-1] == ("rgb_imagenet.pt", len(CONTENT), len(CONTENT))
    assert weights.published_file(*NAME, tmp_path) == paths[0]


def test_what_is_there_and_right_is_not_fetched_again(address: str, tmp_path: Path) -> None:
    weights.download([NAME], tmp_path)
    weights.download([NAME], tmp_path)
    assert len(Server.asked) == 1


def test_a_broken_download_goes_on_where_it_stopped(address: str, tmp_path: Path) -> None:
    Server.cut_after = 300_000
    with pytest.raises(StoppedError) as caught:
        weights.download([NAME], tmp_path)
    assert "300000 of 700001" in str(caught.value)
    assert not (tmp_path / "rgb_imagenet.pt").exists()
    Server.cut_after = None
    assert weights.download([NAME], tmp_path)[0].read_bytes() == CONTENT
    assert Server.asked == [None, "bytes=300000-"]


def test_a_server_without_ranges_is_asked_for_the_whole(address: str, tmp_path: Path) -> None:
    Server.cut_after = 300_000
    with pytest.raises(StoppedError):
        weights.download([NAME], tmp_path)
    Server.cut_after, Server.ranges = None, False
    assert weights.download([NAME], tmp_path)[0].read_bytes() == CONTENT


def test_a_whole_file_that_only_lacks_its_name_gets_it(address: str, tmp_path: Path) -> None:
    (tmp_path / ".rgb_imagenet.pt.part").write_bytes(CONTENT)
    assert weights.download([NAME], tmp_path)[0].read_bytes() == CONTENT


def test_another_content_is_refused_and_deleted(address: str, tmp_path: Path) -> None:
    Server.content = CONTENT[::-1]
    with pytest.raises(InputError, match="not the published one"):
        weights.download([NAME], tmp_path)
    assert [path.name for path in tmp_path.iterdir() if path.name != ".lock"] == []


def test_a_spoiled_file_is_refused_on_use_and_replaced_by_the_next_download(address: str, tmp_path: Path) -> None:
    path = tmp_path / "rgb_imagenet.pt"
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(InputError, match="git blob id"):
        weights.published_file(*NAME, tmp_path)
    weights.download([NAME], tmp_path)
    assert path.read_bytes() == CONTENT


def test_a_refusal_names_the_address_and_the_place(address: str, tmp_path: Path) -> None:
    Server.status = 404
    with pytest.raises(InputError) as caught:
        weights.download([NAME], tmp_path)
    assert "404" in str(caught.value)
    assert address in str(caught.value)
    assert str(tmp_path / "rgb_imagenet.pt") in str(caught.value)


def test_without_a_connection_it_says_so_and_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = replace(weights.PUBLISHED[NAME], url="http://127.0.0.1:9/rgb_imagenet.pt")
    monkeypatch.setitem(weights.PUBLISHED, NAME, entry)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(StoppedError) as caught:
        weights.download([NAME], tmp_path)
    assert caught.value.exit_code == 3
    assert "connection" in str(caught.value)
    assert str(tmp_path / "rgb_imagenet.pt") in str(caught.value)


def test_a_file_without_a_published_hash_is_held_to_its_first_download(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(weights.PUBLISHED, NAME, replace(weights.PUBLISHED[NAME], git_blob_id=None))
    path = weights.download([NAME], tmp_path)[0]
    assert (tmp_path / "rgb_imagenet.pt.sha256").read_text().split()[0] == hashlib.sha256(CONTENT).hexdigest()
    path.write_bytes(CONTENT + b"!")
    with pytest.raises(InputError, match="downloaded first"):
        weights.published_file(*NAME, tmp_path)


def test_the_folder_is_named_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FMN_WEIGHTS", str(tmp_path))
    assert weights.weights_folder() == tmp_path
    monkeypatch.delenv("FMN_WEIGHTS")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "c"))
    assert weights.weights_folder() == tmp_path / "c" / "fmn" / "weights"


def test_the_address_of_the_resnet_is_pytorchvideos() -> None:
    assert weights.PUBLISHED["i3d_r50", "rgb"].url == torch_compat.pytorchvideo_resnet().checkpoint_paths["i3d_r50"]


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".safetensors"])
def test_states_are_read_from_every_format(tmp_path: Path, suffix: str) -> None:
    state = {"rgb.a": torch.arange(3.0), "flow.b": torch.ones(2, 2)}
    path = tmp_path / f"file{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    assert torch.equal(weights.read_state(path)["rgb.a"], torch.arange(3.0))
    assert list(weights.read_state(path, "flow.")) == ["b"]


def test_the_old_format_of_the_published_files_is_read(tmp_path: Path) -> None:
    path = tmp_path / "old.pt"
    torch.save({"a": torch.arange(3.0)}, path, _use_new_zipfile_serialization=False)
    assert torch.equal(weights.read_state(path)["a"], torch.arange(3.0))


class Runs:
    def __reduce__(self) -> tuple[object, ...]:
        return (print, ("this must never run",))


def test_a_file_that_runs_code_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.pt"
    torch.save({"a": Runs()}, path)
    with pytest.raises(InputError, match="cannot be read"):
        weights.read_state(path)
    assert "never run" not in capsys.readouterr().out


def test_what_is_no_state_dict_is_refused(tmp_path: Path) -> None:
    listed, text = tmp_path / "list.pt", tmp_path / "text.safetensors"
    torch.save([torch.zeros(1)], listed)
    text.write_text("hello")
    with pytest.raises(InputError, match="not a state dict"):
        weights.read_state(listed)
    with pytest.raises(InputError, match="cannot be read"):
        weights.read_state(text)
    with pytest.raises(InputError, match="no such file") as missing:
        weights.read_state(Path("none.pt"))
    assert str(missing.value.where) == str(Path("none.pt").absolute())
    assert "where it was trained" in str(missing.value.next_step)


def test_old_checkpoints_without_batch_counters_load_and_heads_may_be_left_out() -> None:
    torch.manual_seed(0)
    source, target = I3D(2, classes=9, width=1 / 16), I3D(2, classes=0, width=1 / 16)
    state = {name: value for name, value in source.state_dict().items() if "num_batches" not in name}
    with pytest.raises(InputError, match=r"unexpected logits\.conv3d\.weight"):
        weights.load_state(target, state, where="here")
    weights.load_state(target, state, where="here", ignore=("logits.",))
    assert torch.equal(target.state_dict()["Mixed_4f.b2b.bn.running_var"], state["Mixed_4f.b2b.bn.running_var"])
    assert torch.equal(target.state_dict()["Conv3d_2c_3x3.conv3d.weight"], state["Conv3d_2c_3x3.conv3d.weight"])
