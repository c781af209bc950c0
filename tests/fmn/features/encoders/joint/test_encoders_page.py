"""docs/encoders.md as its reader runs it: every command of the page, in its order, with tiny models for those named."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fmn.cli.main import app

PAGE = (Path(__file__).parents[5] / "docs" / "encoders.md").read_text("utf-8")
LINES = re.findall(r"^(?:    )?(fmn .+)$", PAGE.replace("\\\n", ""), re.MULTILINE)  # the continued ones as one
COMMANDS = [shlex.split(line, comments=True)[1:] for line in LINES]
SMALL = {
    "train": "--epochs 1",
    "ablate": "--epochs 1 --seeds 1",
    "compare": "--epochs 1 --seeds 1 --budget 1",
}
SETTINGS = (
    "--set model.hidden_size=8 --set model.embed_dim=8 --set training.pairs_per_epoch=64 --set training.threads=1"
)


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
def test_every_command_of_the_page(
    files: Path,
    timm: Any,
    joint: dict[str, Path],
    tiny_bundle: tuple[Any, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(files)
    timm.models._hub.save_for_hf(timm.create_model("test_efficientnet", pretrained=False), tmp_path / "images")
    stand_ins = {
        "timm:vit_base_patch16_siglip_224.v2_webli": f"timm:{tmp_path / 'images'}",
        "hubert_base": f"torchaudio:TINY@{tiny_bundle[1]}",
        "pe_av:facebook/pe-av-small-16-frame": f"pe_av:{joint['pe_av']}",
    }
    shutil.copy(next((files / "speech").iterdir()), "query.wav")
    assert [command[0] for command in COMMANDS] == [
        *("train", "train", "search"),  # one's first encoders; a joint one
        *("train", "ablate", "compare"),  # sequences
        *("features", "train"),
    ]
    for command in COMMANDS:
        given = [stand_ins.get(part, part) for part in command]
        small = f"{SMALL[command[0]]} {SETTINGS}".split() if command[0] in SMALL else []
        if command[0] == "compare":
            small += ["--models", "two_classifiers,class_towers"]  # for the test's time
        result = CliRunner().invoke(app, [*given, *small])
        assert result.exit_code == 0, f"{command}\n{result.output}"
