"""The official split of MPII Cooking 2: experimentalSetup/, or the lists shipped with the toolkit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import cast

from dataset_tools.core.count_of import count_of, first_of
from dataset_tools.core.errors import InputError
from dataset_tools.core.shipped_files import shipped_file
from dataset_tools.core.yaml_text import read_yaml_text

_FILES = {"train": "sequencesTrainAttr.txt", "val": "sequencesVal.txt", "test": "sequencesTest.txt"}
_SEQUENCE = re.compile(r"s\d{2,3}-d\d{2,3}")

Split = dict[str, frozenset[str]]


def read_official_split(root: Path, sequences: Iterable[str]) -> tuple[Split, tuple[str, ...]]:
    """Returns the sequences of ``train``, ``val`` and ``test``, and remarks on them, as full sentences.

    A sequence in two lists of experimentalSetup/ is kept in the later of train, val, test. If there is no
    experimentalSetup/, the shipped lists are used, and all sequences of persons in neither of them are for training.

    Args:
        root: the folder of the corpus.
        sequences: the sequences of the annotation file (``s07-d72``); empty: the shipped split is not used.

    Raises:
        InputError: a list has lines that are not a sequence.
    """
    setup = root / "experimentalSetup"
    if (setup / setup.name).is_dir():  # nested in some archives
        setup = setup / setup.name
    splits = {name: _read_sequences(setup / file) for name, file in _FILES.items() if (setup / file).is_file()}
    if not splits:
        return _shipped(frozenset(sequences))
    notes = []
    for earlier, later in (("train", "val"), ("train", "test"), ("val", "test")):
        shared = splits.get(earlier, frozenset()) & splits.get(later, frozenset())
        if shared:
            splits[earlier] -= shared
            notes.append(
                f"{count_of(len(shared), 'sequence is', 'sequences are')} in the official lists of {earlier} "
                f"and {later}: kept in {later}."
            )
    return splits, tuple(notes)


def _shipped(sequences: frozenset[str]) -> tuple[Split, tuple[str, ...]]:
    content = read_yaml_text(shipped_file("mpii-cooking-2-split.yaml"), "the split that ships with the toolkit")
    lists = cast(Mapping[str, list[str]], content)
    val, test = (frozenset(lists[name]) & sequences for name in ("val", "test"))
    persons = {sequence.partition("-")[0] for name in ("val", "test") for sequence in lists[name]}
    train = frozenset(sequence for sequence in sequences if sequence.partition("-")[0] not in persons)
    if not train or not test:
        return {}, ()
    note = (
        f"There is no experimentalSetup/: `--split mpii` uses the official lists that ship with the toolkit, "
        f"{count_of(len(val), 'sequence')} for validation and {len(test)} for testing; the {len(train)} of "
        "other persons are used "
        "for training, which is inferred."
    )
    return {"train": train, "val": val, "test": test}, (note,)


def _read_sequences(path: Path) -> frozenset[str]:
    """Reads the sequences of a list: one ``sNN-dNN`` per line, ``#`` starts a comment."""
    sequences = set()
    wrong = []
    for number, line in enumerate(path.read_text("utf-8", errors="replace").splitlines(), start=1):
        sequence = line.split("#", 1)[0].strip()
        if _SEQUENCE.fullmatch(sequence):
            sequences.add(sequence)
        elif sequence:
            wrong.append(f"line {number}: {sequence[:40]!r}")
    if wrong:
        raise InputError(
            f"The list has {count_of(len(wrong), 'line that is not a sequence', 'lines that are not sequences')}: "
            + ", ".join(first_of(wrong, 3)),
            where=path,
            expected="one sequence such as s07-d72 per line, comments after #",
            next_step="correct the lines, or remove the list from the folder to continue without official splits",
        )
    return frozenset(sequences)
