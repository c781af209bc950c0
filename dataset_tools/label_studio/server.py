"""Label Studio server: installation into its own virtual environment, start on this machine only."""

from __future__ import annotations

import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path

from filelock import FileLock

from dataset_tools.core.errors import InputError, StoppedError
from dataset_tools.core.progress import Progress, silent
from dataset_tools.label_studio import until_folder_is_gone
from dataset_tools.label_studio.database_template import copy_template

LABEL_STUDIO_VERSION = "1.23.2"
VENV_ENVIRONMENT = "FMN_LABEL_STUDIO_VENV"
HOST = "127.0.0.1"
_START_LIMIT_S = 300.0
_STOP_LIMIT_S = 15.0
_LOOK_EVERY_S = 5.0
_started_here: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True)
class Account:
    """Credentials of a user: e-mail address, password, and API key (40 hexadecimal digits)."""

    email: str
    password: str = field(repr=False)
    api_key: str = field(repr=False)


def new_account() -> Account:
    """Returns the owner's account with a random password and key."""
    return Account("owner@localhost", secrets.token_urlsafe(12), secrets.token_hex(20))


def server_venv() -> Path:
    """Returns Label Studio's virtual environment: FMN_LABEL_STUDIO_VENV, else one per version in the user's cache."""
    chosen = os.environ.get(VENV_ENVIRONMENT)
    if chosen:
        return Path(chosen)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "fmn-toolkit" / f"label-studio-{LABEL_STUDIO_VERSION}"


def is_installed(venv: Path) -> bool:
    """Whether this version of Label Studio is installed completely: pip installs it last, and writes RECORD last."""
    record = f"lib/python*/site-packages/label_studio-{LABEL_STUDIO_VERSION}.dist-info/RECORD"
    return (venv / "bin" / "label-studio").is_file() and any(venv.glob(record))


