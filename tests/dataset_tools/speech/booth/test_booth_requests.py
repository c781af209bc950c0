"""What the booth refuses, whoever asks."""

from __future__ import annotations

import asyncio
import io
import os
import re
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from aiohttp.test_utils import TestClient, TestServer
from typer.testing import CliRunner

from dataset_tools.classes.reader import load_classes
from dataset_tools.cli.main import app
from dataset_tools.core.workspace import Workspace
from dataset_tools.manifests import ClipRow, UtteranceRow, read_rows, write_rows
from dataset_tools.speech.booth.server import MOST_BYTES, make_app
from dataset_tools.speech.booth.sessions import Booth
from dataset_tools.speech.recordings.recording_rows import read_recordings

CLASSES = load_classes()
TOKEN = "a-secret"


def asked(booth: Booth, work: Callable[[TestClient[Any, Any]], Any]) -> Any:
    """Runs requests against the booth's application."""

    async def run() -> Any:
        async with TestClient(TestServer(make_app(booth, TOKEN))) as client:
            return await work(client)

    return asyncio.run(run())


def test_nothing_is_served_without_the_secret_and_no_path_is_taken_from_a_client(
    workspace: Workspace, stage: SimpleNamespace, tmp_path: Path
) -> None:
    booth = Booth(workspace, CLASSES)
    clip = next(iter(booth.lines))
    take = stage.wav_bytes(tmp_path)
    (workspace.root / "private.txt").write_text("private")

    async def work(client: TestClient[Any, Any]) -> None:
        for path in ("/", "/booth.js", "/wrong/", "/wrong/api/state", f"/{TOKEN}x/", f"/wrong/clips/{clip}"):
            assert (await client.get(path)).status == 404, path
        page = await client.get(f"/{TOKEN}/")
        assert page.status == 200
        assert "default-src 'self'" in page.headers["Content-Security-Policy"]
        assert (await client.get(f"/{TOKEN}/clips/{clip}")).status == 200
        for name in ("..%2Fprivate.txt", "..%2F..%2Fprivate.txt", "x", f"{clip}.mp4", "%2Fetc%2Fpasswd"):
            assert (await client.get(f"/{TOKEN}/clips/{name}")).status == 404, name
        where = f"/{TOKEN}/api/takes"
        assert (await client.post(where, params={"clip": clip, "voice": "ann"}, data=take)).status == 409
        speaker = {"name": "../../Ann", "agreed": True}
        for refused in ({**speaker, "agreed": False}, {**speaker, "name": " "}, {**speaker, "name": "a\0b"}):
            assert (await client.post(f"/{TOKEN}/api/speakers", json=refused)).status == 409
        voice = (await (await client.post(f"/{TOKEN}/api/speakers", json=speaker)).json())["voice"]
        assert voice == "ann"
        right = {"clip": clip, "voice": voice, "sentence": "I cut the carrot."}
        for wrong in ({"clip": "../x"}, {"clip": ""}, {"voice": "eve"}, {"sentence": ""}, {"sentence": "I cut."}):
            refused_take = await client.post(where, params={**right, **wrong}, data=take)
            assert refused_take.status == 409, wrong
            assert (await refused_take.json())["found"][-1].isalpha(), wrong
        assert (await client.post(where, params={"clip": clip, "voice": voice}, data=take)).status == 409
        too_much = await client.post(where, params=right, data=io.BytesIO(bytes(MOST_BYTES + 1)))
        assert too_much.status == 413
        noise = await client.post(where, params=right, data=b"this is no sound")
        assert noise.status == 409
        assert "cannot be decoded" in (await noise.json())["found"]
        kept = await client.post(where, params=right, data=take)
        assert kept.status == 200, await kept.text()

    asked(booth, work)
    (row,) = read_recordings(workspace)
    assert re.fullmatch(r"recordings/[0-9a-f]{64}\.wav", row.original)
    assert not list(tmp_path.glob("*Ann*"))
    assert not list((workspace.cache / "booth").iterdir())


