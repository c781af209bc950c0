"""Changes valid content, at the level of bytes and at that of values, and gives it to a reader, within bounds.

Longer by hand, with other examples each time: FMN_FUZZ_EXAMPLES=2000 python -m pytest tests/fuzz -n 2
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataset_tools.core.errors import ToolkitError

OLD = Path(__file__).parents[1] / "fixtures" / "workspace_0_1_0"
EXAMPLES = int(os.environ.get("FMN_FUZZ_EXAMPLES", "10"))
MOST_CPU_S = 8.0
MOST_BYTES = 768 * 2**20

VALUES = (  # as they stand in JSON; some are no JSON at all
    *("null", "true", "-1", "0", "1", "2", "1.5", "1e308", "1e999", "-1e999", "NaN", "Infinity", "1" * 400, "-0.0"),
    *("9223372036854775807", "9223372036854775808", "1000000000", '""', '" "', '"\\ud800"', '"\\u0000"', '"\\n"'),
    *('"../x"', '"/etc/passwd"', '"C:\\\\x"', '"[/]"', '"é手ß\u202e"', '"fmn.clip/2"', '"' + "x" * 5000 + '"'),
    *("[]", "{}", "[[]]", "[null]", "[1, 2]", '{"a": {}}', '{"a": 1, "a": 2}', "[" * 60 + "]" * 60, "[" * 100_000),
    *('{"a":' * 3000 + "1" + "}" * 3000, "'", "1,", "#"),
)
BYTES = (
    *(
        b"",
        b"\0",
        b"\xff",
        b"\xff" * 64,
        b"\0" * 64,
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"\n",
        b"\r",
        b'"',
        b",",
        b";",
        b":",
    ),
    *(b"\xed\xa0\x80", b"[" * 100_000, b"9" * 5000, b"{", b"}", b"\t", b"- ", b"&a *a", b"../", b"\xf0\x9f\x8d\xb3"),
)
_HOLE = "@@hole@@"


@st.composite
def changed_bytes(draw: st.DrawFn, content: bytes) -> bytes:
    """Content with a few of its bytes changed, taken out, doubled or put in."""
    for _ in range(draw(st.integers(1, 4))):
        # The start and the end of a file are where most of its structure is.
        start = draw(st.integers(0, len(content)) | st.integers(0, min(512, len(content))))
        length = draw(st.integers(0, 8) | st.integers(0, len(content)))
        kind = draw(st.sampled_from(["put", "replace", "cut", "double", "truncate", "flip"]))
        new = draw(st.sampled_from(BYTES) | st.binary(max_size=16))
        if kind == "put":
            content = content[:start] + new + content[start:]
        elif kind == "replace":
            content = content[:start] + new + content[start + len(new) :]
        elif kind == "cut":
            content = content[:start] + content[start + length :]
        elif kind == "double":
            content = content[: start + length][:2_000_000] + content[start:]
        elif kind == "truncate":
            content = content[:start]
        elif start < len(content):
            content = content[:start] + bytes([content[start] ^ (1 << draw(st.integers(0, 7)))]) + content[start + 1 :]
    return content


@st.composite
def changed_value(draw: st.DrawFn, value: Any) -> str:
    """JSON text of a value of which one part, at any depth, is another one, gone, or under another name."""
    whole = [value]
    place: Any = whole
    key: Any = 0
    while isinstance(place[key], dict | list) and place[key] and draw(st.integers(0, 5)):
        place = place[key]
        key = draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
    kind = draw(st.sampled_from(["value", "value", "value", "lacking", "name", "twice"]))
    if kind == "lacking" and place is not whole:
        del place[key]
    elif kind == "name" and isinstance(place, dict):
        place[draw(st.sampled_from(["", "x", "../x", "\ud800", "schema", "id", "\0"]))] = place.pop(key)
    elif kind == "twice" and isinstance(place, list) and place is not whole:
        place.insert(key, place[key])
    else:
        place[key] = _HOLE
    text = json.dumps(whole[0])
    return text.replace(f'"{_HOLE}"', draw(st.sampled_from(VALUES)))


def changed_json(content: bytes) -> st.SearchStrategy[bytes]:
    return st.builds(lambda: json.loads(content)).flatmap(changed_value).map(str.encode)


@st.composite
def changed_row(draw: st.DrawFn, content: bytes) -> bytes:
    """A JSONL file in which one row is changed, or stands elsewhere."""
    lines = content.splitlines()
    number = draw(st.integers(0, len(lines) - 1))
    lines[number] = draw(changed_json(lines[number]))
    if not draw(st.integers(0, 9)):
        lines.insert(draw(st.integers(0, len(lines))), lines[number])
    return b"\n".join([*lines, b""])


@st.composite
def changed_cell(draw: st.DrawFn, content: bytes) -> bytes:
    """A CSV in which one cell is another one."""
    lines = [line.split(b",") for line in content.splitlines()]
    line = draw(st.sampled_from(lines))
    line[draw(st.integers(0, len(line) - 1))] = draw(st.sampled_from([value.encode() for value in VALUES]))
    return b"\n".join(b",".join(line) for line in lines)


@st.composite
def changed_header(draw: st.DrawFn, content: bytes) -> bytes:
    """A safetensors file whose header is changed, or (JSON in JSON) what the header says of the file."""
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    about = header.get("__metadata__", {})
    nested = sorted(name for name, text in about.items() if text.startswith(("{", "[")))
    if nested and draw(st.booleans()):
        name = draw(st.sampled_from(nested))
        about[name] = draw(changed_value(json.loads(about[name])))
        text = json.dumps(header)
    else:
        text = draw(changed_value(header))
    encoded = text.encode()
    stated = draw(st.just(len(encoded)) | st.sampled_from([0, 2**31, 2**63]))
    return struct.pack("<Q", stated) + encoded + content[8 + length :]


CHANGES = {
    "bytes": (changed_bytes,),
    "json": (changed_json, changed_json, changed_bytes),
    "rows": (changed_row, changed_row, changed_bytes),
    "csv": (changed_cell, changed_bytes),
    "header": (changed_header, changed_header, changed_bytes),
}


@contextmanager
def bounded() -> Iterator[None]:
    """Fails for what takes more memory than `MOST_BYTES` beyond what there is, or more than `MOST_CPU_S`."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MOST_BYTES, hard))
    began = time.process_time()
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    assert time.process_time() - began < MOST_CPU_S


@pytest.fixture
def fuzz(tmp_path: Path) -> Callable[..., None]:
    """Gives a reader content that was changed, `EXAMPLES` times."""

    def run(form: str, path: str, read: Callable[[Path], object], content: Callable[[], bytes] | None = None) -> None:
        root = Path(shutil.copytree(OLD, tmp_path / "w"))
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        valid = file.read_bytes() if content is None else content()
        file.write_bytes(valid)
        read(root)  # the content as it is can be read

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize="FMN_FUZZ_EXAMPLES" not in os.environ,
            suppress_health_check=list(HealthCheck),
        )
        @given(st.one_of([change(valid) for change in CHANGES[form]]))
        def any_change(new: bytes) -> None:
            file.write_bytes(new)
            try:
                with bounded():
                    read(root)
            except ToolkitError as error:
                assert file.name in str(error) or str(file.parent) in str(error)

        any_change()

    return run
