"""The Label Studio server of a workspace: its data, account and address, in cache/label-studio/."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from filelock import FileLock

from dataset_tools.core.errors import InputError
from dataset_tools.core.json_record import read_record, record_bytes
from dataset_tools.core.progress import Progress, silent
from dataset_tools.core.workspace import Workspace
from dataset_tools.label_studio.connection import server_name
from dataset_tools.label_studio.media_urls import MEDIA_FOLDERS, refuse_links_out
from dataset_tools.label_studio.server import (
    LABEL_STUDIO_VERSION,
    VENV_ENVIRONMENT,
    Account,
    Server,
    install,
    is_free,
    is_installed,
    knows,
    new_account,
    server_venv,
    start,
)

RECORD_NAME = "server.json"


class ServerRecord(msgspec.Struct, frozen=True, kw_only=True, tag_field="schema", tag="fmn.server/1"):
    """cache/label-studio/server.json, readable by the owner only: how to reach the workspace's server.

    Attributes:
        url, pid: address and process id of the server that was started last.
        former: its earlier addresses (another port), latest first.
        served: its document root; another one than the workspace's if that is a copy, or was moved since.
        account: its account; never changes, since it is created with the server's data.
    """

    account: Account
    url: str | None = None
    pid: int | None = None
    former: tuple[str, ...] = ()
    served: str | None = None

    def is_of(self, workspace: Workspace) -> bool:
        """Whether it serves this workspace, not one of which this is a copy."""
        return self.served is None or Path(self.served).resolve() == served_folder(workspace).resolve()

    def runs_for(self, workspace: Workspace) -> bool:
        """Whether it runs, and serves this workspace."""
        return self.is_of(workspace) and self.url is not None and knows(self.url, self.account)

    def was_moved(self, workspace: Workspace) -> bool:
        """Whether the workspace was moved: one that is still in the earlier place is the original of this copy."""
        if self.is_of(workspace) or self.served is None:
            return False
        return not self._is_in(Path(self.served).parent / RECORD_NAME)

    def left_behind(self, workspace: Workspace) -> Server | None:
        """Returns the server that still runs for the place that the workspace was moved from, where its data are gone.

        It answers every request with an error until it ends by itself.
        """
        if self.url is None or self.pid is None or not self.was_moved(workspace):
            return None
        server = Server(self.url, self.pid)
        return server if server.is_running() else None

    def _is_in(self, path: Path) -> bool:
        try:
            return msgspec.json.decode(path.read_bytes(), type=ServerRecord).account == self.account
        except (FileNotFoundError, NotADirectoryError):
            return False
        except (OSError, ValueError, RecursionError):
            return True  # something is there; whether it is the original cannot be told


@dataclass(frozen=True)
class Target:
    """A server to push to and pull from, with its API key.

    Attributes:
        document_root: root of the files that the server can serve, if known.
        email: e-mail address to sign in with, for the workspace's own server.
        replaced: the document root of the server that was stopped for it, if the workspace was moved while that ran.
    """

    url: str
    api_key: str
    document_root: Path | None = None
    email: str | None = None
    replaced: str | None = None

    def __repr__(self) -> str:
        return f"Target({self.url!r})"  # the key stays out of logs and tracebacks


def find_server(workspace: Workspace, environment: Mapping[str, str] = os.environ) -> Target | None:
    """Returns the server to use: that of LABEL_STUDIO_URL, else the workspace's own if it is running, else None.

    Raises:
        InputError: LABEL_STUDIO_URL is not an address, or LABEL_STUDIO_API_KEY is not set along with it.
    """
    url = environment.get("LABEL_STUDIO_URL", "").strip()
    key = environment.get("LABEL_STUDIO_API_KEY", "").strip()
    record = _read(workspace)
    if url:
        server_name(url)
        if record is not None and record.url == url.rstrip("/"):
            return _own(workspace, record, url, key)
        if not key:
            raise InputError(
                "LABEL_STUDIO_URL is set, but LABEL_STUDIO_API_KEY is not",
                where=url,
                expected="a key of that server",
                next_step="set LABEL_STUDIO_API_KEY to the token that Label Studio shows under Account & Settings",
            )
        root = environment.get("LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT")
        return Target(url, key, Path(root) if root else None)
    if record is not None and record.url is not None and record.runs_for(workspace):
        return _own(workspace, record, record.url)
    return None


def addresses(workspace: Workspace, url: str) -> tuple[str, ...]:
    """Returns the names of the server at ``url``: that of ``url`` and, of the workspace's own, those of earlier ports.

    Projects and decisions are recorded by the name of their server; they stay its own if its port changes.
    """
    name, record = server_name(url), _read(workspace)
    is_own = record is not None and record.url is not None and server_name(record.url) == name
    return (name, *(record.former if record is not None and is_own else ()))


def serve(
    workspace: Workspace, *, port: int | None = None, may_install: bool = True, progress: Progress = silent
) -> Target:
    """Starts the workspace's server unless it is running, and returns its address and key.

    The server is installed first if missing (once for all workspaces), listens on this machine only, keeps its data in
    cache/label-studio/, and can serve only the folders clips/ and speech/. It runs until it is stopped or that folder
    is gone. A copy of the workspace gets a server of its own; if the workspace was moved, the server that still runs
    for its earlier place is stopped, and its address is kept.

    Args:
        workspace: the workspace.
        port: port to listen on; None: the previous one if free, else any free one.
        may_install: whether Label Studio may be installed (about 90 seconds, 1 GB).
        progress: progress callback for installation and start.

    Raises:
        InputError: it is not installed and may not be, the port is taken, it runs on another port, the record of its
            account was lost, or a link leads out of the folders that it serves.
        StoppedError: it cannot be installed or started.
    """
    home = _home(workspace)
    home.mkdir(parents=True, exist_ok=True)
    home.chmod(0o700)
    with FileLock(home / ".lock"):
        record = _read(workspace)
        if record is not None and record.url is not None and record.runs_for(workspace):
            if port not in (None, urlsplit(record.url).port):
                raise InputError(
                    f"The workspace's server is running at {record.url}",
                    where="--port",
                    expected="no running server, or the port of the running one",
                    next_step="stop it first: fmn-data annotate serve --stop",
                )
            return _own(workspace, record, record.url)
        venv = server_venv()
        if not is_installed(venv) and not may_install:
            raise InputError(
                f"Label Studio {LABEL_STUDIO_VERSION} is not installed",
                where=venv,
                expected=f"bin/label-studio of version {LABEL_STUDIO_VERSION} in that virtual environment",
                next_step="install it with: fmn-data annotate serve (about 90 seconds, 1 GB);"
                f" set {VENV_ENVIRONMENT} to the environment that has it;"
                " or set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY to use another server",
            )
        install(venv, progress)
        account = new_account() if record is None else record.account
        if record is None:  # before the first start, which creates the account
            _write(workspace, ServerRecord(account=account))
        _link_media(workspace)
        left = None if record is None else record.left_behind(workspace)
        if left is not None:
            left.stop()
        is_moved = record is not None and record.was_moved(workspace)
        if port is None and record is not None and record.url is not None and (is_moved or record.is_of(workspace)):
            before = urlsplit(record.url).port  # keep the address if possible; a copy leaves it to the original
            port = before if before is not None and is_free(before) else None
        server = start(venv, home / "data", served_folder(workspace), account, port=port, progress=progress)
        if not knows(server.url, account):
            server.stop()
            raise InputError(
                "The server's data belong to another account than the recorded one",
                where=login_file(workspace),
                expected="the record that was written when the data were created",
                next_step="restore that file from a backup: deleting the data would delete the annotators' work",
            )
        before_now = () if record is None or record.url is None else (server_name(record.url), *record.former)
        former = tuple(name for name in dict.fromkeys(before_now) if name != server_name(server.url))
        replaced = None if left is None or record is None else record.served
        served = str(served_folder(workspace))
        record = ServerRecord(account=account, url=server.url, pid=server.pid, former=former, served=served)
        _write(workspace, record)
    return dataclasses.replace(_own(workspace, record, server.url), replaced=replaced)


def stop(workspace: Workspace) -> bool:
    """Stops the workspace's server, also one that still runs for an earlier place; returns whether it was running."""
    record = _read(workspace)
    if record is None or record.url is None or record.pid is None:
        return False
    server = Server(record.url, record.pid) if record.runs_for(workspace) else record.left_behind(workspace)
    if server is not None:
        server.stop()
    return server is not None


