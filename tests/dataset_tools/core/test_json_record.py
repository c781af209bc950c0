from __future__ import annotations

from pathlib import Path

import pytest

from dataset_tools.core.errors import InputError, ManifestError
from dataset_tools.core.json_record import read_record, record_bytes

TEXTS = {"name": "notes", "expected": "an object", "next_step": "delete it"}


def refuse_zero(values: dict[str, int]) -> None:
    if 0 in values.values():
        raise ValueError("a zero")


def test_a_record_is_read_as_it_was_written_and_none_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    assert read_record(path, dict[str, int], **TEXTS) is None
    path.write_bytes(record_bytes({"b": 1, "a": 2}))
    assert path.read_text() == '{\n  "b": 1,\n  "a": 2\n}\n'
    assert read_record(path, dict[str, int], **TEXTS, check=refuse_zero) == {"b": 1, "a": 2}


@pytest.mark.parametrize(
    ("content", "reason"),
    [("{", "truncated"), ('{"a": "x"}', "Expected `int`"), ("[" * 10_000, ""), ('{"a": 0}', "a zero")],
)
@pytest.mark.parametrize("kind", [InputError, ManifestError])
def test_what_cannot_be_used_is_refused_with_its_name_and_advice(
    tmp_path: Path, content: str, reason: str, kind: type[InputError]
) -> None:
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(kind) as refused:
        read_record(path, dict[str, int], **TEXTS, check=refuse_zero, raises=kind)
    assert refused.value.found.startswith("The notes cannot be read: ")
    assert reason in refused.value.found
    assert (refused.value.where, refused.value.expected, refused.value.next_step) == (
        str(path),
        "an object",
        "delete it",
    )
