"""Few-shot learning of new classes after training, without changing trained weights.

The pairs are written to the memory of unmapped features (`fmn.models.new_class_memory`), which `fmn eval`, `fmn search`
and `fmn predict` read alongside the run's own memories.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import copyfile
from typing import Any

import numpy as np
import torch

from dataset_tools.core.files import sha256_of, written_whole
from dataset_tools.core.progress import Progress, silent
from dataset_tools.manifests import ClipRow, UtteranceRow
from fmn.data.batches import Indices, ItemTensors
from fmn.data.dry_run import DryRun
from fmn.data.items import load_items
from fmn.data.loading import FeatureDataset, find_device, load_features, number_computed, plan_features, usable_device
from fmn.evaluation.evaluate import check_fit, check_sizes
from fmn.evaluation.fitted_items import fitted_items
from fmn.evaluation.learn_checks import (
    check_complete,
    check_sources,
    joined_classes,
    memory_network,
    needs_copy,
    new_items,
    unlearned_places,
)
from fmn.features.encoder_facts import encoders_loaded_once
from fmn.models.fmn import FeatureMemoryNetwork
from fmn.models.memory import MODALITIES, Modality
from fmn.models.new_class_memory import ModalityMemory, NewClassMemory
from fmn.models.retrieval_model import Embeddings, encode_all
from fmn.torch_threads import threads
from fmn.training.checkpoint import CHECKPOINT_FILE, CONFIG_FILE, STATE_COPY_FILE, STATE_FILE, LoadedRun, load_run
from fmn.training.learned_classes import NEW_CLASSES_FILE, LearnedClasses, save_learned_classes
from fmn.training.result_files import earlier_results, set_aside_results
from fmn.training.run_lock import run_lock


@dataclass(frozen=True)
class LearnSummary:
    """Result of `learn_classes`.

    Attributes:
        run: folder of the run with the new classes. classes: their ids.
        clips, utterances: number of distinct items stored for them. added: how many of these are new.
        earlier_results: folder to which results of the run before were moved; None if there were none.
    """

    run: Path
    classes: tuple[str, ...]
    clips: int
    utterances: int
    added: int
    earlier_results: Path | None = None

    def as_dict(self) -> dict[str, Any]:
        return {name: str(value) if isinstance(value, Path) else value for name, value in vars(self).items()}


@encoders_loaded_once()
def learn_classes(
    run: Path | str,
    pairs: Path | str,
    *,
    out: Path | str | None = None,
    skip_known: bool = False,
    root: Path | str | None = None,
    device: str = "auto",
    jobs: int | None = None,
    progress: Progress = silent,
) -> LearnSummary:
    """Adds the classes of some pairs to a trained run; idempotent for pairs that are already stored.

    Metrics, plots and predictions of the run before are moved to a folder earlier-results-N in it.

    Args:
        run: folder of a trained run of fmn.
        pairs: a file with rows like those of train.jsonl or test.jsonl, of classes that the run was not trained on.
        out: folder, next to ``run``, for a copy of the run that learns the classes instead.
        skip_known: ignore pairs of classes that the run was trained on; otherwise they are an error.
        root: the workspace, if it is not the parent of the manifest's folder.
        device: ``auto``, or a torch device name.
        jobs: workers for features; None: one per core.
        progress: progress callback.

    Raises:
        InputError: the score of the run reads no memories; a class is known, or its id differs from a known one only in
            how its letters are encoded; a pair has no features, or other features than the run was trained with; or the
            training data of the run is missing.
        StoppedError: another command uses the folder, or the disk is full; the same call resumes.
    """
    run, pairs, root = Path(run), Path(pairs), None if root is None else Path(root)
    chosen = find_device(device)
    source = load_run(run, chosen)
    items = new_items(load_items(pairs, root), source, skip_known=skip_known)
    prepared = load_features(items, source.config, device=chosen, jobs=jobs, progress=progress)
    check_complete(pairs, prepared.failures)
    check_fit(source, prepared.data)
    check_sources(source, prepared.sources, prepared.own)
    folder = Path(out or run)
    with run_lock(folder):
        copies = needs_copy(run, folder)
        loaded = source if copies else load_run(folder, chosen)
        with threads(loaded.config.training.threads):
            before = loaded.learned or _none_learned(loaded, root, pairs, chosen, jobs, progress)
            learned = _with_items(before, loaded, prepared)
        added = sum(len(learned.items[modality]) - len(before.items[modality]) for modality in MODALITIES)
        earlier = None
        if copies:  # only now: a refusal leaves no run without the classes
            source.require_unchanged()
            _copy_run(run, folder)
        if added or not loaded.learned:
            earlier = set_aside_results(folder)
            save_learned_classes(folder, learned)
    counts = [len(learned.items[modality]) for modality in MODALITIES]
    return LearnSummary(folder, tuple(label.id for label in learned.classes), counts[0], counts[1], added, earlier)


@encoders_loaded_once()
def plan_learning(
    run: Path,
    pairs: Path,
    *,
    out: Path | None = None,
    skip_known: bool = False,
    root: Path | None = None,
    device: str = "auto",
    jobs: int | None = None,
    progress: Progress = silent,
) -> tuple[DryRun, LearnSummary]:
    """Returns what `learn_classes` would do, after its checks; computes and writes nothing. Arguments, errors: there.

    Returns:
        The dry run; and the result, if it succeeds.
    """
    cpu = usable_device(device, dry_run=True)
    options: dict[str, Any] = {"jobs": jobs, "progress": progress}
    source = load_run(run, cpu)
    items = new_items(load_items(pairs, root), source, skip_known=skip_known)
    items, found = plan_features(items, source.config, **options)
    check_complete(pairs, found.failures)
    check_sizes(source, found.video.dim, found.audio.dim)
    check_sources(source, found.sources, found.own)
    folder = out or run
    copied = _files_of(run) if needs_copy(run, folder) else []
    loaded = source if copied else load_run(folder, cpu)
    to_extract = found.computed
    if loaded.learned is None:
        fitted = fitted_items(loaded, root, pairs)
        _, of_training = plan_features(fitted, loaded.config, **options)
        check_complete(fitted.manifest, of_training.failures, are_fitted=True)
        check_sources(loaded, of_training.sources, of_training.own)
        to_extract = number_computed(found, of_training)
    classes = joined_classes(loaded.learned, items)
    added = {modality: len(places) for modality, places in unlearned_places(loaded.learned, items).items()}
    clips, utterances = (len(loaded.learned.items[modality]) if loaded.learned else 0 for modality in MODALITIES)
    result = LearnSummary(
        folder,
        tuple(label.id for label in classes),
        clips + added["video"],
        utterances + added["audio"],
        sum(added.values()),
    )
    written = [NEW_CLASSES_FILE] if result.added or not loaded.learned else []
    if written:
        result = replace(result, earlier_results=earlier_results(folder))
    files = tuple(folder / name for name in dict.fromkeys([*copied, *written]))
    return DryRun(len(items.clips), len(items.utterances), to_extract, files), result


@contextmanager
def giving_vectors(model: FeatureMemoryNetwork) -> Iterator[None]:
    """Context manager in which embeddings contain the vectors that new classes are learned from."""
    model.gives_vectors = True
    try:
        yield
    finally:
        model.gives_vectors = False


def item_vectors(
    model: FeatureMemoryNetwork, data: ItemTensors, clips: Indices, utterances: Indices
) -> dict[Modality, list[torch.Tensor]]:
    """Computes the vectors of clips and utterances for `fmn.models.new_class_memory`."""
    with giving_vectors(model):
        embeddings = encode_all(model, data, clips, utterances)
    return dict(zip(MODALITIES, map(_vectors, embeddings), strict=True))


def fitted_memory(
    model: FeatureMemoryNetwork, data: ItemTensors, clips: Indices, utterances: Indices
) -> dict[Modality, ModalityMemory]:
    """Returns a memory without new classes: statistics and class means of the training items."""
    found = item_vectors(model, data, clips, utterances)
    classes = data.clip_classes[data.on_device(clips)], data.utterance_classes[data.on_device(utterances)]
    return {
        modality: ModalityMemory.fit(found[modality], its_classes)
        for modality, its_classes in zip(MODALITIES, classes, strict=True)
    }


def written_memory(
    model: FeatureMemoryNetwork, data: ItemTensors, old: tuple[Indices, Indices], new: tuple[Indices, Indices]
) -> NewClassMemory:
    """Returns the memory of new classes, from clips and utterances of old and new classes; the new may repeat."""
    memory, memorized = fitted_memory(model, data, *old), {}
    new = np.unique(new[0]), np.unique(new[1])
    vectors = item_vectors(model, data, *new)
    for modality, indices, classes in zip(MODALITIES, new, (data.clip_classes, data.utterance_classes), strict=True):
        numbers = torch.unique(classes[data.on_device(indices)], return_inverse=True)[1]
        memorized[modality] = memory[modality].with_items(vectors[modality], numbers)
    return memorized


def _copy_run(run: Path, out: Path) -> None:
    """Copies a run to a sibling folder."""
    for name in _files_of(run):
        with written_whole(out / name) as partial:
            copyfile(run / name, partial)


def _files_of(run: Path) -> list[str]:
    """Returns the files to copy; the checkpoint comes last, so that a partial copy does not count as a run."""
    names = (CONFIG_FILE, STATE_COPY_FILE, STATE_FILE, NEW_CLASSES_FILE, CHECKPOINT_FILE)
    return [name for name in names if (run / name).is_file()]


def _none_learned(
    loaded: LoadedRun, root: Path | None, pairs: Path, device: torch.device, jobs: int | None, progress: Progress
) -> LearnedClasses:
    """Returns no new classes, with the memory fitted to the items that the run is fitted to."""
    items = fitted_items(loaded, root, pairs)
    prepared = load_features(items, loaded.config, device=device, jobs=jobs, progress=progress)
    check_complete(items.manifest, prepared.failures, are_fitted=True)
    check_sources(loaded, prepared.sources, prepared.own)
    found = prepared.items
    memory = fitted_memory(
        memory_network(loaded), prepared.data, np.arange(len(found.clips)), np.arange(len(found.utterances))
    )
    nothing: dict[str, tuple[str, ...]] = dict.fromkeys(MODALITIES, ())
    return LearnedClasses(sha256_of(loaded.path / CHECKPOINT_FILE), (), nothing, nothing, memory)


def _with_items(before: LearnedClasses, loaded: LoadedRun, prepared: FeatureDataset) -> LearnedClasses:
    """Adds the items of ``prepared`` to the run's new classes, skipping contents that a class already has.

    The items of the memory are in the order of their contents.
    """
    items, data = prepared.items, prepared.data
    numbers = np.arange(len(items.clips)), np.arange(len(items.utterances))
    vectors = item_vectors(memory_network(loaded), data, *numbers)
    classes, added = joined_classes(before, items), unlearned_places(before, items)
    index = {label.id: number for number, label in enumerate(classes)}
    memories: dict[Modality, ModalityMemory] = {}
    names: dict[str, tuple[str, ...]] = {}
    contents: dict[str, tuple[str, ...]] = {}
    both: tuple[Sequence[ClipRow | UtteranceRow], ...] = (items.clips, items.utterances)
    for modality, rows in zip(MODALITIES, both, strict=True):
        held = before.memory[modality]
        known = (before.classes[number].id for number in held.classes.tolist())
        every = [*zip(before.sha256s[modality], before.items[modality], known, strict=True)]
        every += [(row.sha256, row.id, row.class_id) for row in map(rows.__getitem__, added[modality])]
        order = sorted(range(len(every)), key=lambda place: every[place][0])
        of, at_order, at_added = (
            data.on_device(np.array(values, dtype=np.int64))
            for values in ([index[class_id] for *_, class_id in every], order, added[modality])
        )
        new = held.with_items([vector[at_added] for vector in vectors[modality]], of[len(held.classes) :])
        joined = (torch.cat([earlier, more])[at_order] for earlier, more in zip(held.rows, new.rows, strict=True))
        memories[modality] = ModalityMemory(held.parts, tuple(joined), of[at_order])
        contents[modality], names[modality] = (tuple(every[place][part] for place in order) for part in (0, 1))
    return LearnedClasses(before.checkpoint, classes, names, contents, memories)


def _vectors(embeddings: Embeddings) -> list[torch.Tensor]:
    return [embeddings[name] for name in sorted(embeddings) if name.startswith("vector_")]
