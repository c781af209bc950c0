"""Plots are drawn whatever Matplotlib's settings of the user are."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

from fmn.evaluation.plot_drawing import without_display_and_latex

ROOT = Path(__file__).parents[3]
SCRIPT = """
import os
from pathlib import Path
from fmn.evaluation import plot_drawing
history = [{"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": 1.0}]
plot_drawing.training(Path("training.png"), history, 1, "cut_off_carrot")
plot_drawing.letters_without_glyph(["cut_off_carrot"])
print(os.environ["MPLBACKEND"])
"""


def test_backend_of_a_notebook_and_latex(tmp_path: Path) -> None:
    backend = "nonsense"  # as a package that is not installed
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\n")
    variables = {**os.environ, "MPLBACKEND": backend, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == backend  # left for programs that the process starts
    assert (tmp_path / "training.png").read_bytes().startswith(b"\x89PNG")


def test_settings_of_the_caller_are_kept() -> None:
    import matplotlib as mpl

    with mpl.rc_context({"text.usetex": True}):
        with without_display_and_latex():
            assert not mpl.rcParams["text.usetex"]
        assert mpl.rcParams["text.usetex"]


def test_every_function_that_creates_a_figure_is_protected() -> None:
    bare = {
        function.name
        for path in (ROOT / "fmn").rglob("*.py")
        for function in ast.walk(ast.parse(path.read_text()))
        if isinstance(function, ast.FunctionDef)
        and "without_display_and_latex()" not in map(ast.unparse, function.decorator_list)
        and any(isinstance(node, ast.ImportFrom) and node.module == "matplotlib.figure" for node in ast.walk(function))
    }
    assert bare == {"_figure"}  # which protected functions of plot_drawing call
