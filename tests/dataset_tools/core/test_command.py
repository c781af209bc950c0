from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import pytest
import typer
from typer.testing import CliRunner

from dataset_tools.core import command
from dataset_tools.core.command import CommandLine, DryRunOption
from dataset_tools.core.console import Terminal
from dataset_tools.core.errors import InputError
from dataset_tools.core.workspace import Workspace


@dataclass(frozen=True)
class Knife:
    blade_cm: Annotated[int, typer.Option("--blade", min=0, help="Length.")] = 20


@dataclass(frozen=True)
class BreadKnife(Knife):
    teeth: Annotated[int, typer.Option("--teeth", min=1, max=1000, help="Number.")] = 30
    count: Annotated[int, typer.Option("--count", help="Number.")] = 1
    weight_kg: Annotated[float | None, typer.Option("--weight", max=2.5, help="Weight.")] = None


app = CommandLine()
group = CommandLine()
app.add_typer(group, name="group")


@app.command()
def cut(
    terminal: Terminal,
    place: Workspace,
    knife: BreadKnife,
    what: Annotated[str, typer.Argument()] = "bread",
    slices: Annotated[Literal["thin", "thick"], typer.Option("--slices")] = "thin",
    dry_run: DryRunOption = False,
    sharpen: Annotated[bool, typer.Option("--sharpen/--blunt")] = True,
) -> None:
    """Cut something."""
    if what == "stone":
        raise InputError("A stone cannot be cut", where="WHAT")
    terminal.result({"root": str(place.root), "blade": knife.blade_cm, "teeth": knife.teeth, "dry_run": dry_run})


@app.command("slice")
def slice_(terminal: Terminal, what: Annotated[str, typer.Argument()]) -> None:
    """Slice something."""


@group.callback()
def grouped(terminal: Terminal, place: Workspace) -> None:
    """A group that does something by itself."""
    terminal.result({"by_itself": True})


@group.command("inner")
def inner(
    terminal: Terminal, folder: Annotated[Path, typer.Argument(help="Folder.", file_okay=False)] = Path("knives")
) -> None:
    """A command of the group."""
    terminal.result({"inner": True})


def test_groups_and_common_options_reach_the_body(tmp_path: Path) -> None:
    plain = CliRunner().invoke(app, ["cut", "--json"])
    assert json.loads(plain.stdout) == {
        "ok": True,
        "exit_code": 0,
        "root": ".",
        "blade": 20,
        "teeth": 30,
        "dry_run": False,
    }
    arguments = ["cut", "--teeth", "7", "--blade", "3", "-w", str(tmp_path), "--dry-run", "--json"]
    found = json.loads(CliRunner().invoke(app, arguments).stdout)
    assert (found["root"], found["blade"], found["teeth"], found["dry_run"]) == (str(tmp_path), 3, 7, True)


def test_an_error_of_the_body_is_told_with_its_exit_code() -> None:
    ended = CliRunner().invoke(app, ["cut", "stone", "--json"])
    assert ended.exit_code == 2
    assert json.loads(ended.stdout)["error"] == {"found": "A stone cannot be cut", "where": "WHAT"}


def test_a_workspace_whose_path_is_not_utf_8_is_refused() -> None:
    ended = CliRunner().invoke(app, ["cut", "-w", os.fsdecode(b"caf\xe9"), "--json"])
    assert ended.exit_code == 2
    error = json.loads(ended.stdout)["error"]
    assert (error["found"], error["where"]) == ("The path is not valid UTF-8", r"caf\xe9")
    assert error["next"].startswith("rename")


def test_help_shows_every_option_once() -> None:
    text = CliRunner().invoke(app, ["cut", "--help"]).output
    for name in ("--blade", "--teeth", "--workspace", "--dry-run", "--json", "--verbose", "--debug"):
        assert text.count(f"{name} ") == 1, name
    assert "Cut something." in text
    assert "<dir>" in CliRunner().invoke(app, ["group", "inner", "--help"]).output  # an argument that is a folder


def test_a_command_knows_its_options_after_its_help() -> None:
    command = typer.main.get_command(app)
    for arguments in ([], ["cut"], ["group"]):
        command([*arguments, "--help"], standalone_mode=False)
    (chooser,) = (option for option in command.commands["cut"].params if option.name == "sharpen")
    assert (chooser.opts, chooser.secondary_opts) == (["--sharpen"], ["--blunt"])


