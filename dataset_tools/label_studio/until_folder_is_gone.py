"""Runs a Python program in this process, which ends when a folder is gone: ``python -I FILE SECONDS FOLDER PROGRAM …``.

The interpreter is that of the program, which need not have this package: only the standard library is imported.
"""

import os
import runpy
import sys
import threading
import time
from pathlib import Path


def _end_without(folder: str, first: os.stat_result, seconds: float) -> None:
    """Ends the process once the folder was missing, or not the ``first`` one, at two looks in a row."""
    missed = 0
    while missed < 2:
        time.sleep(seconds)
        try:
            is_there = os.path.samestat(first, Path(folder).stat())
        except (FileNotFoundError, NotADirectoryError):
            is_there = False
        except OSError:  # as of a disk that does not answer: whether the folder is gone cannot be told
            continue
        missed = 0 if is_there else missed + 1
    os._exit(0)  # there is nothing left to be written


if __name__ == "__main__":
    arguments = (sys.argv[2], Path(sys.argv[2]).stat(), float(sys.argv[1]))
    del sys.argv[:3]
    threading.Thread(target=_end_without, args=arguments, daemon=True).start()
    runpy.run_path(sys.argv[0], run_name="__main__")
