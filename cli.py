"""Both command lines in one, for a checkout: ``python cli.py data build --classes 20``, ``python cli.py train …``."""

from __future__ import annotations

from dataset_tools.core.early_interrupts import end_at_interrupt

if __name__ == "__main__":
    end_at_interrupt()  # before the other imports, which take half a second

from dataset_tools.cli.main import app as data_app
from fmn.cli.main import app

app.add_typer(data_app, name="data", rich_help_panel="0. Data set")

if __name__ == "__main__":
    app(prog_name="cli.py")