def test_an_option_before_the_name_of_a_command_is_refused(tmp_path: Path) -> None:
    ended = CliRunner().invoke(app, ["group", "--workspace", str(tmp_path), "inner"])
    assert ended.exit_code == 2
    assert "go after its name" in ended.output


@pytest.mark.parametrize(("arguments", "expected"), [([], "by_itself"), (["inner"], "inner")])
def test_the_callback_of_a_group_runs_only_by_itself(arguments: list[str], expected: str) -> None:
    ended = CliRunner().invoke(app, ["group", *(arguments or ["--json"]), *(["--json"] if arguments else [])])
    found = json.loads(ended.stdout)  # one object, not one of each
    assert set(found) == {"ok", "exit_code", expected}


@pytest.mark.parametrize(
    ("arguments", "found", "where"),
    [
        ("cut --json --nope", "No such option: --nope", "root cut"),
        ("cut --nope --json", "No such option: --nope", "root cut"),
        ("cut --json a b", "Got unexpected extra argument(s) (b)", "root cut"),
        ("cut --json --teeth x", "Invalid value for '--teeth': 'x' is not an integer from 1 to 1000", "root cut"),
        ("cut --json --teeth 1001", "Invalid value for '--teeth': '1001' is not an integer from 1 to", "root cut"),
        ("cut --json --blade -1", "Invalid value for '--blade': '-1' is not an integer of at least 0", "root cut"),
        ("cut --json --count 5.5", "Invalid value for '--count': '5.5' is not an integer", "root cut"),
        ("cut --json --weight x", "Invalid value for '--weight': 'x' is not a number of at most 2.5", "root cut"),
        ("cut --json --weight nan", "Invalid value for '--weight': 'nan' is not a number of at most 2.5", "root cut"),
        ("cut --json --slices x", "Invalid value for '--slices': 'x' is not one of 'thin', 'thick'", "root cut"),
        ("cut --json --teeth", "Option '--teeth' requires an argument", "root"),
        ("slice --json", "Missing argument 'what'", "root slice"),
        ("nope --json", "No such command 'nope'", "root"),
        ("--json cut", "No such option: --json", "root"),
        ("group --json inner", "Options of a command go after its name: root group inner …", "root group"),
        ("group inner --json --nope", "No such option: --nope", "root group inner"),
    ],
)
def test_an_error_of_usage_is_one_json_object_if_json_is_asked_for(arguments: str, found: str, where: str) -> None:
    ended = CliRunner().invoke(app, arguments.split(), prog_name="root")
    assert ended.exit_code == 2
    told = json.loads(ended.stdout)
    assert (told["ok"], told["exit_code"]) == (False, 2)
    assert told["error"]["found"].startswith(found)
    assert told["error"].get("where") == where
    assert "--help" in told["error"]["next"]
    assert ended.stderr == ""


def test_a_file_for_a_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ended = CliRunner().invoke(app, ["cut", "-w", str(tmp_path / "file"), "--json"])
    assert ended.exit_code == 2
    assert json.loads(ended.stdout)["error"]["found"].endswith(f"{tmp_path / 'file'}' is a file; expected a folder")


def test_a_path_that_cannot_be_looked_up_reaches_the_body() -> None:
    """Its message is that of the command, which tells what it wanted there; Typer's own type of paths did so, too."""
    told = json.loads(CliRunner().invoke(app, ["cut", "stone", "-w", "a" * 300, "--json"]).stdout)
    assert told["error"]["found"] == "A stone cannot be cut"


@pytest.mark.parametrize("arguments", ["cut --nope", "slice", "cut a -- --json"])
def test_an_error_of_usage_is_told_on_stderr_otherwise(arguments: str) -> None:
    ended = CliRunner().invoke(app, arguments.split())
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert "Usage:" in ended.stderr


@pytest.mark.parametrize("arguments", [["cut"], ["group", "inner"]])
def test_an_interrupt_before_the_command_has_begun_is_told_with_its_exit_code(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "command_context", interrupted)
    told = CliRunner().invoke(app, arguments)
    assert (told.exit_code, told.stdout, told.stderr.splitlines()[0]) == (3, "", "error: Interrupted")
    told = CliRunner().invoke(app, [*arguments, "--json"])
    assert (told.exit_code, json.loads(told.stdout)["error"]["found"]) == (3, "Interrupted")
