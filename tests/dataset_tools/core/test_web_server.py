"""The web server: where it listens, and who gets in."""

from __future__ import annotations

import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from select import select
from typing import Any
from urllib.error import HTTPError
from urllib.parse import SplitResult, urlsplit
from urllib.request import Request, urlopen

import pytest

from dataset_tools.core import web_server
from dataset_tools.core.errors import InputError
from dataset_tools.core.web_connections import MOST_WAITING_PER_HOST
from dataset_tools.core.web_server import Address


def test_a_read_only_disk_does_not_stop_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="made with a secret"):
        web_server.serve(_refusing, Address(), tmp_path / "file" / "address", print)


def _refusing(token: str) -> Any:
    raise InputError("made with a secret" if token else "made without")


def test_beyond_this_machine_it_needs_a_certificate(tmp_path: Path) -> None:
    assert Address().context() is None
    assert Address(host="localhost").context() is None
    for host in ("0.0.0.0", "192.168.1.5", "::", "example.org"):
        with pytest.raises(InputError, match="there is no certificate"):
            Address(host=host).context()
    with pytest.raises(InputError, match="private key, but no certificate"):  # it would be served without TLS
        Address(key=tmp_path / "key.pem").context()
    (tmp_path / "cert.pem").write_text("nonsense")
    with pytest.raises(InputError, match="certificate cannot be used"):
        Address("0.0.0.0", 0, tmp_path / "cert.pem", tmp_path / "key.pem").context()


SLOW_STARTS = (b"", b"GET / HTTP/1.1\r\nHost: a\r\n", b"\x16\x03\x01")
SERVER = """
import resource, sys
from pathlib import Path
from aiohttp import web
from dataset_tools.core import web_connections
from dataset_tools.core.web_application import guarded_application
from dataset_tools.core.web_server import Address, serve
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
web_connections.WAIT_S = float(sys.argv[2])
web_connections.REQUEST_S = 2 * float(sys.argv[2])
async def length(request):
    return web.json_response(len(await request.read()))
async def fails(request):
    raise KeyError("/a/path/of/the/server")
def app(token):
    return guarded_application(token, [web.post("/{token}/", length), web.get("/{token}/", fails)], most_bytes=2**20)
certificate = Path(sys.argv[3]) if len(sys.argv) > 3 else None
serve(app, Address("127.0.0.1", 0, certificate, certificate), Path(sys.argv[1]), lambda url: print(url, flush=True))
"""


