"""Check of ``--preset`` and ``--form`` against a complete configuration, which determines a run entirely."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dataset_tools.core.errors import InputError
from fmn.config import PAPER, Config, Form, PresetName, as_dict, flattened, preset
from fmn.config_sections import decisive
from fmn.models.system_interface import System
from fmn.systems import find_system

_OF_PRESET = ("video.", "audio.")  # features identify a preset; sizes and epochs are often changed


class Contradiction(NamedTuple):
    """An option, and how a configuration differs from it: ``model.score is 's1', not 'combined'``."""

    option: str
    how: str


def contradiction(
    values: Mapping[str, Any],
    system: System,
    preset_name: PresetName | None,
    form: Form | None,
    overridden: Collection[str] = (),
) -> Contradiction | None:
    """Returns the first contradiction between a complete configuration and ``--preset`` or ``--form``.

    Args:
        values: the configuration, by dotted name; a partial one contradicts nothing.
        system: the system that it configures.
        preset_name: the selected preset; None: no preset was selected.
        form: the selected form of the equations; None: no form was selected.
        overridden: names of values that other options set.

    Returns:
        The configuration has the features of another preset, or the equations of another form; None: neither.
    """
    base = preset_name or "demo"
    standard, published = (flattened(as_dict(system.adapt(preset(base, one)))) for one in ("standard", "as_published"))
    later = flattened(as_dict(PAPER)).keys() - flattened(decisive(PAPER, of_run=True)).keys()
    if not standard.keys() - later <= values.keys():
        return None
    chosen, other = (published, standard) if form == "as_published" else (standard, published)
    # One value may have been changed: the other form's contradicts the form, any other one the features of the preset.
    of_other_form = [name for name, value in other.items() if chosen[name] != value == values.get(name)]
    # Own features and encoders replace the preset's, with all that belongs to them.
    replaced = tuple(part for part in _OF_PRESET if {f"{part}features", f"{part}encoder"} & set(overridden))
    features = [name for name in chosen if name.startswith(_OF_PRESET) and not name.startswith(replaced)]
    of_other_preset = [name for name in features if values.get(name, chosen[name]) != chosen[name]]
    differing = {
        f"--form {form}".replace("_", "-"): of_other_form if form else [],
        f"--preset {preset_name}": of_other_preset if preset_name else [],
    }
    for option, names in differing.items():
        for name in names:
            if name not in overridden:
                return Contradiction(option, f"{name} is {values[name]!r}, not {chosen[name]!r}")
    return None


def check_resumed(
    run: Path,
    held: Config,
    model: str | None,
    preset_name: PresetName | None,
    form: Form | None,
    overridden: Collection[str],
) -> None:
    """Checks the options that select a configuration against that of the run to resume.

    Args:
        run: the run.
        held: its configuration.
        model: ``--model``; None: not selected, as for the next two.
        preset_name: ``--preset``.
        form: ``--form``.
        overridden: names of values that other options set.

    Raises:
        InputError: one of them contradicts the configuration.
    """
    if model not in (None, held.system):
        found: Contradiction | None = Contradiction(f"--model {model}", f"system is {held.system!r}, not {model!r}")
    else:
        found = contradiction(flattened(as_dict(held)), find_system(held.system), preset_name, form, overridden)
    if found:
        raise InputError(
            f"The configuration of the run contradicts {found.option}: {found.how}",
            where=run,
            expected="a run resumes with its own configuration",
            next_step=f"leave out {found.option}, or leave out --resume and choose another folder with --run",
        )
