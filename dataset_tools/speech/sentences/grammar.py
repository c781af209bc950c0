"""Grammar file annotations/sentences/grammar.yaml: words of the sentence grammar beyond the class file."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from dataset_tools.classes.triplets import Role
from dataset_tools.core.errors import InputError
from dataset_tools.core.shipped_files import shipped_file
from dataset_tools.core.yaml_text import read_yaml_text

Form = Literal["ongoing", "plain", "done", "result"]


class Phrase(NamedTuple):
    """A sentence or part of a sentence, and its relative frequency."""

    text: str
    weight: float = 1.0


class Portions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Countable things of which a part may be used, and the verbs that allow it."""

    verbs: tuple[str, ...] = ()
    things: tuple[str, ...] = ()


class EnglishGrammar(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """English words beyond the class file; comments in the shipped file describe each field."""

    verbs: dict[str, tuple[str, str, str, str]] = {}
    also: dict[str, tuple[str, ...]] = {}
    prepositions: dict[str, dict[str, str]] = {}
    tails: dict[str, tuple[str, ...]] = {}
    as_a_whole: tuple[str, ...] = ()
    known: dict[str, tuple[str, ...]] = {}
    names: dict[str, tuple[str, ...]] = {}
    plurals: tuple[str, ...] = ()
    amounts: dict[str, tuple[str, ...]] = {}
    portions: Portions = Portions()


class ChineseForms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Templates of Chinese verb phrases, by form; None: as without a role."""

    ongoing: tuple[str, ...] | None = None
    plain: tuple[str, ...] | None = None
    done: tuple[str, ...] | None = None
    result: tuple[str, ...] | None = None


class ChineseAction(ChineseForms, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"by_role": "with"}):
    """Chinese templates of an action; by_role overrides them for an object in a role."""

    by_role: dict[Role, ChineseForms] = {}

    def templates(self, form: Form, role: Role | None) -> tuple[str, ...]:
        """Returns the templates of a form for an object in a role (None: no object)."""
        special = getattr(self.by_role[role], form) if role in self.by_role else None
        own: tuple[str, ...] = special if special is not None else getattr(self, form) or ()
        return own


class ChineseGrammar(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Chinese words beyond the class file."""

    actions: dict[str, ChineseAction] = {}
    several: tuple[str, ...] = ()


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
        InputError: there is no such file, it is not YAML, or a key is unknown or has the wrong type (it is named).
    """
    path = shipped_file("sentences/grammar.yaml") if path is None else path
    expected = "a YAML file of schema fmn.grammar/1, such as the one that ships with the toolkit"
    try:
        return msgspec.convert(read_yaml_text(path, expected), Grammar)
    except msgspec.ValidationError as error:
        raise InputError(
            f"The grammar file cannot be read: {error}",
            where=path,
            expected=expected,
            next_step=f"correct the key named above; the shipped file is {shipped_file('sentences/grammar.yaml')}",
        ) from error
