"""Few-shot study of new classes: tests the paper's claim that the memories learn them (section 5).

Some classes are held out of training. Afterwards, a few of their pairs are written to the memories; nothing else
changes. Retrieval of these classes, and of the others, is measured on fold 0 before and after.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dataset_tools.core.progress import Progress, Warn, silent
from dataset_tools.core.seeds import training_generator
from dataset_tools.manifests import workspace_of
from fmn.config import Config, with_values
from fmn.data.batches import Indices
from fmn.evaluation.breakdown import sd_of, summarized
from fmn.evaluation.learn_classes import written_memory
from fmn.features.encoder_facts import encoders_loaded_once
from fmn.metrics.directions import DIRECTIONS, by_direction, queries_and_gallery
from fmn.metrics.retrieval_metrics import retrieval_metrics
from fmn.models.baselines.two_classifiers import TwoClassifiers
from fmn.models.fmn import FeatureMemoryNetwork
from fmn.models.retrieval_model import Embeddings, RetrievalModel, encode_all, eval_mode, fit_generator, score_matrix
from fmn.studies.class_means import RAW, SEGMENTS, ClassMeans, hidden_and_raw, hidden_layers
from fmn.studies.held_out_classes import held_out_classes, manifest_without
from fmn.studies.new_classes_leads import draws_of, leads, name_of, number_of_pairs, write_leads_plot
from fmn.studies.new_classes_table import (
    HIDDEN,
    KINDS,
    RAW_MEANS,
    UNMAPPED,
    WHITENED_HIDDEN,
    WHITENED_RAW,
    new_classes_text,
)
from fmn.studies.validation_harness import (
    ValidationHarness,
    encoded_fold_0,
    harness_of,
    load_trained,
    notes_of_harness,
    reconfigured,
    run_name,
    seeded,
    study_values,
    train_in_study,
    write_study,
)
from fmn.torch_threads import threads
from fmn.training.checkpoint import LoadedRun
from fmn.training.result_files import check_result_files

FORMAT = "fmn.newclasses/1"
FILES = ("newclasses.json", "newclasses.md", "newclasses.png")
NOTES = (
    "Measured on fold 0: the held-out classes were not trained on; fold 0 selected the epoch by the other classes. "
    "Queries of both kinds search the whole gallery of all classes. Mean ± sd over training seeds.",
    "Numbers of pairs are per new class. written: pairs that passed S1 > T1, the paper's rule; 'all written' ignores "
    "the rule. The memories were enlarged for them. memory alone: the score is the agreement of the memories.",
    "unmapped memory: written by fmn learn. class means: of all classes, in the hidden layers of two_classifiers "
    "trained on the same pairs, or in the raw features. Leads: 95 % intervals over draws of classes.",
    "whitened: class means with the whitening and temperature of the unmapped memory, the features in addition to "
    "the hidden layers, and the quarters of the utterance. The lead of the memory over these is due to the network.",
)


@dataclass(frozen=True, eq=False)
class NewClasses:
    """Results of `learn_new_classes`: contents of newclasses.json, its folder, items without features."""

    values: dict[str, Any]
    folder: Path
    failures: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        return self.values | {"folder": str(self.folder), "failures": self.failures}


@encoders_loaded_once()
def learn_new_classes(
    manifest: Path | str,
    config: Config,
    folder: Path | str,
    *,
    held_out: int = 4,
    classes: Sequence[str] = (),
    pairs: Sequence[int] = (1, 5),
    seeds: int = 3,
    root: Path | str | None = None,
    device: str = "auto",
    jobs: int | None = None,
    progress: Progress = silent,
    warn: Warn | None = None,
) -> NewClasses:
    """Trains without some classes, adds a few of their pairs to the memories, and writes newclasses.json, .md, .png.

    An interrupted study resumes: runs that are complete in ``folder`` are reused.

    Args:
        manifest: train.jsonl, with a fold 0 whose items are in no other fold.
        config: configuration of the system fmn; its seed is the first one.
        folder: output folder for results and runs.
        held_out: number of classes to hold out, drawn anew for each seed.
        classes: class ids to hold out instead, the same for all seeds.
        pairs: numbers of pairs to write per new class; one row of the table for each number.
        seeds: number of draws, each with a training run of fmn and of two_classifiers.
        root: the workspace, if it is not the parent of the manifest's folder.
        device: ``auto``, or a torch device name.
        jobs: workers for features; None: one per core.
        progress: progress callback.
        warn: called if earlier results, of other data, are moved (`set_aside_other_data`).

    Raises:
        InputError: the manifest has no fold 0 or too few classes, or a class is unknown.
        StoppedError: interrupted, or the device or the disk is full; the same call resumes.
    """
    manifest, folder, root = Path(manifest), Path(folder), None if root is None else Path(root)
    pairs = list(dict.fromkeys(pairs))
    check_result_files(folder, FILES, FORMAT)
    options: dict[str, Any] = {"device": device, "jobs": jobs, "progress": progress}
    harness, config, failures = harness_of(manifest, config, root=root, **options)
    draws = [
        held_out_classes(harness.prepared.items, harness.parts, held_out, classes, seeded(config, number).training.seed)
        for number in range(seeds)
    ]
    workspace = workspace_of(manifest, root)
    rows_by_name: dict[str, list[dict[str, Any]]] = {}
    for number, held in enumerate(draws):
        progress("new classes", number, seeds, ", ".join(held))
        fewer = manifest_without(manifest, held, folder)
        own, trained = seeded(config, number), folder / "trained"
        run, baseline = _trained(fewer, own, trained, harness, root=workspace, **options)
        with threads(config.training.threads):
            trial = _Trial(run, harness, held)
            for name, row in [*trial.rows(pairs), *trial.rows_of_baselines(pairs, baseline)]:
                rows_by_name.setdefault(name, []).append(row)
    progress("new classes", seeds, seeds)
    draws_found = draws_of(rows_by_name)
    values = {
        **study_values(FORMAT, harness, config, seeds),
        "held_out": [list(held) for held in draws],
        "rows": [_summary(name, rows) for name, rows in rows_by_name.items()],
        "pairs": pairs,
        "draws": draws_found,
        "notes": [
            *notes_of_harness(harness),
            *NOTES,
            *_notes_of_pairs(rows_by_name, pairs, len(draws[0])),
            *leads([draws_found], pairs),
        ],
    }
    write_study(folder, FILES, values, new_classes_text(values), warn=warn)
    write_leads_plot([draws_found], pairs, folder / "newclasses.png")
    return NewClasses(values, folder, failures)


def _trained(
    manifest: Path, config: Config, folder: Path, harness: ValidationHarness, **options: Any
) -> tuple[Path, Path]:
    """Trains fmn and two_classifiers on a manifest; returns their runs."""
    run = folder / f"{manifest.stem}-{run_name(config, harness.prepared.digest)}"
    baseline = folder / f"{run.name}-two_classifiers"
    for each, system in ((run, config), (baseline, with_values(config, {"system": "two_classifiers"}))):
        train_in_study(manifest, system, each, harness, **options)
    return run, baseline


class _Trial:
    """A trained network and the classes held out of its training."""

    def __init__(self, run: Path, harness: ValidationHarness, held_out: Sequence[str]) -> None:
        parts, items = harness.parts, harness.prepared.items
        self.harness = harness
        self.loaded: LoadedRun = load_trained(run, harness)
        self.model = reconfigured(self.loaded, self.loaded.config)
        self.seed = self.loaded.config.training.seed
        new = np.array([label.id in held_out for label in items.classes])
        self.clip_classes, self.utterance_classes = items.clip_classes, items.utterance_classes
        self.old_clips = parts.train_clips[~new[self.clip_classes[parts.train_clips]]]
        self.old_utterances = parts.train_utterances[~new[self.utterance_classes[parts.train_utterances]]]
        self.new_classes = np.flatnonzero(new)
        self.new_clips = np.setdiff1d(parts.train_clips, self.old_clips)
        self.new_utterances = np.setdiff1d(parts.train_utterances, self.old_utterances)
        self.fold_0_embeddings = encoded_fold_0(self.model, harness)
        self.is_new_clip = new[self.clip_classes[parts.validation_clips]]
        self.is_new_utterance = new[self.utterance_classes[parts.validation_utterances]]
        data, random = harness.prepared.data, fit_generator(self.seed, self.loaded.about.epoch)
        self.model.fit_after_epoch(data, self.old_clips, self.old_utterances, random)  # without fold 0

    def rows(self, pairs: Sequence[int]) -> list[tuple[str, dict[str, Any]]]:
        """Returns name and figures of every row."""
        config = self.loaded.config
        forms = list(dict.fromkeys([config.model.score, "memory"]))
        found = [("S1 alone (memory off)", self._figures(self._in_form(self.model, "s1"), None, None))]
        for form in forms:
            prefix = "" if form == config.model.score else "memory alone, "
            found.append((f"{prefix}before", self._figures(self._in_form(self.model, form), None, None)))
            for count in pairs:
                for threshold, rule in ((config.memory.score_threshold, ""), (-1.0, ", all written")):
                    shown = self._pairs(count)
                    grown, written = self._with_pairs(shown, threshold)
                    name = f"{prefix}{number_of_pairs(count)}{rule}"
                    found.append((name, self._figures(self._in_form(grown, form), written, len(shown))))
        return found

    def rows_of_baselines(self, pairs: Sequence[int], baseline: Path) -> list[tuple[str, dict[str, Any]]]:
        """Returns rows of FMN with the memory of unmapped features (`fmn learn`) and of its baselines.

        Args:
            pairs: numbers of pairs per new class.
            baseline: a run of two_classifiers without the new classes.
        """
        data, parts, model = self.harness.prepared.data, self.harness.parts, self.model
        fold_0 = parts.validation_clips, parts.validation_utterances
        old = self.old_clips, self.old_utterances
        classifiers = load_trained(baseline, self.harness).model
        assert isinstance(classifiers, TwoClassifiers)
        reads = model.config.model.score not in ("s1", "cosine", "distance")
        baselines = {
            HIDDEN: ClassMeans(hidden_layers(classifiers)),
            RAW_MEANS: ClassMeans(RAW),
            WHITENED_HIDDEN: ClassMeans(hidden_and_raw(classifiers), whitened=True),
            WHITENED_RAW: ClassMeans(SEGMENTS, whitened=True),
        }
        rows = []
        for count in pairs:
            new = self._pairs(count)
            shown = new[:, 0], new[:, 1]
            if reads:
                model.new_classes = written_memory(model, data, old, shown)
                embeddings = encoded_fold_0(model, self.harness)
                rows.append((name_of(count, UNMAPPED), self._figures(model, len(new), len(new), embeddings)))
                model.new_classes = None
            for name, means in baselines.items():
                embeddings = means.eval().with_shares(data, old, shown, fold_0)
                rows.append((name_of(count, name), self._figures(means, len(new), len(new), embeddings)))
        return rows

    def _pairs(self, count: int) -> Indices:
        """[P, 2] clips and utterances: the first ``count`` matched pairs of each new class; sets are nested."""
        found = []
        for label in self.new_classes:
            clips = self.new_clips[self.clip_classes[self.new_clips] == label]
            utterances = self.new_utterances[self.utterance_classes[self.new_utterances] == label]
            rng = training_generator(self.seed, "new pairs", int(label))
            clips, utterances = rng.permutation(clips)[:count], rng.permutation(utterances)[:count]
            found += list(zip(clips.tolist(), utterances.tolist(), strict=False))
        return np.array(found, dtype=np.int64).reshape(-1, 2)

    def _with_pairs(self, pairs: Indices, threshold: float) -> tuple[FeatureMemoryNetwork, int]:
        """Returns the network with the pairs added to its memories, and the number of pairs written."""
        model, config = self.model, self.loaded.config
        capacity = model.memory.capacity + len(pairs)
        grown = reconfigured(self.loaded, with_values(config, {"memory.capacity": capacity}))
        state = model.memory.state_dict()
        grown.memory.load_state_dict(
            {
                name: torch.cat([tensor, tensor.new_zeros(len(pairs), *tensor.shape[1:])])
                for name, tensor in state.items()
            }
        )
        clips, utterances = encode_all(model, self.harness.prepared.data, pairs[:, 0], pairs[:, 1])
        space = config.memory.space
        with eval_mode(grown):
            s1 = torch.sigmoid(grown.s1(clips["mapped"], utterances["mapped"]))
            slots = grown.memory.write(
                clips[space],
                utterances[space],
                s1,
                score_threshold=threshold,
                classes=self._classes(pairs) if config.memory.class_slots else None,
            )
        return grown, int((slots >= 0).sum())

    def _in_form(self, model: FeatureMemoryNetwork, form: Any) -> FeatureMemoryNetwork:
        """Returns the network with another final score and the same memories."""
        capacity = {"memory.capacity": model.memory.capacity}
        other = reconfigured(self.loaded, with_values(self.loaded.config, {"model.score": form, **capacity}))
        other.memory.load_state_dict(model.memory.state_dict())
        return other

    def _figures(
        self,
        model: RetrievalModel,
        written: int | None,
        shown: int | None,
        embeddings: tuple[Embeddings, Embeddings] | None = None,
    ) -> dict[str, Any]:
        if embeddings is None:  # with step attention, embeddings depend on the slots
            embeddings = encoded_fold_0(model, self.harness) if self.model.attention else self.fold_0_embeddings
        scores = score_matrix(model, *embeddings).numpy()
        items = self.harness.fold_0
        clips, utterances = [row.class_id for row in items.clips], [row.class_id for row in items.utterances]
        figures: dict[str, Any] = {"written": written, "shown": shown}
        for kind, is_new in (("new", True), ("old", False)):
            of_clips, of_utterances = self.is_new_clip == is_new, self.is_new_utterance == is_new
            figures[kind] = {}
            for direction, (matrix, partners) in by_direction(scores, items.partner_matrix):
                is_query, _ = queries_and_gallery(direction, of_clips, of_utterances)
                queries, gallery = queries_and_gallery(direction, clips, utterances)
                chosen = [name for name, is_chosen in zip(queries, is_query.tolist(), strict=True) if is_chosen]
                figures[kind][direction] = retrieval_metrics(matrix[is_query], chosen, gallery, partners[is_query])
        return figures

    def _classes(self, pairs: Indices) -> torch.Tensor:
        data = self.harness.prepared.data
        return data.clip_classes[data.on_device(pairs[:, 0])]


def _notes_of_pairs(
    rows: Mapping[str, Sequence[Mapping[str, Any]]], pairs: Sequence[int], held_out: int
) -> Iterator[str]:
    """Yields which numbers of pairs are more than the new classes have in training."""
    for count in pairs:
        shown = float(np.mean([row["shown"] for row in rows[name_of(count, HIDDEN)]])) / held_out
        if shown < count:
            yield f"{count} pairs: there are only {shown:.1f} of a new class in training, on average."


def _summary(name: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One row of newclasses.json: means over seeds, with their standard deviations."""
    written, shown = [row["written"] for row in rows], [row["shown"] for row in rows]
    values: dict[str, Any] = {"what": name, "shown": shown[0] if len(set(shown)) == 1 else float(np.mean(shown))}
    values["written"] = None if None in written else {"mean": float(np.mean(written)), "sd": sd_of(written)}
    for kind in KINDS:
        values[kind] = {direction: summarized([row[kind][direction] for row in rows]) for direction in DIRECTIONS}
    return values