@contextmanager
def running(
    kept: Path, *, wait_s: float = 10.0, certificate: Path | None = None, end: signal.Signals = signal.SIGINT
) -> Iterator[tuple[SplitResult, list[str]]]:
    """A server of 256 files at most; its address, and (afterwards) the lines that it wrote."""
    command = [sys.executable, "-c", SERVER, str(kept), str(wait_s), *([str(certificate)] if certificate else [])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        said: list[str] = []
        try:
            yield urlsplit(process.stdout.readline().strip()), said
        finally:
            process.send_signal(end)
            said += process.stdout.read().splitlines()
            assert process.wait(timeout=30) == 0


def connected(address: SplitResult) -> socket.socket:
    assert address.port is not None
    return socket.create_connection((str(address.hostname), address.port), timeout=30)


def posted(address: SplitResult, body: bytes = b"12345", context: ssl.SSLContext | None = None) -> bytes:
    request = Request(address.geturl(), data=body, method="POST")
    with urlopen(request, timeout=20, context=context) as answer:
        content: bytes = answer.read()
        return content


def ended(connection: socket.socket, within_s: float) -> bool:
    """Whether the other side ends a connection, in time."""
    connection.settimeout(within_s)
    try:
        while connection.recv(65536):
            pass
    except TimeoutError:
        return False
    except OSError:
        return True
    return True


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    path = tmp_path / "both.pem"
    made = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=a", "-keyout", path)
    done = subprocess.run([*made, "-out", tmp_path / "certificate.pem"], check=True, capture_output=True)
    assert done.returncode == 0
    path.write_text(path.read_text() + (tmp_path / "certificate.pem").read_text())
    return path


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
def test_hundreds_of_slow_connections_keep_nobody_out(tmp_path: Path, certificate: Path, tls: bool) -> None:
    trusted = ssl.create_default_context(cafile=str(certificate)) if tls else None
    if trusted is not None:
        trusted.check_hostname = False
    waited_s = 60.0  # for a slow connection
    with running(tmp_path / "kept", wait_s=waited_s, certificate=certificate if tls else None) as (address, said):
        slow = []
        for number in range(400):  # more than the server may have files
            slow.append(connected(address))
            slow[-1].sendall(SLOW_STARTS[number % len(SLOW_STARTS)])
            if number % 50 == 49:
                began = time.monotonic()
                assert posted(address, context=trusted) == b"5"
                assert time.monotonic() - began < waited_s / 2
        left = [connection for connection in slow if not ended(connection, 0.01)]
        assert len(left) <= MOST_WAITING_PER_HOST  # the others were ended to make room
        for connection in slow:
            connection.close()
    assert said == []


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
def test_a_request_that_does_not_come_is_waited_for_so_long_only(tmp_path: Path, certificate: Path, tls: bool) -> None:
    with running(tmp_path / "kept", wait_s=1.0, certificate=certificate if tls else None) as (address, said):
        began = time.monotonic()
        slow = [connected(address) for _ in range(2)]
        slow[1].sendall(SLOW_STARTS[2 if tls else 1])
        select(slow, [], [], 20)  # until the first one is ended
        assert time.monotonic() - began > 0.99
        assert all(ended(connection, 20) for connection in slow)
        for connection in slow:
            connection.close()
    assert said == []


def test_nobody_is_kept_out_by_those_who_know_the_secret_and_dawdle(tmp_path: Path) -> None:
    with running(tmp_path / "kept", wait_s=1.0) as (address, said):
        header = f"POST {address.path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n".encode()
        began, uploads = time.monotonic(), []
        for _ in range(30):
            uploads.append(connected(address))
            uploads[-1].sendall(header + b"slow")
        assert posted(address) == b"5"
        select(uploads, [], [], 20)  # until the first one is ended
        assert time.monotonic() - began > 1.99  # more time than for a header,
        assert all(ended(connection, 20) for connection in uploads)  # but not for ever
        for connection in uploads:
            connection.close()
    assert said == []


def test_those_who_are_in_are_not_put_out_for_those_who_wait(tmp_path: Path) -> None:
    with running(tmp_path / "kept") as (address, _), connected(address) as upload:
        upload.sendall(f"POST {address.path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n12345".encode())
        slow = [connected(address) for _ in range(150)]
        time.sleep(0.5)
        upload.sendall(b"67890")
        assert upload.recv(65536).startswith(b"HTTP/1.1 200")
        for connection in slow:
            connection.close()


def test_secret_and_port_stay_and_are_the_owners(tmp_path: Path) -> None:
    kept = tmp_path / "folder" / "kept"
    with running(kept) as (first, _):
        assert len(first.path) > 30
        with pytest.raises(HTTPError, match="404"):
            posted(first._replace(path="/wrong/"))
    assert kept.stat().st_mode & 0o777 == 0o600
    with running(kept, end=signal.SIGHUP) as (second, _):
        assert second == first
        with running(kept) as (third, _):  # the port is taken
            assert (third.path, third.port != first.port) == (first.path, True)
    kept.unlink()
    with running(kept) as (fourth, _):
        assert fourth.path != first.path
    kept.write_text("x 1")  # too short to be a secret
    with running(kept) as (fifth, _):
        assert len(fifth.path) > 30


def test_two_servers_that_start_at_the_same_time_keep_a_whole_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the other one wrote at the worst moment: between any two steps of this one."""
    kept, touch = tmp_path / "kept", Path.touch

    def meanwhile(path: Path, **options: Any) -> None:
        monkeypatch.setattr(Path, "touch", touch)
        web_server._keep(kept, "b" * 32, 2)
        touch(path, **options)
        assert web_server._read_kept(kept) == ("b" * 32, 2)

    monkeypatch.setattr(Path, "touch", meanwhile)
    web_server._keep(kept, "a" * 32, 1)
    assert web_server._read_kept(kept) == ("a" * 32, 1)
    assert (kept.stat().st_mode & 0o777, list(tmp_path.iterdir())) == (0o600, [kept])


def test_what_fails_unforeseen_is_one_line_for_the_owner_and_nothing_for_the_page(tmp_path: Path) -> None:
    with running(tmp_path / "kept") as (address, said):
        with pytest.raises(HTTPError, match="500") as caught:
            urlopen(address.geturl(), timeout=20)
        assert b"path" not in caught.value.read()
    assert said == ["An answer failed: KeyError: \"'/a/path/of/the/server'\""]
