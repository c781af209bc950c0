"""Options of both command lines: old names are read, and one name means one thing."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from cli import app
from dataset_tools.core.renamed_options import RENAMED


def commands(command: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every command of both apps, groups included, by its full name."""
    yield name, command
    for word, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, f"{name} {word}".strip())


COMMANDS = dict(commands(typer.main.get_command(app)))
LEAVES = [name for name, command in COMMANDS.items() if not hasattr(command, "commands")]
HELP = {
    (name, option): parameter.help
    for name, command in COMMANDS.items()
    for parameter in command.params
    for option in parameter.opts
    if option.startswith("--")
}


def metavar(name: str, option: str) -> str | None:
    return next(each.metavar for each in COMMANDS[name].params if option in each.opts)


def values(command: Any, arguments: list[str]) -> dict[str, Any]:
    parsed: dict[str, Any] = command.make_context("a command", arguments, resilient_parsing=True).params
    return parsed


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_an_old_name_is_read_as_the_new_one_with_a_notice(
    old: str, new: str, capsys: pytest.CaptureFixture[str]
) -> None:
    option, _, value = new.partition(" ")
    have = [name for name in COMMANDS if (name, option) in HELP and (value or (name, old) not in HELP)]
    assert have
    for name in have:
        (parameter,) = (each for each in COMMANDS[name].params if option in each.opts)
        rest = [] if value or parameter.is_flag else ["7"]
        expected = values(COMMANDS[name], [*new.split(), *rest])
        assert expected != values(COMMANDS[name], []) or new == "--form standard", name  # which is the default
        assert capsys.readouterr().err == ""
        assert values(COMMANDS[name], [*old.split(), *rest]) == expected, name
        told = capsys.readouterr()
        assert f"{old} is now {new}" in told.err
        assert told.out == ""


@pytest.mark.parametrize(
    "option", ["--workspace", "--jobs", "--json", "--verbose", "--debug", "--dry-run", "--class-file", "--device"]
)
def test_an_option_has_one_help_text_everywhere(option: str) -> None:
    assert len({text for (_, name), text in HELP.items() if name == option}) == 1


NUMBERS = [(name, option) for (name, option), text in HELP.items() if metavar(name, option) in ("N", "X")]


@pytest.mark.parametrize(("name", "option"), NUMBERS)
def test_a_wrong_number_is_told_with_what_was_expected(name: str, option: str) -> None:
    """Not in the words of a library, which differ between its versions."""
    ended = CliRunner().invoke(app, [*name.split(), option, "many"])
    assert ended.exit_code == 2
    said = " ".join(re.sub(r"[│╭╮╰╯─]", " ", ended.output).split())
    assert re.search(r"'many' is not (an integer|a number)( from .+ to| of at (least|most))?", said), said


def test_no_command_has_an_old_name() -> None:
    gone = {"--intervals", "--output", "--num-workers", "--workers", "--root", "--third-look", "--hash-again", "--to"}
    assert not {(name, option) for name, option in HELP if option in gone}
    assert "--classes" in {option for name, option in HELP if name == "data build"}


def test_every_command_has_the_common_options() -> None:
    assert len(LEAVES) > 20
    for name in LEAVES:
        assert {"--json", "--verbose", "--debug"} <= {option for own, option in HELP if own == name}, name


@pytest.mark.parametrize("name", LEAVES)
def test_help_has_an_example_and_says_what_every_parameter_is(name: str) -> None:
    program = f"fmn-data {name.removeprefix('data ')}" if name.startswith("data ") else f"fmn {name}"
    assert f"Example: {program}" in COMMANDS[name].help
    assert all(parameter.help for parameter in COMMANDS[name].params if parameter.name != "help")


