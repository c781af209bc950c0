"""Template of Label Studio's database: all migrations applied, no accounts. A new server starts from a copy.

Migrations take half a minute at the first start of every server, and always produce the same tables. They are therefore
applied once per installation, and the result is kept in its virtual environment as ``empty-VERSION.sqlite3``.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from filelock import FileLock

from dataset_tools.core.errors import StoppedError
from dataset_tools.core.files import written_whole

DATABASE = "label_studio.sqlite3"
"""File name of the database in Label Studio's data folder."""
LIMIT_S = 300
"""Timeout of the migrations."""


def copy_template(venv: Path, version: str, data: Path, environment: Mapping[str, str]) -> None:
    """Copies the template into a data folder without a database; makes it at the first call for an installation.

    If that fails (the installation is read-only, the disk is full), nothing is written, and the server applies its
    migrations itself.

    Args:
        venv: virtual environment of Label Studio.
        version: version of Label Studio.
        data: the data folder.
        environment: environment variables for Label Studio.
    """
    if (data / DATABASE).exists():
        return
    template = venv / f"empty-{version}.sqlite3"
    try:
        with FileLock(venv.with_name(f"{venv.name}.lock")):
            if not template.is_file():
                write_template(template, venv, environment)
        with written_whole(data / DATABASE) as partial:
            shutil.copyfile(template, partial)
    except (OSError, StoppedError, subprocess.SubprocessError):
        return


def write_template(template: Path, venv: Path, environment: Mapping[str, str]) -> None:
    """Applies all migrations to a new database.

    Raises:
        SubprocessError: Label Studio failed or timed out.
        OSError: the template cannot be written, or this installation has an unexpected layout.
        StoppedError: the disk is full or read-only.
    """
    manage = next(venv.glob("lib/python*/site-packages/label_studio/manage.py"), None)
    if manage is None:
        raise FileNotFoundError(f"manage.py of Label Studio in {venv}")
    with TemporaryDirectory() as folder:
        subprocess.run(
            [str(venv / "bin" / "python"), str(manage), "migrate", "--no-color", "--verbosity", "0"],
            env={**environment, "LABEL_STUDIO_BASE_DATA_DIR": folder},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            timeout=LIMIT_S,
        )
        with written_whole(template) as partial:
            shutil.copyfile(Path(folder) / DATABASE, partial)
