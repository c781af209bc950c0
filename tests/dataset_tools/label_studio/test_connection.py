"""Addresses, keys, and servers that are not Label Studio, or ill. The real server's refusals: test_push_and_pull.py."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from dataset_tools.core.errors import InputError, StoppedError, ToolkitError
from dataset_tools.label_studio import connection
from dataset_tools.label_studio.connection import body_text, connect, list_tasks, server_name
from dataset_tools.label_studio.server import _get

KEY = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def web_server(status: int, content_type: str, body: bytes) -> Iterator[str]:
    """A server that answers everything in one way."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Set-Cookie", "sessionid=secret")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def failure(url: str, key: str = KEY) -> ToolkitError:
    with pytest.raises(ToolkitError) as raised, connect(url, key):
        raise AssertionError("it answered")
    assert KEY not in str(raised.value)
    assert "secret" not in str(raised.value)
    return raised.value


@pytest.mark.parametrize(
    ("status", "content_type", "body"),
    [
        (200, "text/html", b"<html>a shop</html>"),
        (200, "application/json", b'{"service": "something else"}'),
        (200, "application/json", b"[]"),
        (404, "text/html", b"<h1>Not found</h1>"),
    ],
)
def test_another_server_is_told_apart(
    monkeypatch: pytest.MonkeyPatch, status: int, content_type: str, body: bytes
) -> None:
    for name in ("http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # of a company or a cluster; it does not lead to this machine
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
    with web_server(status, content_type, body) as url:
        error = failure(url)
        if status == 200:
            assert _get(url) == body
    assert isinstance(error, InputError)
    assert error.found == "The server at this address is not Label Studio"
    assert error.where == url


def test_a_server_that_fails_can_be_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("label_studio_sdk.core.http_client.INITIAL_RETRY_DELAY_SECONDS", 0.01)
    with web_server(503, "text/html", b"<h1>restarting</h1>") as url:
        error = failure(url)
    assert isinstance(error, StoppedError)
    assert "503" in error.found


def test_a_server_that_is_down_can_be_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("label_studio_sdk.core.http_client.INITIAL_RETRY_DELAY_SECONDS", 0.01)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        error = failure(f"http://127.0.0.1:{probe.getsockname()[1]}")
    assert isinstance(error, StoppedError)
    assert "The server cannot be reached" in error.found


def test_a_server_that_never_answers_can_be_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_FIRST_ANSWER_TIMEOUT_S", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        error = failure(f"http://127.0.0.1:{silent.getsockname()[1]}")
    assert isinstance(error, StoppedError)
    assert "did not respond in time" in error.found


@pytest.mark.parametrize("url", ["", "127.0.0.1:8080", "ftp://127.0.0.1", "http://", "http://host:port"])
def test_what_is_no_address_is_refused(url: str) -> None:
    assert "not the address of a server" in failure(url).found


@pytest.mark.parametrize("key", ["", "  ", "kéy", "two\nlines"])
def test_what_is_no_key_is_refused(key: str) -> None:
    error = failure("http://127.0.0.1:1", key)
    assert isinstance(error, InputError)
    assert error.where == "LABEL_STUDIO_API_KEY"


def test_one_server_has_one_name() -> None:
    names = {
        server_name(url)
        for url in ("http://localhost:8080/", "http://127.0.0.1:8080", "http://LOCALHOST:8080", " http://[::1]:8080")
    }
    assert names == {"http://127.0.0.1:8080"}
    assert server_name("https://Label.Example.org/studio/") == "https://label.example.org/studio"


def test_what_a_server_said_becomes_a_line() -> None:
    body = {"detail": "Validation error", "validation_errors": {"title": ["Too short.", "Too plain."], "x": "y"}}
    assert body_text(body) == "Too short. Too plain.; y"
    assert body_text({"detail": "Invalid token."}) == "Invalid token."


@pytest.mark.parametrize(("page_size", "asked"), [(2, [1, 2, 3]), (4, [1]), (5, [1])])
def test_no_page_of_tasks_is_requested_after_one_that_has_all(page_size: int, asked: list[int]) -> None:
    sdk = pytest.importorskip("label_studio_sdk")
    pages = []

    def answer(request: httpx.Request) -> httpx.Response:
        pages.append(int(request.url.params["page"]))
        tasks = [{"id": number} for number in range(4)][page_size * (pages[-1] - 1) : page_size * pages[-1]]
        return httpx.Response(200 if tasks else 404, content=json.dumps({"tasks": tasks, "total": 4}))

    with httpx.Client(transport=httpx.MockTransport(answer)) as connections:
        client = sdk.LabelStudio(base_url="http://127.0.0.1", api_key=KEY, httpx_client=connections)
        assert [task.id for task in list_tasks(client, project=1, page_size=page_size)] == [0, 1, 2, 3]
    assert pages == asked