def login_file(workspace: Workspace) -> Path:
    """Returns the file with e-mail address and password for the browser, readable by the owner only."""
    return _home(workspace) / RECORD_NAME


def served_folder(workspace: Workspace) -> Path:
    """Returns the server's document root: a folder of links to the workspace's media folders, and to nothing else."""
    return Path(os.path.abspath(_home(workspace) / "served"))  # noqa: PTH100  # without resolving links


def _own(workspace: Workspace, record: ServerRecord, url: str, api_key: str = "") -> Target:
    served = served_folder(workspace) if record.served is None else Path(record.served)
    return Target(url, api_key or record.account.api_key, served, record.account.email)


def _home(workspace: Workspace) -> Path:
    return workspace.cache / "label-studio"


def _link_media(workspace: Workspace) -> None:
    refuse_links_out(workspace)
    folder = served_folder(workspace)
    folder.mkdir(exist_ok=True)
    for name in MEDIA_FOLDERS:
        target = workspace.root.resolve() / name
        target.mkdir(exist_ok=True)
        link = folder / name
        if not link.is_symlink() or link.readlink() != target:
            link.unlink(missing_ok=True)
            link.symlink_to(target, target_is_directory=True)


def _read(workspace: Workspace) -> ServerRecord | None:
    return read_record(
        login_file(workspace),
        ServerRecord,
        name="record of the workspace's server",
        expected="the JSON object that fmn-data annotate serve writes",
        next_step="restore it from a backup: it holds the password and the key of the server's account",
    )


def _write(workspace: Workspace, record: ServerRecord) -> None:
    """Writes the record so that other users can never read it, not even temporarily."""
    path = login_file(workspace)
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(record_bytes(record))
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
