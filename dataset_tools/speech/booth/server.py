"""The recording booth: a small web server on this machine, for people who speak the descriptions into a microphone.

Everything lies under an address with a secret in it. A browser gives a microphone to pages of this machine, or to pages
over TLS, only: so another address than loopback needs a certificate.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import secrets
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from dataset_tools.core.errors import InputError, ToolkitError
from dataset_tools.manifests import resolve
from dataset_tools.speech.booth.sessions import Booth, as_json

MOST_BYTES = 8 * 2**20
"""Of an upload: half a minute at 96 kHz, 16 bits, and something to spare."""

_PAGE = Path(__file__).parent
_FILES = {"": ("booth.html", "text/html"), "booth.js": ("booth.js", "text/javascript")}
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self'; media-src 'self' blob:; style-src 'self' 'unsafe-inline'; "
    "script-src 'self' blob:; worker-src 'self' blob:; frame-ancestors 'none'",
    "Permissions-Policy": "microphone=(self)",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True)
class Address:
    """Where the booth listens.

    Attributes:
        host: a name or address of this machine. port: 0 takes a free one.
        certificate, key: PEM files; without them only loopback is served.
    """

    host: str = "127.0.0.1"
    port: int = 0
    certificate: Path | None = None
    key: Path | None = None

    def context(self) -> ssl.SSLContext | None:
        """For TLS; None without a certificate.

        Raises:
            InputError: the host can be reached from elsewhere and there is no certificate, or it cannot be read.
        """
        if self.certificate is None:
            if not _is_loopback(self.host):
                raise InputError(
                    f"The host {self.host} can be reached from other machines, and there is no certificate",
                    where="--host",
                    expected="127.0.0.1, or a certificate: browsers give no microphone to pages without TLS",
                    next_step="give --cert FILE.pem --key FILE.pem, or leave out --host",
                )
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as error:
            raise InputError(
                f"The certificate cannot be used: {error}",
                where=self.certificate,
                expected="a certificate and its private key as PEM files",
                next_step="check --cert and --key",
            ) from error
        return context


def serve_booth(booth: Booth, address: Address, *, announce: Callable[[str], None], token: str | None = None) -> None:
    """Serves the booth until it is interrupted.

    Args:
        booth: what to record.
        address: where to listen.
        announce: is told the page's address, with its secret.
        token: the secret; a new one by default.

    Raises:
        InputError: the address cannot be used.
    """
    context = address.context()
    token = token or secrets.token_urlsafe(24)
    try:
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        listening = socket.create_server((address.host, address.port), family=family)
    except OSError as error:
        raise InputError(
            f"The address cannot be used: {error.strerror}",
            where=f"{address.host}:{address.port}",
            expected="an address of this machine, and a free port",
            next_step="choose another --port, or leave it out",
        ) from error
    port = listening.getsockname()[1]
    host = _reachable(address.host)
    host = f"[{host}]" if ":" in host else host
    announce(f"{'http' if context is None else 'https'}://{host}:{port}/{token}/")
    web.run_app(make_app(booth, token), sock=listening, ssl_context=context, print=None, access_log=None)


def make_app(booth: Booth, token: str) -> web.Application:
    """The booth as an aiohttp application; everything lies under ``/<token>/``."""
    page = _Page(booth)
    app = web.Application(client_max_size=MOST_BYTES, middlewares=[_guarded(token)])
    app.add_routes(
        [
            web.get("/{token}/{file:(booth\\.js)?}", page.file),
            web.get("/{token}/api/state", page.state),
            web.get("/{token}/clips/{clip}", page.clip),
            web.post("/{token}/api/speakers", page.speaker),
            web.post("/{token}/api/check", page.check),
            web.post("/{token}/api/takes", page.take),
        ]
    )
    return app


class _Page:
    """The handlers. What a client names is looked up among what there is; no path is made of it."""

    def __init__(self, booth: Booth) -> None:
        self._booth = booth
        self._writing = asyncio.Lock()

    async def file(self, request: web.Request) -> web.StreamResponse:
        name, kind = _FILES[request.match_info["file"]]
        return web.Response(body=(_PAGE / name).read_bytes(), content_type=kind, charset="utf-8")

    async def state(self, request: web.Request) -> web.StreamResponse:
        voice = request.query.get("voice", "")
        state = await asyncio.to_thread(self._booth.state)
        return web.json_response({**state, "admitted": self._booth.is_admitted(voice)})

    async def clip(self, request: web.Request) -> web.StreamResponse:
        clip = self._booth.clips.get(request.match_info["clip"])
        if clip is None:
            raise web.HTTPNotFound
        return web.FileResponse(resolve(self._booth.workspace.root, clip.path))

    async def speaker(self, request: web.Request) -> web.StreamResponse:
        given = await _json(request)
        async with self._writing:
            voice = await asyncio.to_thread(
                self._booth.admit, str(given.get("name", "")), agreed=given.get("agreed") is True
            )
        return web.json_response({"voice": voice})

    async def check(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(as_json(await asyncio.to_thread(self._booth.check, await request.read())))

    async def take(self, request: web.Request) -> web.StreamResponse:
        clip, voice = request.query.get("clip", ""), request.query.get("voice", "")
        if clip not in self._booth.lines:
            raise web.HTTPNotFound
        if not self._booth.is_admitted(voice):
            raise web.HTTPForbidden
        sound = await request.read()
        async with self._writing:
            row = await asyncio.to_thread(self._booth.keep, clip, voice, sound)
        return web.json_response({"id": row.id, "take": row.take, "warnings": row.utterance.quality["warnings"]})


async def _json(request: web.Request) -> dict[str, Any]:
    try:
        given = await request.json()
    except ValueError as error:
        raise web.HTTPBadRequest from error
    if not isinstance(given, dict):
        raise web.HTTPBadRequest
    return given


def _guarded(token: str) -> Any:
    """Nothing without the secret; the toolkit's errors as sentences; headers that keep the page to itself."""

    @web.middleware
    async def guard(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        given = request.path.split("/")[1]
        try:
            if not hmac.compare_digest(given.encode(), token.encode()):
                raise web.HTTPNotFound
            response = await handler(request)
        except ToolkitError as error:
            response = web.json_response(error.as_dict(), status=409)
        except web.HTTPException as error:
            error.headers.update(_HEADERS)
            raise
        response.headers.update(_HEADERS)
        return response

    return guard


def _reachable(host: str) -> str:
    """Where others find a booth that listens at ``host``; 0.0.0.0 and :: are all addresses of this machine."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if not address.is_unspecified:
        return host
    family, anywhere = (socket.AF_INET, "192.0.2.1") if address.version == 4 else (socket.AF_INET6, "2001:db8::1")
    with socket.socket(family, socket.SOCK_DGRAM) as asking:
        try:
            asking.connect((anywhere, 9))  # sends nothing: it only chooses the address that the machine would use
            return str(asking.getsockname()[0])
        except OSError:
            return socket.gethostname()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
