"""Optional dependencies (extras): pip commands for messages about a package that is missing or broken.

The commands keep the installed torch; otherwise pip replaces it if the newest torchvision needs another.
"""

from __future__ import annotations

import shlex
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_DISTRIBUTION = "fmn-toolkit"


def install_command(extra: str) -> str:
    """Returns the command that installs an extra of pyproject.toml, such as ``ray``: from the checkout in use, if any.

    Without a checkout there are no constraints; the installed version of torch is named instead.
    """
    root = _checkout()
    if root is not None:
        return shlex.join(["pip", "install", "-c", f"{root}/constraints.txt", "-e", f"{root}[{extra}]"])
    return _keeping_torch(shlex.join(["pip", "install", f"{_DISTRIBUTION}[{extra}]"]))


def reinstall_command(library: str) -> str:
    """Returns the commands that install a library again, in the version that matches the torch in use.

    Not ``--force-reinstall``, which would install torch again, too: a CPU build might become one for CUDA.
    """
    root = _checkout()
    install = ["pip", "install", *([] if root is None else ["-c", f"{root}/constraints.txt"]), library]
    command = f"pip uninstall --yes {library} && {shlex.join(install)}"
    return _keeping_torch(command) if root is None else command


def _keeping_torch(command: str) -> str:
    """Adds the installed version of torch to a pip command: pip may replace one that is not named."""
    try:
        return f"{command} torch=={version('torch')}"
    except PackageNotFoundError:
        return command


def _checkout() -> Path | None:
    """Returns the checkout of the repository that this module is in; None in an installed wheel."""
    root = Path(__file__).parents[2]
    return root if (root / "pyproject.toml").is_file() else None
