"""Check of ``--preset`` and ``--form`` against a complete configuration, which overrides them entirely."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dataset_tools.core.errors import InputError
from fmn.config import LATER, Form, PresetName, as_dict, flattened, preset
from fmn.models.system_interface import System

_OF_PRESET = ("video.", "audio.")  # features identify a preset; sizes and epochs are often changed


def check_agreement(
    file: Path, values: Mapping[str, Any], system: System, preset_name: PresetName, form: Form, *, default: PresetName
) -> None:
    """Rejects a preset or form that a complete configuration contradicts: the run would be named after it.

    Args:
        file: the configuration file.
        values: its values, by dotted name; a partial configuration is not checked.
        system: the system that it configures.
        preset_name: the selected preset.
        form: the selected form.
        default: the default preset, which is not checked since it may not have been selected.

    Raises:
        InputError: the configuration has the features of another preset, or the equations of another form.
    """
    plain, chosen = (flattened(as_dict(system.adapt(preset(preset_name, one)))) for one in ("standard", form))
    later = {f"{section}.{key}" for section, keys in LATER.items() for key in keys}
    if not plain.keys() - later <= values.keys():
        return
    of_form = [name for name, value in chosen.items() if plain[name] != value]
    of_preset = [name for name in chosen if name.startswith(_OF_PRESET)] if preset_name != default else []
    typed = {f"--form {form.replace('_', '-')}": of_form, f"--preset {preset_name}": of_preset}
    for option, names in typed.items():
        other = [name for name in names if name in values and values[name] != chosen[name]]
        if other:
            raise InputError(
                f"The configuration is complete and contradicts {option}: {other[0]} is {values[other[0]]!r}, not "
                f"{chosen[other[0]]!r}",
                where=file,
                expected=f"a complete configuration, or {option}",
                next_step=f"leave out {option}, or --config",
            )
