"""Web application guarded by a secret in its URL, shared by all local pages; `web_server` serves it."""

from __future__ import annotations

import hmac
import ipaddress
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec
from aiohttp import web

from dataset_tools.core.errors import ToolkitError
from dataset_tools.core.web_connections import HEADERS, Connection

_T = TypeVar("_T")
MICROPHONE = Path(__file__).with_name("microphone.js")
"""Script with the class ``Microphone``, for pages that record."""
_CONTENT_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


def guarded_application(token: str, routes: Iterable[web.RouteDef], *, most_bytes: int) -> web.Application:
    """Creates an aiohttp application that responds with 404 to requests without the secret.

    The toolkit's errors become responses with status 409, without ``where``, which may be a path of this machine.

    Args:
        token: the secret.
        routes: all below ``/{token}/``; the whole body has been read when a handler is called.
        most_bytes: size limit of a request body.
    """
    app = web.Application(client_max_size=most_bytes, middlewares=[_guard(token, most_bytes)])
    app.add_routes(routes)
    app.on_response_prepare.append(_add_headers)
    return app


def file_response(path: Path | None) -> web.StreamResponse:
    """Responds with a file, or with the byte range that the browser requests.

    Raises:
        web.HTTPNotFound: there is no such file.
    """
    if path is None or not path.is_file():
        raise web.HTTPNotFound
    return web.FileResponse(path)


def page_routes(files: Mapping[str, Path]) -> list[web.RouteDef]:
    """Routes of the files of a page, by their names below ``/{token}/``; the name of the page itself is empty."""

    def route(name: str, path: Path) -> web.RouteDef:
        async def answer(_: web.Request) -> web.StreamResponse:
            kind = _CONTENT_TYPES[path.suffix]
            return web.Response(body=path.read_bytes(), content_type=kind, charset="utf-8")

        return web.get(f"/{{token}}/{name}", answer)

    return [route(name, path) for name, path in files.items()]


def is_loopback(host: str) -> bool:
    """Whether an address or name is a loopback address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def json_body(request: web.Request, kind: type[_T]) -> _T:
    """Decodes the body to a msgspec type, strictly: a number is not accepted as a string.

    Raises:
        web.HTTPBadRequest: the body is not of that type.
    """
    try:
        return msgspec.json.decode(await request.read(), type=kind)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise web.HTTPBadRequest from error


def _guard(token: str, most_bytes: int) -> Any:
    @web.middleware
    async def guard(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        given = [*request.path.split("/"), ""][1]  # OPTIONS * and CONNECT have no path
        if not hmac.compare_digest(given.encode(errors="replace"), token.encode()):
            answer = web.Response(status=404, text="404: Not Found")
            answer.force_close()
            return answer
        if not _has_trusted_host(request):
            return web.Response(status=421, text="421: open the page at the address that the command printed")
        if isinstance(request.protocol, Connection):
            request.protocol.admit()
        await _read(request, most_bytes)
        try:
            return await handler(request)
        except ToolkitError as error:
            fields = {name: text for name, text in error.as_dict().items() if name != "where"}
            return web.json_response(fields, status=409)
        except web.HTTPException:
            raise
        except Exception as error:  # a server error: one line for the owner, no details for the page
            print(f"An answer failed: {type(error).__name__}: {str(error)[:300]!r}", file=sys.stderr)
            return web.json_response({"found": "Something went wrong on the server"}, status=500)

    return guard


def _has_trusted_host(request: web.Request) -> bool:
    """Whether the Host header is a loopback name if the server listens on loopback, against DNS rebinding."""
    local = request.transport.get_extra_info("sockname") if request.transport is not None else None
    host = urlsplit(f"//{request.host}").hostname or ""
    return not (local and is_loopback(local[0])) or is_loopback(host)


async def _read(request: web.Request, most_bytes: int) -> None:
    """Reads the body before the handler is called.

    Raises:
        web.HTTPException: it is too large, compressed, in an encoding other than UTF-8, or incomplete.
    """
    if (request.content_length or 0) > most_bytes:
        raise web.HTTPRequestEntityTooLarge(most_bytes, request.content_length or 0)
    if "Content-Encoding" in request.headers or (request.charset or "utf-8").lower() not in ("utf-8", "utf8"):
        raise web.HTTPBadRequest
    try:
        await request.read()
    except web.RequestPayloadError as error:
        raise web.HTTPBadRequest from error


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)
