"""Commands that are started from a cell of a notebook (``!fmn train …``)."""

from __future__ import annotations

import os


def in_notebook() -> bool:
    """Whether a kernel of IPython started this process, or one of its ancestors.

    The kernel runs commands on a terminal of its own, on which nobody can type, and in a notebook, the cursor does not
    move up: each refresh of several progress bars would be added below the last one. The kernel sets MPLBACKEND.
    """
    return os.environ.get("MPLBACKEND", "").endswith("backend_inline")
