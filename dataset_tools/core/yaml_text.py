"""YAML reader that keeps every scalar as text, so that ``preposition: on`` is not read as ``true``.

Not strictyaml or ruamel.yaml, but PyYAML's own loader, over libyaml where PyYAML was built with it (ten times as fast),
with checks that it lacks: duplicate keys, aliases, depth.
"""

from __future__ import annotations

import codecs
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from dataset_tools.core.errors import InputError
from dataset_tools.core.files import read_input

try:
    from yaml import CBaseLoader as Loader
except ImportError:
    from yaml import BaseLoader as Loader  # type: ignore[assignment]

MOST_BYTES = 2**22
"""Size limit of a YAML file, as reading is slow; 20 classes with their words have 10 thousand bytes."""
_OPENING = (
    yaml.FlowSequenceStartToken,
    yaml.FlowMappingStartToken,
    yaml.BlockSequenceStartToken,
    yaml.BlockMappingStartToken,
)
_CLOSING = (yaml.FlowSequenceEndToken, yaml.FlowMappingEndToken, yaml.BlockEndToken)


class _TextLoader(Loader):
    """Reads every scalar as text, and refuses duplicate keys."""

    def construct_scalar(self, node: yaml.ScalarNode) -> str:
        text = str(super().construct_scalar(node))
        text.encode()  # a lone surrogate, from an escape such as "\\uD800", cannot be stored in a manifest
        return text

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="a key is not a scalar", problem_mark=key.start_mark)
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"duplicate key {key.value!r}", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_yaml_text(path: Path, expected: str) -> object:
    """Reads a YAML file: mappings, lists and strings.

    Args:
        path: the file.
        expected: what the file should be, for the message.

    Raises:
        InputError: there is no such file, it is not YAML, or it has a duplicate key, an alias or deep nesting.
    """
    try:
        content = read_input(path, MOST_BYTES)
        if not content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            content.decode()  # its error names the wrong byte; that of libyaml, the next one
        _refuse_bombs(content)
        return yaml.load(content, Loader=_TextLoader)  # creates strings, lists and dicts only
    except OSError as error:
        raise InputError(
            f"The file cannot be read: {error.strerror}", where=path, expected=expected, next_step="check the path"
        ) from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise InputError(
            f"The file cannot be read as YAML: {' '.join(str(error).split())}",
            where=path,
            expected=expected,
            next_step="correct the place named above; the file must be in UTF-8",
        ) from error


def _refuse_bombs(content: bytes) -> None:
    """Refuses aliases, a few of which can expand to gigabytes, and nesting so deep that it takes minutes to parse."""
    depth = 0
    for token in yaml.scan(content, Loader=Loader):
        if isinstance(token, yaml.AliasToken):
            raise yaml.MarkedYAMLError(problem="an alias (*name) is not allowed", problem_mark=token.start_mark)
        depth += isinstance(token, _OPENING) - isinstance(token, _CLOSING)
        if depth > 50:
            raise yaml.MarkedYAMLError(problem="it is nested too deeply", problem_mark=token.start_mark)
