"""Fine-tuning the video backbone on the actions of training clips (paper, section 3.1), both streams.

Fold 0 is excluded, so that it can still be used for model selection; the final refit includes it. Test clips are never
used.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dataset_tools.core.errors import InputError
from dataset_tools.core.files import sha256_of, write_bytes
from dataset_tools.core.progress import Progress, silent
from dataset_tools.manifests import workspace_of
from fmn.data.items import Items, load_items, train_val_split
from fmn.features.backbone import CONTENTS, clips_trained_on
from fmn.features.backbone_training import LabeledClip, TrainingRecipe
from fmn.features.config import VideoFeatureConfig
from fmn.features.pretrain import metadata_of_streams, pretrain
from fmn.features.sample_store import SampleStore

BACKBONE_FILE = "backbone.safetensors"
REPORT_FILE = "finetune.json"
REFIT_NOTE = (
    "Fold 0 was trained on, too: with these weights, results of fmn train, tune and ablate on it are too high. Make "
    "all choices first, with weights trained without it."
)
KNOWN_NOTE = (
    "The weights to start from were trained on {} of the {} clips of fold 0: results on fold 0, the accuracy included, "
    "are too high."
)


@dataclass(frozen=True, eq=False)
class FineTuning:
    """Result of `finetune`.

    Attributes:
        weights: the weights file, for ``video.weights``.
        actions: the labels. clips: number trained on. validation: number of fold 0's clips, evaluated afterwards; 0
            with a refit.
        losses: by stream, of every epoch.
        accuracy: by stream, top-1 accuracy on the clips of fold 0 in percent; None with a refit.
        failures: clips that cannot be read, with the reason.
        notes: caveats.
    """

    weights: Path
    actions: tuple[str, ...]
    clips: int
    validation: int
    losses: dict[str, tuple[float, ...]]
    accuracy: dict[str, float | None]
    failures: dict[str, str]
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"weights": str(self.weights)}


def finetune(
    manifest: Path,
    config: VideoFeatureConfig,
    recipe: TrainingRecipe,
    folder: Path,
    *,
    refit: bool = False,
    root: Path | None = None,
    device: str = "cpu",
    jobs: int = 1,
    progress: Progress = silent,
) -> FineTuning:
    """Trains every stream of a backbone to classify the actions of the clips, and writes both to one file.

    An interrupted run resumes after the last complete epoch.

    Args:
        manifest: train.jsonl.
        config: the backbone, its windows, and its initial weights.
        recipe: hyperparameters for each stream.
        folder: output folder for backbone.safetensors and finetune.json.
        refit: train on fold 0, too, after all choices have been made.
        root: the workspace, if it is not the parent of the manifest's folder.
        device: torch device name.
        jobs: threads that decode and read.
        progress: called after every clip and every epoch.

    Raises:
        InputError: the manifest is a test manifest, fewer than two actions are left, or the weights cannot be used; the
            configuration has no backbone; or the folder has other results.
        StoppedError: interrupted, the disk is full, or the loss is not finite.
    """
    clips, validation = plan_finetuning(manifest, config, recipe, folder, refit=refit, root=root)
    manifest_sha256 = sha256_of(manifest)  # now: decoding takes long
    cache = workspace_of(manifest, root) / "cache" / "finetune"
    every = [clip.media for clip in (*clips, *validation)]
    broken = SampleStore(cache, config).fill(every, jobs=jobs, progress=progress)
    failures = {media.name: broken[key].found for media in every if (key := (media.sha256, media.path)) in broken}
    clips, validation = (
        [clip for clip in part if (clip.media.sha256, clip.media.path) not in broken] for part in (clips, validation)
    )
    before = clips_trained_on(config)  # the weights to start from
    about = {
        "label": "action",
        "manifest_sha256": manifest_sha256,
        "refit": refit,
        "clips": len(clips),
        CONTENTS: sorted({clip.media.sha256 for clip in clips} | before),  # records what the weights were trained on
    }
    notes = [REFIT_NOTE] if refit else []
    if known := sum(clip.media.sha256 in before for clip in validation):
        notes.append(KNOWN_NOTE.format(known, len(validation)))
    weights = folder / BACKBONE_FILE
    trained = pretrain(
        clips,
        validation,
        config,
        recipe,
        cache=cache,
        out=weights,
        about=about,
        device=device,
        jobs=jobs,
        progress=progress,
    )
    summary = FineTuning(
        weights=weights,
        actions=tuple(sorted({clip.label for clip in clips})),
        clips=len(clips),
        validation=len(validation),
        losses={stream: result.losses for stream, result in trained.items()},
        accuracy={stream: result.accuracy for stream, result in trained.items()},
        failures=failures,
        notes=tuple(notes),
    )
    report = summary.as_dict() | about | {"config": asdict(config), "recipe": asdict(recipe), "weights": BACKBONE_FILE}
    write_bytes(folder / REPORT_FILE, json.dumps(report, indent=2).encode() + b"\n")
    return summary


def plan_finetuning(
    manifest: Path,
    config: VideoFeatureConfig,
    recipe: TrainingRecipe,
    folder: Path,
    *,
    refit: bool,
    root: Path | None,
) -> tuple[list[LabeledClip], list[LabeledClip]]:
    """Returns the clips to train on and to validate on, after all checks of `finetune`. Arguments and errors: there."""
    items = _load_items(manifest, config, root)
    _check_finetuned(folder, manifest, config, recipe, refit=refit)
    return labeled_parts(items, refit=refit)


def _check_finetuned(
    folder: Path, manifest: Path, config: VideoFeatureConfig, recipe: TrainingRecipe, *, refit: bool
) -> None:
    """Checks that the result in a folder, if there is one, is that of a fine-tuning with the same manifest and options.

    Raises:
        InputError: it is another one, or of something else.
    """
    path = folder / BACKBONE_FILE
    if path.exists():
        results = [*metadata_of_streams(path).values()]
    elif (path := folder / REPORT_FILE).exists():  # the weights were moved away: the same ones are trained again
        results = [_report(path)]
    else:
        return
    wanted = {
        "manifest_sha256": sha256_of(manifest),
        "refit": refit,
        "config": asdict(config),
        "recipe": asdict(recipe),
    }
    if not results or not all(_is_part({name: each.get(name) for name in wanted}, wanted) for each in results):
        raise InputError(
            "The folder has the result of another fine-tuning, or of something else, and it would be replaced",
            where=path,
            expected="a new folder, or the result of the same manifest and options",
            next_step="choose another folder with --out, or use the same options",
        )


def _report(path: Path) -> dict[str, Any]:
    """What `finetune` wrote about its result; empty if the file is something else."""
    try:
        values = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def _is_part(held: Any, wanted: Any) -> bool:
    """Whether two values are equal, without keys that earlier versions did not have."""
    if isinstance(held, dict) and isinstance(wanted, dict):
        return all(key in wanted and _is_part(value, wanted[key]) for key, value in held.items())
    return bool(held == wanted)


def _load_items(manifest: Path, config: VideoFeatureConfig, root: Path | None) -> Items:
    """Loads the items of a training manifest for training the backbone of a configuration.

    Raises:
        InputError: the manifest is a test manifest, or the configuration has no backbone that can be fine-tuned.
    """
    if config.kind != "backbone":
        raise InputError(
            f"There is no backbone to fine-tune: the video features are of kind {config.kind!r}",
            where="video.kind",
            expected="backbone",
            next_step="leave out the encoder or the features of clips (--video-encoder, --features, --preset light, …)",
        )
    if config.backbone != "i3d":
        raise InputError(
            f"The backbone {config.backbone} cannot be fine-tuned",
            where="video.backbone",
            expected="i3d",
            next_step="omit video.backbone, or train with it as it is: fmn train",
        )
    if config.frames == "middle" and "flow" in config.streams:
        raise InputError(
            "A single frame has no flow to train on",
            where="video.frames=middle",
            expected="video.flow=none",
            next_step="add --set video.flow=none, or omit video.frames",
        )
    return load_items(manifest, root).required_to_train()


def labeled_parts(items: Items, *, refit: bool) -> tuple[list[LabeledClip], list[LabeledClip]]:
    """Returns training clips and clips of fold 0, labeled with their actions; with ``refit`` all are training clips.

    Clips of fold 0 whose action is not among the training clips are omitted: they could not be classified correctly.

    Raises:
        InputError: the training clips have a single action.
    """
    parts = train_val_split(items)
    media = items.clip_media()
    every = [
        LabeledClip(media[index], items.classes[items.clip_classes[index]].action) for index in range(len(items.clips))
    ]
    fitted = every if refit else [every[index] for index in parts.train_clips]
    actions = {clip.label for clip in fitted}
    if len(actions) < 2:
        raise InputError(
            f"The training clips have a single action: {', '.join(actions) or 'there are none'}",
            where=items.manifest,
            expected="clips of at least two actions, which the backbone learns to classify",
            next_step="state the actions in the class file, and run fmn-data build and pairs again; or train without "
            "fine-tuning, for example with --preset light",
        )
    if refit:
        return every, []
    held = [] if parts.leaks else [every[index] for index in parts.validation_clips]
    return fitted, [clip for clip in held if clip.label in actions]
