"""Pretraining of a small two-stream backbone on the labeled clips of workspaces.

    python -m fmn.features.pretrain ws-1000/manifests/clips.jsonl ws-1001/manifests/clips.jsonl \
        --validation ws-1002/manifests/clips.jsonl --out weights_demo.safetensors

The file holds both streams (``rgb.…``, ``flow.…``) and, as metadata, their training data and settings.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from dataset_tools.core.count_of import count_of
from dataset_tools.core.errors import InputError, ToolkitError
from dataset_tools.core.files import clear_partial, sha256_of, written_whole
from dataset_tools.core.progress import Progress, silent
from dataset_tools.manifests import ClipRow, read_rows, resolve, workspace_of
from fmn.features.backbone import METADATA_KEY
from fmn.features.backbone_training import LabeledClip, TrainedStream, TrainingRecipe, train_stream
from fmn.features.config import DEMO_VIDEO, VideoFeatureConfig, one_frame
from fmn.features.media import Media
from fmn.features.sample_store import SampleStore

Label = Literal["action", "class"]


def labeled_clips(manifests: Sequence[Path], label: Label) -> list[LabeledClip]:
    """Reads the clips of clips.jsonl manifests, labeled with their class or with its action.

    Raises:
        ManifestError: a row or a file named in it is invalid.
    """
    clips = []
    for manifest in manifests:
        workspace = workspace_of(manifest)
        for row in read_rows(manifest, ClipRow):
            name = row.class_id.split("_")[0] if label == "action" else row.class_id
            media = Media(row.sha256, resolve(workspace, row.path), f"{workspace.name}/{row.id}")
            clips.append(LabeledClip(media, name))
    return clips


def pretrain(
    clips: Sequence[LabeledClip],
    validation: Sequence[LabeledClip],
    config: VideoFeatureConfig,
    recipe: TrainingRecipe,
    *,
    cache: Path,
    out: Path,
    about: Mapping[str, object],
    device: str = "cpu",
    jobs: int = 1,
    progress: Progress = silent,
) -> dict[str, TrainedStream]:
    """Trains every stream of a configuration and writes them to one file; resumes after the last complete epoch.

    Args:
        clips: training clips.
        validation: evaluated at the end, never used for selection; may be empty.
        config: the backbone, its windows, and the initial weights.
        recipe: hyperparameters of each stream.
        cache: folder for decoded samples and for the state needed to resume.
        out: the .safetensors file.
        about: stored in the file's metadata, with configuration, recipe, labels, versions and results.
        device: a torch device.
        jobs: threads that decode and read.
        progress: progress callback, called after every clip and every epoch.

    Raises:
        InputError: a clip cannot be decoded, there are fewer than two labels, or the file is of something else.
        StoppedError: the disk is full, or the loss is not finite.
    """
    _read_existing(out)  # refuse what would be replaced before hours of training
    for folder in (cache, out.parent):
        clear_partial(folder)
    store = SampleStore(cache, config)
    failures = store.fill([clip.media for clip in (*clips, *validation)], jobs=jobs, progress=progress)
    if failures:
        raise InputError(
            f"{count_of(len(failures), 'clip')} cannot be decoded; the first: {next(iter(failures.values()))}",
            next_step="omit them, or cut them again with: fmn-data retry",
        )
    trained = {}
    for stream in config.streams:
        checkpoint = cache / f"{_fingerprint(stream, clips, config, recipe)}.state.pt"
        trained[stream] = train_stream(
            stream,
            clips,
            validation,
            config,
            recipe,
            store=store,
            checkpoint=checkpoint,
            device=device,
            jobs=jobs,
            progress=progress,
        )
    save_backbone(out, trained, config, recipe, labels=sorted({clip.label for clip in clips}), about=about)
    return trained


def save_backbone(
    out: Path,
    trained: dict[str, TrainedStream],
    config: VideoFeatureConfig,
    recipe: TrainingRecipe,
    *,
    labels: Sequence[str],
    about: Mapping[str, object],
) -> None:
    """Writes the streams: convolutions in half precision, all else unchanged; metadata as one JSON text.

    Streams already in the file that were not trained in this run are kept, with their metadata.
    """
    tensors, stream_metadata = _read_existing(out)
    tensors = {name: value for name, value in tensors.items() if name.split(".")[0] not in trained}
    for stream, result in trained.items():
        tensors |= {f"{stream}.{name}": _stored(value) for name, value in result.state.items()}
        stream_metadata[stream] = dict(about) | {
            "config": asdict(config),
            "recipe": asdict(recipe),
            "labels": list(labels),
            "accuracy": result.accuracy,
            "losses": [round(loss, 4) for loss in result.losses],
            "torch": str(torch.__version__),
        }
    # One key: safetensors does not order several keys.
    metadata = {METADATA_KEY: json.dumps(stream_metadata, sort_keys=True)}
    with written_whole(out) as partial:
        save_file(tensors, partial, metadata=metadata)


def metadata_of_streams(path: Path) -> dict[str, dict[str, Any]]:
    """Reads what `save_backbone` stored about each stream; empty if the file is not one of its own."""
    try:
        with safe_open(path, "pt") as file:
            held: dict[str, dict[str, Any]] = json.loads((file.metadata() or {})[METADATA_KEY])
            return held
    except (SafetensorError, OSError, KeyError, ValueError):
        return {}


def _read_existing(path: Path) -> tuple[dict[str, Tensor], dict[str, dict[str, Any]]]:
    """Reads the tensors of an existing file and its metadata by stream; empty if there is no file.

    Raises:
        InputError: it is not a file of `save_backbone`.
    """
    if not path.exists():
        return {}, {}
    if not (metadata := metadata_of_streams(path)):
        raise InputError(
            "The file is not a backbone that this command trained, and would be replaced",
            where=path,
            expected="a new file, or one whose other stream is to be kept",
            next_step="choose another file with --out",
        )
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, metadata  # noqa: SIM118


def _stored(value: Tensor) -> Tensor:
    return value.half().contiguous() if value.dim() > 1 else value.contiguous()


def _fingerprint(stream: str, clips: Sequence[LabeledClip], config: VideoFeatureConfig, recipe: TrainingRecipe) -> str:
    parts = [stream, asdict(config), asdict(recipe), [(clip.media.sha256, clip.label) for clip in clips]]
    weights = Path(config.weights).expanduser()
    if weights.is_file():  # another file may have taken its place
        parts.append(sha256_of(weights))
    return "training-" + hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m fmn.features.pretrain", description=__doc__.split("\n\n")[0])
    parser.add_argument("manifests", nargs="+", type=Path, help="clips.jsonl of workspaces to train on")
    parser.add_argument("--validation", nargs="*", default=[], type=Path, help="clips.jsonl for a final evaluation")
    parser.add_argument("--label", choices=["action", "class"], default="class")
    parser.add_argument("--streams", nargs="+", choices=["rgb", "flow"], default=["rgb", "flow"])
    parser.add_argument("--frames", choices=["all", "middle"], default="all", help="middle: single frames, no flow")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path("cache"))
    parser.add_argument("--epochs", type=int, default=TrainingRecipe.epochs)
    parser.add_argument("--batch", type=int, default=TrainingRecipe.batch)
    parser.add_argument("--learning-rate", type=float, default=TrainingRecipe.learning_rate)
    parser.add_argument("--seed", type=int, default=TrainingRecipe.seed)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--threads", type=int, default=0, help="torch threads; 0: torch's default")
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    try:
        clips = labeled_clips(options.manifests, options.label)
        validation = labeled_clips(options.validation, options.label)
        recipe = TrainingRecipe(
            epochs=options.epochs, batch=options.batch, learning_rate=options.learning_rate, seed=options.seed
        )
        trained = pretrain(
            clips,
            validation,
            _video_config(options.streams, options.frames),
            recipe,
            cache=options.cache,
            out=options.out,
            about={
                "label": options.label,
                "clips": Counter(clip.media.name.split("/")[0] for clip in clips),
                "manifests": [sha256_of(path) for path in options.manifests],
            },
            device=options.device,
            jobs=options.jobs,
            progress=_print_progress,
        )
    except ToolkitError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    for stream, result in trained.items():
        accuracy = "" if result.accuracy is None else f", validation accuracy {result.accuracy:.1f} %"
        print(f"{stream}: loss {result.losses[0]:.3f} -> {result.losses[-1]:.3f}{accuracy}")
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB")
    return 0


def _video_config(streams: Sequence[str], frames: Literal["all", "middle"]) -> VideoFeatureConfig:
    flow = DEMO_VIDEO.flow if "flow" in streams and frames == "all" else "none"
    config = replace(DEMO_VIDEO, weights="random", rgb="rgb" in streams, flow=flow)
    return config if frames == "all" else one_frame(config)


def _print_progress(stage: str, done: int, total: int, note: str = "") -> None:
    if done == total or done % 50 == 0 or stage.startswith("training"):
        print(f"{stage} {done}/{total} {note}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