def install(venv: Path, progress: Progress = silent) -> None:
    """Installs Label Studio (about 90 seconds, 1 GB) unless it is installed. Safe to call from several processes.

    Raises:
        StoppedError: pip failed; running it again resumes.
    """
    venv.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(venv.with_name(venv.name + ".lock")):
        if is_installed(venv):
            return
        note = f"Label Studio {LABEL_STUDIO_VERSION} → {venv}"
        progress("install", 0, 1, note)
        for command in (
            [sys.executable, "-m", "venv", str(venv)],
            [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", f"label-studio=={LABEL_STUDIO_VERSION}"],
        ):
            code, errors = _run(command, lambda: progress("install", 0, 1, note))
            if code:
                raise StoppedError(
                    f"Label Studio cannot be installed: {' '.join(errors.split()[-40:])}",
                    where=venv,
                    expected="access to a package index, 1 GB of disk",
                    next_step="fix that, then run the same command again",
                )
        progress("install", 1, 1)


def _run(command: list[str], every_second: Callable[[], None]) -> tuple[int, str]:
    """Runs a command, which is killed if this is interrupted; returns its exit code and its error output."""
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            while True:
                with suppress(subprocess.TimeoutExpired):
                    errors = process.communicate(timeout=1)[1]
                    return process.returncode, errors
                every_second()
        except BaseException:
            process.kill()
            raise


@dataclass(frozen=True)
class Server:
    """A server that was started. It outlives the process that started it."""

    url: str
    pid: int

    def is_running(self) -> bool:
        """Whether the process still is this server: another process may have its id since."""
        command = _command_of(self.pid)
        return "label-studio" in command and f" --port {self.url.rpartition(':')[2]} " in f"{command} "

    def stop(self) -> None:
        """Terminates the server and waits until it has exited."""
        for stop_signal in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.kill(self.pid, stop_signal)
            deadline = time.monotonic() + _STOP_LIMIT_S
            while _is_running(self.pid):
                if time.monotonic() > deadline:
                    break
                time.sleep(0.1)
            else:
                return


def start(
    venv: Path,
    data: Path,
    document_root: Path,
    account: Account,
    *,
    port: int | None = None,
    progress: Progress = silent,
) -> Server:
    """Starts a server on the loopback address and waits until it responds.

    It ends by itself when the folder of its data is gone. Starting takes about 40 seconds the first time per
    installation, then about three.

    Args:
        venv: virtual environment of Label Studio.
        data: folder of its database and log; readable by the owner only.
        document_root: folder whose subfolders the server may serve, if a project requests it.
        account: created at the first start.
        port: port to listen on; None: a free one.
        progress: progress callback.

    Raises:
        InputError: the port is in use.
        StoppedError: the server exits or does not respond; the error names the log.
    """
    data = data.absolute()  # Label Studio resolves relative paths against its own folder
    data.mkdir(parents=True, exist_ok=True)
    data.chmod(0o700)
    port = _free_port() if port is None else port
    # If its port is in use, Label Studio would silently move to the next one.
    if not is_free(port):
        raise InputError(
            f"Port {port} is in use",
            where=f"{HOST}:{port}",
            expected="a free port",
            next_step="choose another one with --port, or leave it out",
        )
    url = f"http://{HOST}:{port}"
    environment = _environment(url, data, document_root, account)
    progress("start server", 0, 1, "about 40 s the first time")
    copy_template(venv, LABEL_STUDIO_VERSION, data, environment)
    log = data / "server.log"
    with log.open("ab") as output:
        log.chmod(0o600)
        process = subprocess.Popen(
            [*_program(venv, data), "start", "--no-browser", "--internal-host", HOST, "--port", str(port)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _started_here[process.pid] = process
    server = Server(url, process.pid)
    started = time.monotonic()
    try:
        while not is_healthy(url):
            waited = time.monotonic() - started
            progress("start server", 0, 1, f"{waited:.0f} s")
            if process.poll() is not None or waited > _START_LIMIT_S:
                failure = "exited at once" if process.poll() is not None else "does not respond"
                raise StoppedError(
                    f"Label Studio {failure}: {_last_line(log)}",
                    where=log,
                    next_step="check that log, then run the same command again",
                )
            time.sleep(0.25)
    except BaseException:
        server.stop()
        raise
    progress("start server", 1, 1)
    return server


def is_healthy(url: str) -> bool:
    """Whether a Label Studio server responds at this address."""
    return bool(re.search(rb'"status":\s*"UP"', _get(f"{url}/health")))


def knows(url: str, account: Account) -> bool:
    """Whether the Label Studio server at this address has this account, and so is not another user's."""
    return account.email.encode() in _get(f"{url}/api/current-user/whoami", Authorization=f"Token {account.api_key}")


def is_free(port: int) -> bool:
    """Whether nothing listens on a port of the loopback address."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _get(url: str, **headers: str) -> bytes:
    """Returns the beginning of a response body of a server on this machine; empty if there is no response."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # not by the proxy of the environment
    try:
        with direct.open(urllib.request.Request(url, headers=headers), timeout=5) as answer:
            return bytes(answer.read(4000))
    except (OSError, ValueError, HTTPException):
        return b""


def _program(venv: Path, data: Path) -> list[str]:
    """Returns the command that runs Label Studio until the folder of its data is gone."""
    python, program = venv / "bin" / "python", str(venv / "bin" / "label-studio")
    watching = [str(python), "-I", until_folder_is_gone.__file__, str(_LOOK_EVERY_S), str(data)]
    return [*watching, program] if python.exists() else [program]


def _environment(url: str, data: Path, document_root: Path, account: Account) -> dict[str, str]:
    """Returns the server's environment: the caller's, without settings that would affect the server by accident."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("LABEL_STUDIO", "DJANGO", "POSTGRE", "PYTHON")) and name != "VIRTUAL_ENV"
    }
    return {
        **inherited,
        "LABEL_STUDIO_BASE_DATA_DIR": str(data),
        "LABEL_STUDIO_ALLOWED_HOSTS": f"{HOST},localhost",
        "LABEL_STUDIO_HOST": url,
        "LABEL_STUDIO_USERNAME": account.email,
        "LABEL_STUDIO_PASSWORD": account.password,
        "LABEL_STUDIO_USER_TOKEN": account.api_key,
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true",
        "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(document_root),
        "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK": "true",
        # Makes the counter ("38 of 382") refer to all tasks to do, not to those opened since the page was loaded.
        "fflag_fix_all_optic_79_task_count_is_wrong_short": "true",
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
        "DEBUG": "false",
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _is_running(pid: int) -> bool:
    process = _started_here.get(pid)
    if process is not None:
        return process.poll() is None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _command_of(pid: int) -> str:
    """Returns the command line of a process, its parts separated by spaces; empty if there is none."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:  # no such process, or macOS
        with suppress(OSError):
            ps = ["ps", "-ww", "-o", "command=", "-p", str(pid)]
            return subprocess.run(ps, capture_output=True, text=True, errors="replace", check=False).stdout.strip()
    return ""


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "its log is empty")
