"""Footage of a manifest: synthetic, recorded or unknown, according to build.json."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataset_tools.core.errors import InputError
from dataset_tools.core.workspace import Workspace
from dataset_tools.manifests import workspace_of


@dataclass(frozen=True)
class Footage:
    """What is known of the footage of a data set.

    Attributes:
        standin: the entry on a stand-in corpus in build.json; None if the footage is recorded or unknown.
        is_recorded: whether build.json says that it is recorded.
    """

    standin: Any
    is_recorded: bool


def footage_of(manifest: Path, root: Path | None = None) -> Footage:
    """Reads build.json next to a manifest; if there is none (a copied manifest), that of the workspace.

    Args:
        manifest: the manifest.
        root: the workspace, if it is not the parent of the manifest's folder.

    Raises:
        InputError: the file is not a JSON object.
    """
    for folder in (manifest.parent, Workspace(workspace_of(manifest, root)).manifests):
        path = folder / "build.json"
        try:
            built = json.loads(path.read_text(encoding="utf-8"))
            standin = built.get("stand_in")
        except FileNotFoundError:
            continue
        except (ValueError, AttributeError, RecursionError) as error:
            raise InputError(
                f"The file is not a JSON object: {error}", where=path, next_step="rewrite it with fmn-data build"
            ) from error
        return Footage(standin, is_recorded="stand_in" in built and standin is None)
    return Footage(None, is_recorded=False)
