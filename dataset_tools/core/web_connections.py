"""Connection limits of the web server, against clients that block others.

A connection must begin a first request with the secret within `WAIT_S`, and the number of connections that have not
done so is limited: a new one replaces the oldest. So clients that know the secret are served, however many connections
others hold open.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from contextlib import suppress
from typing import Any

from aiohttp import web

WAIT_S = 10.0
"""Timeout from the connection to the end of the first request header, including TLS."""
REQUEST_S = 120.0
"""Timeout from the end of a request header to the end of the response; an upload of 8 MiB needs 0.6 Mbit/s."""
IDLE_S = 20.0
"""Timeout between two requests (keep-alive)."""
MOST_WAITING_PER_HOST = 32
MOST_CONNECTIONS = 256

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self'; media-src 'self' blob:; style-src 'self' 'unsafe-inline'; "
    "script-src 'self' blob:; worker-src 'self' blob:; frame-ancestors 'none'",
    "Permissions-Policy": "microphone=(self)",
    "Referrer-Policy": "no-referrer",
    "Server": "fmn-toolkit",  # otherwise aiohttp names its version
    "X-Content-Type-Options": "nosniff",
}

QUIET = logging.getLogger("dataset_tools.web")  # strangers could fill a log
QUIET.addHandler(logging.NullHandler())
QUIET.propagate = False


async def accept_connections(runner: web.AppRunner, listening: socket.socket, context: ssl.SSLContext | None) -> None:
    """Accepts connections to an application until it is cancelled.

    Args:
        runner: runner of the application, already set up.
        listening: a listening socket.
        context: TLS context; None for plain HTTP.
    """
    listening.setblocking(False)
    loop = asyncio.get_running_loop()
    connections = _Connections(runner)
    beginning: set[asyncio.Task[None]] = set()
    while True:
        try:
            accepted, peer = await loop.sock_accept(listening)
        except OSError:  # no file descriptor is free, or the peer has disconnected
            await asyncio.sleep(0.1)
            continue
        if connections.room_for(peer[0]):
            connection = Connection(connections, accepted, peer[0])
            connections.open[connection] = None
            task = loop.create_task(_begin(connection, accepted, context))
            beginning.add(task)
            task.add_done_callback(beginning.discard)
        else:
            accepted.close()
        await asyncio.sleep(0)  # a flood of connections must not starve the others


class Connection(web.RequestHandler):
    """One connection, from its acceptance (before TLS) to its end."""

    def __init__(self, connections: _Connections, accepted: socket.socket, host: str) -> None:
        loop = asyncio.get_running_loop()
        no_log: Any = None
        super().__init__(
            connections.server,
            loop=loop,
            logger=QUIET,
            access_log=no_log,
            keepalive_timeout=IDLE_S,
            lingering_time=2.0,
            auto_decompress=False,
        )
        self.host = host
        self.waits = True
        self._accepted = accepted
        self._connections = connections
        self._deadline = loop.call_later(WAIT_S, self.drop)

    def admit(self) -> None:
        """Records that a request with the secret has begun, and sets its deadline."""
        self.waits = False
        self._deadline.cancel()
        self._deadline = asyncio.get_running_loop().call_later(REQUEST_S, self.drop)

    def drop(self) -> None:
        """Aborts the connection."""
        self.release()
        if self.transport is not None:
            self.transport.abort()
        else:  # during the handshake, which this aborts
            with suppress(OSError):
                self._accepted.shutdown(socket.SHUT_RDWR)

    def release(self) -> None:
        """Stops counting the connection as open."""
        self._deadline.cancel()
        self._connections.open.pop(self, None)

    def connection_lost(self, exc: BaseException | None) -> None:
        self.release()
        super().connection_lost(exc)

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """Responds to malformed HTTP; aiohttp's own response would quote it, and log a traceback."""
        answer = web.Response(status=status, text=f"{status}\n", headers=HEADERS)
        answer.force_close()
        return answer


class _Connections:
    """All connections of a server."""

    def __init__(self, runner: web.AppRunner) -> None:
        assert runner.server is not None
        self.server = runner.server
        self.open: dict[Connection, None] = {}  # the oldest first
        self._most = min(MOST_CONNECTIONS, _file_limit() // 4)

    def room_for(self, host: str) -> bool:
        """Whether one more can be accepted; if necessary, drops the oldest one that has not sent the secret."""
        waiting = [one for one in self.open if one.waits]
        of_host = [one for one in waiting if one.host == host]
        if len(of_host) >= MOST_WAITING_PER_HOST:
            of_host[0].drop()
        elif len(self.open) >= self._most:
            if not waiting:
                return False
            waiting[0].drop()
        return True


async def _begin(connection: Connection, accepted: socket.socket, context: ssl.SSLContext | None) -> None:
    timeout_s = WAIT_S if context is not None else None
    try:
        await asyncio.get_running_loop().connect_accepted_socket(
            lambda: connection, accepted, ssl=context, ssl_handshake_timeout=timeout_s
        )
    except OSError:  # TLS failed, or the peer has disconnected
        connection.release()
        accepted.close()


def _file_limit() -> int:
    try:
        import resource
    except ImportError:  # Windows
        return 4 * MOST_CONNECTIONS
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 4 * MOST_CONNECTIONS if soft == resource.RLIM_INFINITY else int(soft)
