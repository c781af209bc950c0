"""Reads annotations/sentences/grammar.yaml: what the sentence grammar knows beyond the class file."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from dataset_tools.errors import InputError
from dataset_tools.shipped import shipped_file


class Phrase(NamedTuple):
    """A sentence or a part of one, and how often it is to be said relative to the others."""

    text: str
    weight: float = 1.0


class EnglishGrammar(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """English words beyond the class file; the comments of the shipped file say what each is."""

    verbs: dict[str, tuple[str, str, str, str]] = {}
    also: dict[str, tuple[str, ...]] = {}
    prepositions: dict[str, dict[str, str]] = {}
    tails: dict[str, tuple[str, ...]] = {}
    definite: tuple[str, ...] = ()
    names: dict[str, tuple[str, ...]] = {}
    plurals: tuple[str, ...] = ()


class ChineseAction(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an action is said in Chinese: verbs, and the results that a 把 sentence ends with."""

    verbs: tuple[str, ...]
    before: tuple[str, ...] = ()
    progressive: Literal["verb", "result"] = "verb"
    results: tuple[str, ...] = ()
    results_by_role: dict[str, tuple[str, ...]] = {}


class ChineseGrammar(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Chinese words beyond the class file."""

    actions: dict[str, ChineseAction] = {}
    definite: tuple[str, ...] = ()


class Grammar(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="schema", tag="fmn.grammar/1"
):
    """The whole file."""

    english: EnglishGrammar
    chinese: ChineseGrammar


@lru_cache
def load_grammar(path: Path | None = None) -> Grammar:
    """Reads a grammar file; None is the shipped one.

    Raises:
        InputError: there is no such file, or a key of it is unknown or of the wrong kind (it is named).
    """
    path = shipped_file("sentences/grammar.yaml") if path is None else path
    try:
        return msgspec.yaml.decode(path.read_bytes(), type=Grammar)
    except (OSError, msgspec.DecodeError) as error:
        raise InputError(
            f"The grammar file cannot be read: {error}",
            where=path,
            expected="a YAML file of schema fmn.grammar/1, such as the one that ships with the toolkit",
            next_step=f"correct the key named above; the shipped file is {shipped_file('sentences/grammar.yaml')}",
        ) from error
