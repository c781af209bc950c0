"""Caveats of a run's results: what the corpus is, which features it has, and which items and classes the run knows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dataset_tools.core.count_of import count_of, first_of
from dataset_tools.manifests import ClipRow, SplitPairRow, UtteranceRow, read_rows
from fmn.data.items import Items
from fmn.data.known_items import known_items
from fmn.data.loading import OTHER_FEATURES, FeatureDataset
from fmn.data.outdated_pairs import outdated_pairs
from fmn.evaluation.run_manifests import unchanged_manifest
from fmn.models.fmn import FeatureMemoryNetwork
from fmn.models.memory import MODALITIES
from fmn.systems import find_system
from fmn.training.checkpoint import LoadedRun
from fmn.training.own_features import has_same_features
from fmn.training.run_state import read_run_state, validation_score

NAMED_CLASSES = 10
IDS_ONLY = (
    "The training manifest is missing or has changed: items that were trained on are recognized by their ids only, not "
    "by their content."
)
NO_VALIDATION_ITEMS = "The run is of an earlier version: the items of its fold 0 are not recognized."


def notes_of(loaded: LoadedRun, prepared: FeatureDataset) -> tuple[str, ...]:
    """Returns the caveats of the run's results on these items."""
    items = prepared.items
    notes = (
        *corpus_notes(items.standin),
        *prepared.notes,
        *notes_of_run(loaded, prepared.sources, prepared.own),
        *outdated_pairs(items),
        *notes_of_known(loaded, items.clips, items.utterances, measured=True),
        *notes_of_classes(loaded, items),
    )
    return tuple(dict.fromkeys(notes))  # the run's own notes include those of its features


def corpus_notes(standin: Any) -> tuple[str, ...]:
    """Returns the caveat of a stand-in corpus; ``standin``: its description in build.json, or None."""
    return () if standin is None else ("Synthetic (stand-in) corpus: these results say nothing about real kitchens.",)


def notes_of_run(
    loaded: LoadedRun, sources: tuple[str, str], own: tuple[Mapping[str, str], Mapping[str, str]]
) -> tuple[str, ...]:
    """Returns the caveats of a run that is used on features.

    Args:
        loaded: the run.
        sources: digests that identify the features, video and audio.
        own: their `FeatureSet.own`.
    """
    state, notes = read_run_state(loaded.path), list[str]()
    if state is not None and not state.finished:
        epochs = count_of(loaded.config.training.epochs, "epoch")
        weights = f"the weights are those of epoch {loaded.about.epoch}"  # the last one, if nothing is validated
        notes.append(f"Training has not ended ({state.epoch} of {epochs}): {weights}.")
    if footnote := find_system(loaded.config.system).footnote(loaded.config):
        notes.append(f"{loaded.config.system}: {footnote}.")
    if loaded.learned is not None:
        notes.append(loaded.learned.note)
    notes.extend(_notes_of_memories(loaded))
    if not has_same_features(loaded.about.sources, state, sources, own):
        notes.append(f"The features differ from those of the training: {OTHER_FEATURES}.")
    return (*notes, *(state.notes if state is not None else ()))


def _notes_of_memories(loaded: LoadedRun) -> Iterator[str]:
    """Yields the caveat of memories that hold nothing, or nothing of some classes, although slots are left."""
    model = loaded.model
    if not isinstance(model, FeatureMemoryNetwork) or not model.reads_memories:
        return
    threshold = f"S1 > T1 (memory.score_threshold={loaded.config.memory.score_threshold})"
    memory = model.memory
    if not memory.size:
        yield f"The memories are empty: no training pair has {threshold}. They do not affect the score."
    elif (
        loaded.config.memory.class_slots and loaded.config.training.labels == "class" and memory.size < memory.capacity
    ):
        held = set(memory.slot_classes[: memory.size].tolist())
        without = [label.id for number, label in enumerate(loaded.about.classes) if number not in held]
        if without:
            classes = count_of(len(without), "class has", "classes have")
            listed = ", ".join(first_of(without, NAMED_CLASSES))
            yield f"{classes} no slot in the memories: none of their training pairs has {threshold}: {listed}."


def notes_of_known(
    loaded: LoadedRun, clips: Sequence[ClipRow], utterances: Sequence[UtteranceRow], *, measured: bool = False
) -> tuple[str, ...]:
    """Returns the caveat of items that the run knows: those it was trained on, fold 0, and those of learned classes.

    Fold 0 selects the epoch and is written to the memories at the end. Items are recognized by id and by content.

    Args:
        loaded: the run.
        clips: clips to look for.
        utterances: utterances to look for.
        measured: whether metrics of these items are reported; then `IDS_ONLY` is told, too.
    """
    notes = list[str]()
    known: tuple[set[str], set[str]] = (set(), set())
    for names, modality in zip(known, MODALITIES, strict=True):
        if loaded.learned is not None:
            names |= {*loaded.learned.items[modality], *loaded.learned.sha256s[modality]}
    state = read_run_state(loaded.path)
    if state is not None and (state.fitted_clips or state.fitted_utterances):
        if (manifest := unchanged_manifest(loaded.path, state)) is None:
            if measured:
                notes.append(IDS_ONLY)
                if validation_score(state.best) is not None and state.validated_clips is None:
                    notes.append(NO_VALIDATION_ITEMS)
            known[0].update(state.fitted_clips, state.validated_clips or ())
            known[1].update(state.fitted_utterances, state.validated_utterances or ())
        else:
            for row in read_rows(manifest, SplitPairRow):
                if row.clip.id not in state.failures:
                    known[0].update((row.clip.id, row.clip.sha256))
                if row.utterance.id not in state.failures:
                    known[1].update((row.utterance.id, row.utterance.sha256))
    if counts := known_items(clips, utterances, *known):
        notes.insert(0, f"{counts} were trained on or validated on: results on them are too high.")
    return tuple(notes)


def notes_of_classes(loaded: LoadedRun, items: Items) -> tuple[str, ...]:
    """Returns the caveat of items whose class was not trained on."""
    state = read_run_state(loaded.path)
    if state is None or not state.fitted_clips or loaded.config.training.labels != "class":
        return ()
    known = {label.id for label in (*loaded.about.classes, *(loaded.learned.classes if loaded.learned else ()))}
    classes = sorted({row.class_id for row in (*items.clips, *items.utterances)})
    unknown = [name for name in classes if name not in known]
    if not unknown:
        return ()
    were, listed = "was" if len(unknown) == 1 else "were", ", ".join(first_of(unknown, NAMED_CLASSES))
    return (f"{len(unknown)} of {len(classes)} classes {were} not trained on: {listed}.",)
