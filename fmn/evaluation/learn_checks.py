"""Checks of `fmn learn`: which runs can learn new classes, from which pairs, into which folder."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from dataset_tools.core.count_of import count_of
from dataset_tools.core.errors import InputError, ToolkitError
from dataset_tools.core.files import sha256_of
from dataset_tools.manifests import ClassLabel, ClipRow, UtteranceRow
from fmn.data.items import Items
from fmn.data.loading import OTHER_FEATURES
from fmn.data.manifest_checks import check_class_ids
from fmn.models.fmn import FeatureMemoryNetwork
from fmn.models.memory import Modality
from fmn.training.checkpoint import CHECKPOINT_FILE, CONFIG_FILE, LoadedRun
from fmn.training.learned_classes import LearnedClasses
from fmn.training.own_features import has_same_features
from fmn.training.run_state import read_run_state


def memory_network(loaded: LoadedRun) -> FeatureMemoryNetwork:
    """Returns the model of a run that can learn new classes.

    Raises:
        InputError: the run cannot.
    """
    model = loaded.model
    used = model.config if isinstance(model, FeatureMemoryNetwork) else loaded.config
    score = used.model.score  # that of fmn_no_memory is S1, whatever its config.json has
    if loaded.config.training.labels != "class":
        raise InputError(
            "The run was trained without class labels: its slots are clusters, which cannot be combined with classes",
            where=loaded.path,
            expected="a run with training.labels=class",
            next_step="train one, then learn the new classes",
        )
    if not isinstance(model, FeatureMemoryNetwork) or not model.reads_memories or score == "distance":
        raise InputError(
            f"The run is {loaded.config.system} with model.score={score}, which reads no agreement of the memories",
            where=loaded.path,
            expected="a run of fmn with the score combined, memory, s1*max or s1/max",
            next_step="train one: fmn train --model fmn",
        )
    return model


def new_items(items: Items, loaded: LoadedRun, *, skip_known: bool) -> Items:
    """Selects the items of classes that the run was not trained on.

    Raises:
        InputError: the run cannot learn any (`memory_network`); there are none; without ``skip_known``, others; or the
            id of one differs from a known one only in how its letters are encoded.
    """
    memory_network(loaded)
    known = {label.id for label in loaded.about.classes}
    found = [label.id for label in items.classes if label.id in known]
    if found and (not skip_known or len(found) == len(items.classes)):
        raise InputError(
            f"The run was already trained on {', '.join(found)}",
            where=items.manifest,
            expected="pairs of new classes",
            next_step="leave these pairs out, or skip them with --skip-known"
            if len(found) < len(items.classes)
            else "use pairs of other classes",
        )
    learned = loaded.learned.classes if loaded.learned else ()
    check_class_ids({*known, *(label.id for label in (*learned, *items.classes))}, items.manifest)
    rows: tuple[Sequence[ClipRow | UtteranceRow], ...] = (items.clips, items.utterances)
    return items.kept(*(np.array([row.class_id not in known for row in part], dtype=bool) for part in rows))


def check_complete(manifest: Path, failures: Mapping[str, ToolkitError], *, are_fitted: bool = False) -> None:
    """Checks that all items of a manifest have features, or those of it that the run is fitted to.

    Raises:
        InputError: there are ``failures``, the errors of items without features.
    """
    if failures:
        name, error = next(iter(failures.items()))
        files = count_of(len(failures), "file has", "files have")
        raise InputError(
            f"{files} no features; the first, {name}: {error.found}",
            where=manifest,
            expected=f"features for all {'items that the run was trained on' if are_fitted else 'pairs'}",
            next_step="restore the files (fmn-data verify names them)"
            if are_fitted
            else "remove their pairs from the manifest, or replace the files",
        )


def check_sources(
    loaded: LoadedRun, sources: tuple[str, str], own: tuple[Mapping[str, str], Mapping[str, str]]
) -> None:
    """Checks that features are like those of the training.

    Args:
        loaded: the run.
        sources: digests that identify the features, video and audio; empty: not known.
        own: their `FeatureSet.own`.

    Raises:
        InputError: they are not.
    """
    state = read_run_state(loaded.path)
    known = loaded.about.sources
    if not has_same_features(known, state, (sources[0] or known[0], sources[1] or known[1]), own):
        raise InputError(
            f"The features differ from those of the training: {OTHER_FEATURES}",
            where=loaded.path,
            expected="the encoders, weights and libraries that the run was trained with",
            next_step="restore them, or train again",
        )


def needs_copy(run: Path, out: Path) -> bool:
    """Whether a folder is still to become a copy of a run; False: it is one already, or the run itself.

    Raises:
        InputError: it cannot, or contains another run.
    """
    if out.resolve() == run.resolve():
        return False
    if out.resolve().parent != run.resolve().parent:
        raise InputError(
            "A run records its training manifest relative to its own folder",
            where=out,
            expected=f"a folder next to {run}",
            next_step=f"use such a folder: --out {shlex.quote(str(run.resolve().parent / out.name))}",
        )
    present = [name for name in (CONFIG_FILE, CHECKPOINT_FILE) if (out / name).exists()]
    other = next((name for name in present if sha256_of(out / name) != sha256_of(run / name)), None)
    if other is not None:
        raise InputError(
            f"The folder contains the {other} of another run, or of something else",
            where=out,
            expected=f"a copy of {run}, or no run",
            next_step="specify another folder",
        )
    return CHECKPOINT_FILE not in present


def joined_classes(before: LearnedClasses | None, items: Items) -> tuple[ClassLabel, ...]:
    """Returns the classes that a run has learned before and those of the clips of ``items``, sorted by id.

    Raises:
        InputError: a class was learned before with another action, subject or object, or with an id that differs only
            in how its letters are encoded.
    """
    labels = {label.id: label for label in before.classes} if before else {}
    check_class_ids({*labels, *(label.id for label in items.classes)}, items.manifest)  # a copy may have learned more
    ids = {row.class_id for row in items.clips}
    for label in items.classes:
        if label.id in ids and labels.setdefault(label.id, label) != label:
            raise InputError(
                f"The class {label.id!r} differs from the class of this name that was learned before",
                where=items.manifest,
                expected="the same action, subject and object",
                next_step="give it another name, or learn into a fresh copy of the run",
            )
    return tuple(labels[name] for name in sorted(labels))


def unlearned_places(before: LearnedClasses | None, items: Items) -> dict[Modality, list[int]]:
    """Returns the places of the clips and utterances that a run would add to those that it has learned, ascending.

    Of several with the same content and class, that is the first.
    """
    both: dict[Modality, Sequence[ClipRow | UtteranceRow]] = {"video": items.clips, "audio": items.utterances}
    found = {}
    for modality, rows in both.items():
        first = {(row.sha256, row.class_id): place for place, row in reversed([*enumerate(rows)])}
        found[modality] = sorted(first[content] for content in first.keys() - _learned(before, modality))
    return found


def _learned(before: LearnedClasses | None, modality: Modality) -> set[tuple[str, str]]:
    if before is None:
        return set()
    ids = (before.classes[number].id for number in before.memory[modality].classes.tolist())
    return set(zip(before.sha256s[modality], ids, strict=True))
