"""What worker processes import to cut clips: nothing that takes as long as a clip."""

from __future__ import annotations

import subprocess
import sys


def test_numpy_is_imported_only_for_sound() -> None:
    code = "import sys, dataset_tools.clips.cutting; print('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
