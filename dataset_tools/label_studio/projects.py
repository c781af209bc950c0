"""The Label Studio project of a workspace: creation, lookup, and updates of its labeling configuration.

Projects are recorded in annotations/label-studio/projects.json: for each server, the workspace's own project, which is
pushed to, and others (those of ``--project``, and former ones), from which decisions are pulled, too. Those of the
workspace's own server stay recorded if its port changes (`addresses`), and those of another server if a pull finds its
decisions under another address (`former_addresses`). If the file is lost, no pulled decisions are: the project is found
again by its title, and the next pull reads all annotations again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from dataset_tools.core.errors import InputError
from dataset_tools.core.files import write_bytes
from dataset_tools.core.json_record import read_record, record_bytes
from dataset_tools.core.shipped_files import shipped_file
from dataset_tools.core.workspace import Workspace
from dataset_tools.decisions.journal import utc
from dataset_tools.label_studio.connection import answers, server_name
from dataset_tools.label_studio.labeling_config import same_config
from dataset_tools.label_studio.tasks import PREFILL_VERSION
from dataset_tools.label_studio.workspace_server import addresses


class ProjectLink(msgspec.Struct, frozen=True, kw_only=True):
    """Record of a project on a server.

    Attributes:
        project, title: its id and title. config: its labeling configuration as last pushed.
        cursor: time up to which changes of tasks were pulled, UTC, or None.
        annotators: number of annotators per clip, as of the last push; omitted by versions that did not record it.
    """

    project: int
    title: str
    config: str
    cursor: str | None = None
    annotators: int | UnsetType = UNSET


class _Links(msgspec.Struct, frozen=True, kw_only=True, tag_field="schema", tag="fmn.label-studio/1"):
    servers: dict[str, ProjectLink] = msgspec.field(default_factory=dict)
    others: dict[str, list[ProjectLink]] = msgspec.field(default_factory=dict)
    former: dict[str, dict[str, str]] | UnsetType = UNSET  # `former_addresses`, by the present one


@dataclass(frozen=True)
class Project:
    """A project that exists on the server.

    Attributes:
        id, title: as on the server. page: its current labeling configuration.
        link: its record. made: whether this command created it.
        model_version: source of the prefill that its pages show: `PREFILL_VERSION`, or a model's name.
        annotators: number of annotators per clip. created: when, UTC.
    """

    id: int
    title: str
    page: str
    link: ProjectLink
    made: bool = False
    model_version: str = PREFILL_VERSION
    annotators: int = 1
    created: str = ""


def former_addresses(workspace: Workspace, url: str) -> dict[str, str]:
    """Returns earlier addresses of the server at ``url``, as pulls recognized them.

    Each is with the creation time of the newest decision that was pulled from there and is on the server: later ones
    are of another server, such as a new one at that address, or the original, if that at ``url`` is a backup of it.
    """
    return (_read(workspace).former or {}).get(server_name(url), {})


def remember_former_addresses(workspace: Workspace, url: str, former: Mapping[str, str]) -> None:
    """Records the earlier addresses of the server at ``url``; the records of newly found ones are now its own."""
    links, new = _read(workspace), former.keys() - former_addresses(workspace, url).keys()
    links = _merged(links, (*addresses(workspace, url), *sorted(new)))
    _write(workspace, msgspec.structs.replace(links, former={**(links.former or {}), server_name(url): dict(former)}))


def remembered(workspace: Workspace, url: str) -> ProjectLink | None:
    """Returns the record of the workspace's own project on a server."""
    return _links(workspace, url).servers.get(server_name(url))


def other_projects(workspace: Workspace, url: str) -> list[ProjectLink]:
    """Returns the records of the workspace's further projects on a server: those of ``--project``, and former ones."""
    return _links(workspace, url).others.get(server_name(url), [])


def remember(workspace: Workspace, url: str, link: ProjectLink, *, as_own: bool = True) -> None:
    """Records a project on a server as the workspace's own; without ``as_own``, as a further one if it has another."""
    links, server = _links(workspace, url), server_name(url)
    own = links.servers.get(server)
    others = {one.project: one for one in [*links.others.get(server, []), *([own] if own else []), link]}
    if as_own or own is None or own.project == link.project:
        own = link
    del others[own.project]
    links.servers[server] = own
    links.others[server] = [others[project] for project in sorted(others)]
    _write(workspace, links)


