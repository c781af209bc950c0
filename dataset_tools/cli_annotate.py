"""``fmn-data annotate …``: clips and speech before people in Label Studio, and their decisions back."""

from __future__ import annotations

import typer

annotate_app = typer.Typer(
    help="Puts clips and speech before people in Label Studio and brings their decisions back.\n\n"
    "Example: LABEL_STUDIO_URL=http://127.0.0.1:8080 LABEL_STUDIO_API_KEY=… fmn-data annotate"
)