def test_two_speakers_never_have_one_line(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    booth, now = Booth(workspace, CLASSES), [1000.0]
    monkeypatch.setattr("dataset_tools.speech.booth.sessions.time.monotonic", lambda: now[0])
    ann, bob = (booth.consents.admit(name, agreed=True) for name in ("Ann", "Bob"))
    one, two = booth.lines

    async def work(client: TestClient[Any, Any]) -> None:
        async def held(voice: str, *clips: str) -> list[str]:
            answer = await client.post(f"/{TOKEN}/api/lines", params={"voice": voice}, json=clips)
            return list((await answer.json())["held"])

        assert await held(ann, one) == []
        assert await held(bob, one, two) == [one]
        assert await held(ann, one, two) == [two]
        now[0] += 100
        assert await held(ann, one) == []  # asked anew: for another three minutes
        now[0] += 100
        assert await held(bob, one) == [one]
        assert await held(ann, two) == []  # which gives the other one back
        assert await held(bob, one) == []
        now[0] += 200
        assert await held(ann, one) == []  # Bob has not been heard of
        skips = f"/{TOKEN}/api/skips"
        for params, body, status in (
            ({"clip": one, "voice": ann}, {"reason": "clip"}, 200),
            ({"clip": one, "voice": ann}, {"reason": "x" * 9999}, 400),
            ({"clip": one, "voice": ann}, {"reason": "clip", "sentence": "x" * 99_999}, 400),
            ({"clip": "../x", "voice": ann}, {"reason": "clip"}, 409),
            ({"clip": one, "voice": "eve"}, {"reason": "clip"}, 409),
        ):
            shown = {"sentence": "As shown.", **body}
            assert (await client.post(skips, params=params, json=shown)).status == status
        assert (await client.post(skips, params={"clip": one, "voice": ann}, json={"reason": "clip"})).status == 400
        assert (await client.post(f"/{TOKEN}/api/lines", params={"voice": "eve"}, json=[one])).status == 409

    asked(booth, work)
    assert booth.skips.counts == {"clip": 1}
    (line,) = (workspace.root / "annotations" / "skips.jsonl").read_text().splitlines()
    assert '"sentence":"As shown."' in line


def test_a_take_that_a_killed_booth_had_begun_to_keep_is_used_by_the_next(
    workspace: Workspace, stage: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    booth = Booth(workspace, CLASSES)
    clip, listing = next(iter(booth.lines)), workspace.manifests / "utterances.jsonl"
    voice = booth.consents.admit("Ann", agreed=True)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    before = listing.read_bytes()
    with monkeypatch.context() as patched:  # between recordings.jsonl and utterances.jsonl
        patched.setattr("dataset_tools.speech.booth.sessions.assemble", killed)
        with pytest.raises(KeyboardInterrupt):
            booth.keep(clip, voice, booth.lines[clip].sentence, stage.wav_bytes(tmp_path))
    assert listing.read_bytes() == before
    (row,) = read_recordings(workspace)
    with stage.open_booth(workspace):
        pass
    assert {one.clip: one.id for one in read_rows(listing, UtteranceRow)}[clip] == row.id


def test_a_take_has_the_language_of_its_sentence(workspace: Workspace, stage: SimpleNamespace, tmp_path: Path) -> None:
    listing = workspace.manifests / "utterances.jsonl"
    first, *others = read_rows(listing, UtteranceRow)
    write_rows(listing, [msgspec.structs.replace(first, language="zh", text="切胡萝卜"), *others])
    booth = Booth(workspace, CLASSES)  # --language is en
    shown = {line["clip"]: line["language"] for line in booth.state()["lines"]}
    assert shown == {first.clip: "zh", **{row.clip: "en" for row in others}}
    voice = booth.consents.admit("Ann", agreed=True)
    said = {first.clip: "切胡萝卜", **{row.clip: row.text for row in others}}
    rows = [booth.keep(clip, voice, said[clip], stage.wav_bytes(tmp_path, number)) for number, clip in enumerate(shown)]
    assert {row.utterance.clip: row.utterance.language for row in rows} == shown


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("J’accepte.".encode("cp1252"), "not text in UTF-8"),
        (b" \n", "The consent text is empty"),
        (None, "There is no such file"),
    ],
)
def test_a_consent_text_that_cannot_be_read_is_refused(
    workspace: Workspace, tmp_path: Path, content: bytes | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dataset_tools.speech.booth.server.serve_booth", lambda *_, **__: pytest.fail("served"))
    consent = tmp_path / "consent.txt"
    if content is not None:
        consent.write_bytes(content)
    ended = CliRunner().invoke(app, ["speech", "record", "-w", str(workspace.root), "--consent", str(consent)])
    assert ended.exit_code == 2
    assert said in ended.output
    assert "next:" in ended.output


def raw_answer(host: str, port: int, content: bytes) -> bytes:
    """What comes back on a plain connection."""
    with socket.create_connection((host, port), timeout=20) as connection:
        connection.sendall(content)
        said = b""
        with suppress(ConnectionResetError):
            while part := connection.recv(65536):
                said += part
        return said


def wav_of_rate(rate_hz: int) -> bytes:
    layout = struct.pack("<HHIIHH", 1, 1, rate_hz, 2 * rate_hz % 2**32, 2, 16)
    body = b"WAVEfmt " + struct.pack("<I", 16) + layout + b"data" + struct.pack("<I", 4000) + bytes(4000)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def test_whatever_is_sent_is_answered_in_order_and_nothing_is_given_away(
    workspace: Workspace, stage: SimpleNamespace, tmp_path: Path
) -> None:
    with stage.open_booth(workspace) as address:
        parts = urlsplit(address)
        host, port, secret = str(parts.hostname), parts.port, parts.path.strip("/")
        assert port is not None
        clip = next(read_rows(workspace.manifests / "clips.jsonl", ClipRow)).id

        def post(where: str, body: bytes, *headers: str) -> bytes:
            lines = [f"POST /{secret}/api/{where} HTTP/1.1", "Host: localhost", "Connection: close", *headers]
            lines.append(f"Content-Length: {len(body)}")
            return raw_answer(host, port, ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body)

        said = f"clip={clip}&voice=ann&sentence=I%20cut%20the%20carrot."
        plain = "Content-Type: application/json"
        speaker = b'{"name": "Ann", "agreed": true}'
        sent = {
            "no path": (
                404,
                raw_answer(host, port, b"OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
            ),
            "connect": (
                404,
                raw_answer(host, port, b"CONNECT a:1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
            ),
            "a strange secret": (
                404,
                raw_answer(host, port, b"GET /%ff%ed%a0%80/ HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            ),
            "no HTTP": (400, raw_answer(host, port, f"GET /{secret}/ nonsense\r\n\r\n".encode())),
            "a long header": (400, raw_answer(host, port, b"GET / HTTP/1.1\r\nA: " + b"a" * 20_000 + b"\r\n\r\n")),
            "expects": (417, post("check", b"x", "Expect: tea")),
            "a number": (400, post("speakers", b'{"name": 7, "agreed": true}', plain)),
            "an object": (400, post("speakers", b'{"name": {"a": 1}, "agreed": true}', plain)),
            "a list": (400, post("speakers", b"[1]", plain)),
            "yes": (400, post("speakers", b'{"name": "Ann", "agreed": "yes"}', plain)),
            "half a character": (400, post("speakers", b'{"name": "\\ud800", "agreed": true}', plain)),
            "no UTF-8": (400, post("speakers", b'{"name": "\xff", "agreed": true}', plain)),
            "deep": (400, post("speakers", b'{"name":' + b"[" * 200_000, plain)),
            "deep beside": (400, post("speakers", b'{"x":' + b"[" * 200_000, plain)),
            "a charset": (400, post("speakers", speaker, plain + "; charset=klingon")),
            "no gzip": (400, post("speakers", b"no gzip", plain, "Content-Encoding: gzip")),
            "not admitted": (409, post(f"takes?clip={clip}&voice=ann", b"x")),
            "too large": (413, post("check", bytes(MOST_BYTES + 1))),
            "right": (200, post("speakers", speaker, plain)),
            "rate 0": (200, post("check", wav_of_rate(0))),
            "rate 2^32-1": (200, post("check", wav_of_rate(2**32 - 1))),
            "no sound": (409, post(f"takes?{said}", b"no sound")),
            "keep rate 0": (409, post(f"takes?{said}", wav_of_rate(0))),
            "half a character in a sentence": (409, post(f"takes?{said}%ED%A0%80%ff%", b"x")),
            "unknown": (404, post("nothing", b"x")),
        }
        for name, (status, answer) in sent.items():
            assert answer.split(b" ")[1] == str(status).encode(), (name, answer[:300])
            assert b"aiohttp" not in answer, name
            assert b"Python" not in answer, name
            assert str(workspace.root).encode() not in answer, name
            assert b"tmp" not in answer, name
            assert secret.encode() not in answer, name
            assert b"X-Content-Type-Options: nosniff" in answer, name
    consents = (workspace.recordings / "consents.jsonl").read_text().splitlines()
    assert ['"name":"Ann"' in line for line in consents] == [True]
    assert read_recordings(workspace) == []


def quiet_lines(place: Workspace) -> list[str]:
    """What the command says while strangers send nonsense, with the secret in it."""
    command = [str(Path(sys.executable).with_name("fmn-data")), "speech", "record", "-w", str(place.root)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "COLUMNS": "400"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        said = []
        while "is open" not in (said or [""])[-1]:
            said.append(process.stdout.readline())
            assert said[-1], said
        parts = urlsplit(next(word for word in said[-1].split() if "://" in word))
        assert parts.hostname is not None
        assert parts.port is not None
        for _ in range(30):
            raw_answer(parts.hostname, parts.port, f"GET {parts.path} nonsense\r\n\r\n".encode())
            raw_answer(parts.hostname, parts.port, b"\x16\x03\x01\r\n\r\n")
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
        assert process.wait(timeout=60) == 0
    return [line for line in rest.splitlines() if parts.path.strip("/") in line or "Error" in line or "rror " in line]


def test_nonsense_of_strangers_is_not_written_on_the_terminal(workspace: Workspace) -> None:
    assert quiet_lines(workspace) == []