def forget_project(workspace: Workspace, url: str, link: ProjectLink) -> None:
    """Removes the record of a further project."""
    links, server = _links(workspace, url), server_name(url)
    links.others[server] = [one for one in links.others.get(server, []) if one.project != link.project]
    _write(workspace, links)


def remembered_projects(workspace: Workspace) -> list[str]:
    """Returns the addresses of the workspace's projects on all servers."""
    links = _read(workspace)
    found = [*links.servers.items(), *((server, one) for server, several in links.others.items() for one in several)]
    return sorted(f"{server}/projects/{link.project}" for server, link in found)


def wanted_annotators(workspace: Workspace) -> int:
    """Returns the number of annotators per clip that the last push wanted; of several servers, the largest."""
    return max((link.annotators or 1 for link in _read(workspace).servers.values()), default=1)


def default_title(workspace: Workspace) -> str:
    """Returns the title of a workspace's project: its folder's name, and a hash to distinguish folders of that name."""
    folder = workspace.root.resolve()
    return f"{folder.name[:34]} ({hashlib.sha256(str(folder).encode()).hexdigest()[:6]})"


def find_project(client: Any, workspace: Workspace, url: str, title: str | None) -> Project | None:
    """Returns the workspace's project: that of ``title``, else the recorded one, else that of the default title.

    Raises:
        InputError: the recorded project was deleted, or several have the title.
    """
    own = remembered(workspace, url)
    known = [*([own] if own else []), *other_projects(workspace, url)]
    link = own if title is None else next((one for one in known if one.title == title), None)
    if link is not None:
        gone = InputError(
            f"The project {link.title!r} no longer exists on the server",
            where=f"{url}/projects/{link.project}",
            expected="the project that this workspace was pushed to",
            next_step="create a new one with: fmn-data annotate push --project 'A NEW TITLE'"
            " (pulled decisions are kept)",
        )
        return _open(client, url, link, gone)
    title = title or default_title(workspace)
    with answers(url):
        same = [one for one in client.projects.list(title=title, page_size=100) if one.title == title]
        if len(same) > 1:
            raise InputError(
                f"The server has {len(same)} projects with the title {title!r}",
                where=url,
                expected="one",
                next_step="rename or delete the others in Label Studio, or choose another title with --project",
            )
        if not same:
            return None
        found = client.projects.get(same[0].id)
    return _project(found, title, ProjectLink(project=found.id, title=title, config=found.label_config or ""))


def find_others(client: Any, workspace: Workspace, url: str, *, dry_run: bool = False) -> Iterator[Project]:
    """Yields the workspace's further projects on a server; unless ``dry_run``, removes the records of deleted ones."""
    for link in other_projects(workspace, url):
        gone = InputError("The project no longer exists on the server", where=url)
        try:
            yield _open(client, url, link, gone)
        except InputError as error:
            if error is not gone:
                raise
            if not dry_run:
                forget_project(workspace, url, link)


def _open(client: Any, url: str, link: ProjectLink, gone: InputError) -> Project:
    with answers(url, missing=gone):
        found = client.projects.get(link.project)
    return _project(found, found.title or link.title, link)


def _project(found: Any, title: str, link: ProjectLink) -> Project:
    return Project(
        found.id,
        title,
        found.label_config or "",
        link,
        model_version=str(found.model_version or PREFILL_VERSION),
        annotators=found.maximum_annotations or 1,
        created=utc(found.created_at) if found.created_at else "",
    )


def make_project(client: Any, workspace: Workspace, url: str, title: str | None, config: str) -> Project:
    """Creates the workspace's project without tasks, with a page and instructions (the button "Instructions")."""
    title = title or default_title(workspace)
    if not 3 <= len(title) <= 50:
        raise InputError(
            f"The title {title!r} has {len(title)} characters",
            where="--project",
            expected="3 to 50 characters, as Label Studio requires",
            next_step="set a title of that length with --project",
        )
    with answers(url):
        made = client.projects.create(
            title=title,
            label_config=config,
            description="Created by fmn-data annotate. Pull decisions with: fmn-data annotate pull",
            expert_instruction=_instructions(workspace),
            sampling="Sequential sampling",
            show_collab_predictions=True,
            model_version=PREFILL_VERSION,
            enable_empty_annotation=False,
        )
    return Project(made.id, title, config, ProjectLink(project=made.id, title=title, config=config), made=True)


