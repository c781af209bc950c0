"""Command line ``fmn``: its commands, in the order of the workflow.

Commands parse, call one library function and print; heavy imports are deferred.
"""

from __future__ import annotations

import os

from dataset_tools.core.command import CommandLine
from fmn.cli.ablate import ablate
from fmn.cli.compare import compare
from fmn.cli.evaluate import evaluate
from fmn.cli.features import app as features_app
from fmn.cli.finetune import finetune
from fmn.cli.index import index
from fmn.cli.learn import learn
from fmn.cli.newclasses import newclasses
from fmn.cli.noise import noise
from fmn.cli.plot import plot
from fmn.cli.predict import predict
from fmn.cli.search import search
from fmn.cli.serve import serve
from fmn.cli.train import train
from fmn.cli.tune import tune
from fmn.cli.weights import app as weights_app

# By default, torch's threads spin while waiting for each other; on a busy machine a training step then takes a hundred
# times as long. This has an effect only if torch is not imported yet.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

app = CommandLine(
    name="fmn",
    help="Train, evaluate and search with the Feature Memory Network (FMN) of Li et al. (2022) and its baselines.",
    is_program=True,
    no_args_is_help=True,
)
TRAIN, USE = "1. Train and evaluate", "2. Search and predict"  # help panels
STUDY, BACKBONE = "3. Compare and study", "4. Features and backbones"
app.command(rich_help_panel=TRAIN)(train)
app.command("eval", rich_help_panel=TRAIN)(evaluate)
app.command(rich_help_panel=TRAIN)(plot)
app.command(rich_help_panel=TRAIN)(learn)
app.command(rich_help_panel=USE)(search)
app.command(rich_help_panel=USE)(serve)
app.command(rich_help_panel=USE)(index)
app.command(rich_help_panel=USE)(predict)
app.command(rich_help_panel=STUDY)(compare)
app.command(rich_help_panel=STUDY)(ablate)
app.command(rich_help_panel=STUDY)(tune)
app.command(rich_help_panel=STUDY)(newclasses)
app.command(rich_help_panel=STUDY)(noise)
app.command(rich_help_panel=BACKBONE)(finetune)
app.add_typer(weights_app, name="weights", rich_help_panel=BACKBONE)
app.add_typer(features_app, name="features", rich_help_panel=BACKBONE)


def main() -> None:
    """Run ``fmn`` (the console script)."""
    app()
