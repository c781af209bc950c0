"""Local web server: address, TLS, and the secret in its URL."""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import signal
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from dataset_tools.core.errors import InputError
from dataset_tools.core.files import partial_folder
from dataset_tools.core.web_application import is_loopback
from dataset_tools.core.web_connections import QUIET, accept_connections


@dataclass(frozen=True)
class Address:
    """Address that a server listens on.

    Attributes:
        host: a name or address of this machine. port: 0 selects a free one.
        certificate, key: PEM files; without them only loopback is served.
    """

    host: str = "127.0.0.1"
    port: int = 0
    certificate: Path | None = None
    key: Path | None = None

    def context(self) -> ssl.SSLContext | None:
        """TLS context; None without a certificate.

        Raises:
            InputError: other machines can reach the host or there is a key and there is no certificate, or it cannot be
                read.
        """
        if self.certificate is None and self.key is not None:
            raise InputError(
                "There is a private key, but no certificate",
                where="--key",
                expected="both, or neither: the page would be served without TLS",
                next_step="add --cert FILE.pem, or leave out --key",
            )
        if self.certificate is None:
            if not is_loopback(self.host):
                raise InputError(
                    f"The host {self.host} can be reached from other machines, but there is no certificate",
                    where="--host",
                    expected="127.0.0.1, or a certificate: browsers deny the microphone to pages without TLS",
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

    def listen(self, *, preferred_port: int = 0) -> socket.socket:
        """Opens a listening socket; if ``port`` is 0, on the preferred port if that is free.

        Raises:
            InputError: the address cannot be used.
        """
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        if self.port == 0 and preferred_port:
            with suppress(OSError):
                return socket.create_server((self.host, preferred_port), family=family)
        try:
            return socket.create_server((self.host, self.port), family=family)
        except OSError as error:
            raise InputError(
                f"The address cannot be used: {error.strerror}",
                where=f"{self.host}:{self.port}",
                expected="an address of this machine, and a free port",
                next_step="choose another --port, or leave it out",
            ) from error

    def url(self, port: int, token: str) -> str:
        """URL of the page, as clients reach it."""
        host = _reachable(self.host)
        host = f"[{host}]" if ":" in host else host
        return f"{'http' if self.certificate is None else 'https'}://{host}:{port}/{token}/"


def serve(
    make_app: Callable[[str], web.Application], address: Address, kept: Path, announce: Callable[[str], None]
) -> None:
    """Serves an application until the process is interrupted.

    Args:
        make_app: creates the application for a secret (see `web_application.guarded_application`); called after the
            address was opened, so that one in use is refused before any long preparation.
        address: address to listen on.
        kept: file that keeps secret and port, readable by its owner only, so that open pages reconnect when the server
            is restarted. Without the file, or if it cannot be written, both are new.
        announce: called with the URL of the page, which contains the secret.

    Raises:
        InputError: the address cannot be used.
    """
    context = address.context()
    token, port = _read_kept(kept)
    with address.listen(preferred_port=port) as listening:
        port = listening.getsockname()[1]
        with suppress(OSError):  # on a read-only disk, or a full one
            _keep(kept, token, port)
        asyncio.run(_serve(make_app(token), listening, context, lambda: announce(address.url(port, token))))


def _read_kept(path: Path) -> tuple[str, int]:
    with suppress(OSError, ValueError):
        token, port = path.read_text(encoding="utf-8").split()
        if len(token) >= 32 and token.isascii() and 0 < int(port) < 2**16:
            return token, int(port)
    return secrets.token_urlsafe(24), 0


def _keep(path: Path, token: str, port: int) -> None:
    """Replaces the file at once: another server of the same file may be starting. Only its owner can ever read it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with partial_folder(path.parent) as folder:
        partial = folder / path.name
        partial.touch(mode=0o600)
        partial.write_text(f"{token} {port}\n", encoding="utf-8")
        partial.replace(path)


async def _serve(
    app: web.Application, listening: socket.socket, context: ssl.SSLContext | None, begun: Callable[[], None]
) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, found: QUIET.debug("%s", found.get("message")))
    stopped = asyncio.Event()
    hangup = [] if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else [signal.SIGHUP]  # ignored: by nohup
    for number in (signal.SIGINT, signal.SIGTERM, *hangup):
        with suppress(NotImplementedError):  # on Windows, where asyncio.run ends with KeyboardInterrupt
            loop.add_signal_handler(number, stopped.set)
    runner = web.AppRunner(app, shutdown_timeout=5)
    await runner.setup()
    accepting = loop.create_task(accept_connections(runner, listening, context))
    begun()
    try:
        await stopped.wait()
    finally:
        accepting.cancel()
        listening.close()
        await runner.cleanup()


def _reachable(host: str) -> str:
    """Host at which others reach a server that listens on ``host``; 0.0.0.0 and :: are all addresses of the machine."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if not address.is_unspecified:
        return host
    family, anywhere = (socket.AF_INET, "192.0.2.1") if address.version == 4 else (socket.AF_INET6, "2001:db8::1")
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((anywhere, 9))  # sends nothing, only selects the source address
            return str(probe.getsockname()[0])
        except OSError:
            return socket.gethostname()