def update_page(client: Any, url: str, project: Project, config: str, *, by_force: bool = False) -> bool:
    """Replaces the project's page unless it was edited in the browser (``by_force``: even then).

    Returns:
        Whether the page had to be changed.

    Raises:
        InputError: it was edited, or the server refuses the new one because existing decisions use what it lacks.
    """
    if same_config(project.page, config):
        return False
    if not by_force and not same_config(project.page, project.link.config):
        raise InputError(
            "The labeling configuration of the project was changed in the browser",
            where=f"{url}/projects/{project.id}/settings/labeling",
            expected="the one that was pushed last",
            next_step="save the changed one as annotations/labeling.xml of the workspace to keep it,"
            " or push with --replace-config to undo the change",
        )
    with answers(url):
        client.projects.validate_label_config(id=project.id, label_config=config)
        client.projects.update(id=project.id, label_config=config)
    return True


def serve_folders(client: Any, url: str, project: Project, folders: list[Path]) -> None:
    """Makes the server serve the folders to the project (one local storage each, never synchronized).

    Raises:
        InputError: the server is not configured for it, or runs on another machine.
    """
    if not folders:
        return
    with answers(url):
        served = {storage.path for storage in client.import_storage.local.list(project=project.id)}
    for folder in folders:
        if str(folder) in served:
            continue
        try:
            with answers(url):
                client.import_storage.local.create(
                    project=project.id, title=folder.name, path=str(folder), use_blob_urls=True
                )
        except InputError as error:
            raise InputError(
                f"The server does not serve the folder {folder.name}/. {error.found}",
                where=url,
                expected=f"a server on this machine with LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true and"
                f" LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT={folder.parent}",
                next_step="start a server with these settings with: fmn-data annotate serve,"
                " or set --media-url to a URL that serves the workspace's folders",
            ) from error


def _instructions(workspace: Workspace) -> str:
    own = workspace.annotations / "instructions.html"
    path = own if own.is_file() else shipped_file("instructions.html")
    return path.read_text(encoding="utf-8", errors="replace")


def _links(workspace: Workspace, url: str) -> _Links:
    """Reads the records; those of the workspace's own server at ``url`` under earlier ports are listed under it."""
    return _merged(_read(workspace), addresses(workspace, url))


def _merged(links: _Links, names: Sequence[str]) -> _Links:
    """Lists the records of all addresses of a server under its first one."""
    own = [links.servers.pop(name) for name in names if name in links.servers]
    others = [link for name in names for link in links.others.pop(name, [])]
    found: dict[int, ProjectLink] = {}
    for link in (*own, *others):
        found.setdefault(link.project, link)
    if own:
        links.servers[names[0]] = found.pop(own[0].project)
    links.others[names[0]] = [found[project] for project in sorted(found)]
    return links


def _write(workspace: Workspace, links: _Links) -> None:
    servers = dict(sorted(links.servers.items()))
    others = {server: several for server, several in sorted(links.others.items()) if several}
    links = msgspec.structs.replace(links, servers=servers, others=others)
    write_bytes(_path(workspace), record_bytes(links))


def _path(workspace: Workspace) -> Path:
    return workspace.annotations / "label-studio" / "projects.json"


def _read(workspace: Workspace) -> _Links:
    links = read_record(
        _path(workspace),
        _Links,
        name="record of the Label Studio projects",
        expected="the JSON object that fmn-data annotate writes",
        next_step="delete the file: the project is found again by its title",
        check=_check_cursors,
    )
    return links or _Links()


def _check_cursors(links: _Links) -> None:
    """Raises a ValueError for a cursor that is not a time: pulls would miss changes."""
    for link in (*links.servers.values(), *(link for several in links.others.values() for link in several)):
        if link.cursor is not None:
            datetime.fromisoformat(link.cursor)
