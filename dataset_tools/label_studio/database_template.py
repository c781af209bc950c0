"""Template of Label Studio's database: all migrations applied, no accounts. A new server starts from a copy.

Migrations take half a minute of the first start of every server, and always give the same tables. So they are applied
once per installation; ``empty-VERSION.sqlite3`` in its virtual environment has the result.
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
"""Label Studio's own name for it, in the folder of its data."""
LIMIT_S = 300
"""For the migrations."""


def copy_template(venv: Path, version: str, data: Path, environment: Mapping[str, str]) -> None:
    """Gives a folder of data without a database one without accounts, made at the first call for an installation.

    Where that fails (the installation is read-only, the disk is full), nothing is written: the server then applies its
    migrations itself.

    Args:
        venv: where Label Studio is installed.
        version: of Label Studio.
        data: the folder.
        environment: variables for Label Studio.
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
        SubprocessError: Label Studio failed, or took too long.
        OSError: it cannot be written, or this Label Studio has another layout.
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
