"""Optional dependencies (extras): the pip command that installs one, for messages where a package is missing."""

from __future__ import annotations

from pathlib import Path


def install_command(extra: str) -> str:
    """Returns the command that installs an extra of pyproject.toml, such as ``ray``, from the checkout in use.

    The constraints keep the installed torch; without them, pip replaces it if the newest torchvision needs another.
    """
    root = Path(__file__).parents[2]
    if (root / "pyproject.toml").is_file():
        return f"pip install -c '{root}/constraints.txt' -e '{root}[{extra}]'"
    return f"in a checkout of the toolkit: pip install -c constraints.txt -e '.[{extra}]'"
