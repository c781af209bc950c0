"""Command line ``fmn-data``: its commands, in the order of the workflow.

Commands parse, call one library function and print; heavy imports are deferred.
"""

from __future__ import annotations

from dataset_tools.cli.annotate import annotate_app
from dataset_tools.cli.build import build, retry
from dataset_tools.cli.classes import classes
from dataset_tools.cli.clean import clean
from dataset_tools.cli.download import download
from dataset_tools.cli.export import export
from dataset_tools.cli.pairs import pairs
from dataset_tools.cli.report import report
from dataset_tools.cli.speech import speech_app
from dataset_tools.cli.standin import standin
from dataset_tools.cli.verify import verify
from dataset_tools.core.command import CommandLine

app = CommandLine(
    name="fmn-data",
    help="Build the video–speech data set of Li et al. (2022) from MPII Cooking 2 or from your own footage.",
    is_program=True,
    no_args_is_help=True,
)
FOOTAGE, CLIPS, REVIEW, PAIRS, SHARE = (
    "1. Footage",
    "2. Clips and speech",
    "3. Review",
    "4. Pairs and splits",
    "5. Share and clean up",
)  # help panels

app.command(rich_help_panel=FOOTAGE)(standin)
app.command(rich_help_panel=FOOTAGE)(download)
app.command(rich_help_panel=FOOTAGE)(classes)
app.command(rich_help_panel=CLIPS)(build)
app.add_typer(speech_app, name="speech", rich_help_panel=CLIPS)
app.add_typer(annotate_app, name="annotate", rich_help_panel=REVIEW)
app.command(rich_help_panel=REVIEW)(report)
app.command(rich_help_panel=PAIRS)(pairs)
app.command(rich_help_panel=PAIRS)(verify)
app.command(rich_help_panel=CLIPS)(retry)
app.command(rich_help_panel=SHARE)(export)
app.command(rich_help_panel=SHARE)(clean)


def main() -> None:
    """Run ``fmn-data`` (the console script)."""
    app()