@pytest.mark.parametrize("name", LEAVES)
def test_usage_puts_an_optional_argument_in_brackets_once(name: str) -> None:
    usage = COMMANDS[name].get_usage(COMMANDS[name].make_context("a command", [], resilient_parsing=True))
    assert "[[" not in usage
    arguments = {each.name for each in COMMANDS[name].params if not each.opts[0].startswith("-")}
    assert len(usage.split("[OPTIONS]")[1].split()) == len(arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        "train --run FILE",
        "data report --out FILE",
        "data download FILE --accept-licence",
        "data build --workspace FILE",
        "compare --out FILE",
        "ablate --out FILE",
        "data annotate push --out FOLDER",
        "train --config FOLDER",
    ],
)
def test_a_file_for_a_folder_or_the_reverse_is_wrong_usage(arguments: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    named = arguments.replace("FILE", str(tmp_path / "file")).replace("FOLDER", str(tmp_path))
    ended = CliRunner().invoke(app, named.split())
    assert ended.exit_code == 2
    assert "Invalid value" in ended.output
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("name", ["ablate", "tune", "newclasses", "train", "compare", "finetune"])
def test_a_dry_run_refuses_a_manifest_that_is_missing(name: str, tmp_path: Path) -> None:
    ended = CliRunner().invoke(app, [name, str(tmp_path / "train.jsonl"), "--dry-run"])
    assert ended.exit_code == 2
    assert "There is no such manifest" in ended.output


def test_commands_are_listed_in_the_order_of_the_work() -> None:
    root = COMMANDS[""]
    assert root.list_commands(None)[0] == "data"
    listed = COMMANDS["data"].list_commands(None)
    work = ["standin", "classes", "build", "speech", "annotate", "pairs", "export"]
    assert [name for name in listed if name in work] == work
    of_fmn = [name for name in root.list_commands(None) if name in ("train", "eval", "search", "compare", "finetune")]
    assert of_fmn == ["train", "eval", "search", "compare", "finetune"]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_at_80_columns_has_room_for_its_texts(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = CliRunner().invoke(app, [*name.split(), "--help"]).output
    assert max(map(len, text.splitlines())) <= 80
    assert "[[" not in text
    texts = [COMMANDS[name].help, *(parameter.help for parameter in COMMANDS[name].params)]
    assert not [word for said in texts for word in (said or "").split() if word.strip("`") not in text]  # none is cut
    assert not [
        word for word in ("<bool>", "<int", "<float", "<str", "BOOLEAN") if word in text.partition("Options")[2]
    ]


@pytest.mark.parametrize("arguments", [["--version"], ["data", "--version"]])
def test_the_version_is_that_of_the_package(arguments: list[str]) -> None:
    ended = CliRunner().invoke(app, arguments)
    assert (ended.exit_code, ended.output) == (0, f"fmn-toolkit {metadata.version('fmn-toolkit')}\n")


@pytest.mark.parametrize(
    ("module", "typed", "expected"),
    [
        ("fmn.cli.main", "fmn tr", ["train"]),
        ("fmn.cli.main", "fmn train --video", ["--video-encoder"]),
        ("dataset_tools.cli.main", "fmn-data speech rec", ["record"]),
        ("dataset_tools.cli.main", "fmn-data build --engine r", ["ray"]),
    ],
)
def test_a_shell_completes_commands_options_and_values(module: str, typed: str, expected: list[str]) -> None:
    program = typed.split()[0]
    asked = {
        f"_{program.replace('-', '_').upper()}_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(typed.split()) - 1),
        "PYTHONPATH": ":".join(sys.path),
    }
    code = f"import sys; sys.argv = [{program!r}]; from {module} import main; main()"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=asked)
    assert ended.stdout.split() == expected, ended.stderr


@pytest.mark.parametrize("module", ["dataset_tools.cli.main", "fmn.cli.main"])
def test_help_loads_no_torch(module: str) -> None:
    code = (
        f"import sys; from {module} import app; app(['--help'], standalone_mode=False); print('torch' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Usage" in ended.stdout
    assert ended.stdout.split()[-1] == "False"
