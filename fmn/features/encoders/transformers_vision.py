"""transformers image and video models: ``transformers:NAME``, ``transformers:FOLDER``.

Among them CLIP, SigLIP 2 and DINO (images), VideoMAE and V-JEPA 2 (video).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dataset_tools.core.count_of import count_of
from dataset_tools.core.errors import InputError, ToolkitError
from fmn.features.encoders.interface import source_of, weights_digest
from fmn.features.encoders.libraries import absent, check_hub, library, licence_on_card

BATCH = 16
BESIDE = ("*.json", "*.jinja", "*.model", "*.txt", "README.md")
"""Files of a model on the hub other than its weights: processor, tokenizer, model card."""


class TransformersVision:
    """A model and its processor, which normalizes the pixels; the frames already have the model's input size.

    The feature is the image embedding of image-text models (CLIP, SigLIP), else the mean of the last hidden states over
    all tokens. A model with a number of frames in its configuration encodes windows of that length, any other model
    encodes single images.
    """

    def __init__(self, argument: str, *, device: str) -> None:
        """Loads model and processor.

        Args:
            argument: a name on the model hub, ``NAME@REVISION``, or a folder.
            device: a torch device.

        Raises:
            InputError: they are not available, or parameters are missing in the weights.
        """
        model, folder, revision = load_pretrained(argument, "AutoModel")
        config = model.config
        frames = getattr(config, "num_frames", None) or getattr(config, "frames_per_clip", None)
        processor = "AutoVideoProcessor" if frames else "AutoImageProcessor"
        self._processor = load_processor(processor, folder, f"transformers:{argument}")
        self.frames: int | None = int(frames) if frames else None
        self.revision = revision
        self.name = f"transformers:{config.model_type}" if Path(argument).is_dir() else f"transformers:{argument}"
        self.licence = licence_on_card(folder)
        self.size_px = _size_px(config, self._processor)
        self.source = source_of(
            config.model_type,
            weights_digest(model.state_dict()),
            ("transformers",),
            size_px=self.size_px,
            frames=frames,
            processor={key: str(value) for key, value in self._processor.to_dict().items()},
        )
        self._device = torch.device(device)
        self._model = model.to(self._device)
        blank = np.zeros((self.frames or 1, self.size_px, self.size_px, 3), np.uint8)
        self.dim = self.encode(blank).shape[-1]

    @torch.inference_mode()
    def encode(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """[T, size_px, size_px, 3] -> [T, D] for images, [D] for a video."""
        if self.frames:
            features: NDArray[np.float32] = self._features([list(frames)], do_sample_frames=False)[0]
            return features
        parts = [frames[start : start + BATCH] for start in range(0, len(frames), BATCH)]
        return np.concatenate([self._features(list(part)) for part in parts])

    def _features(self, images: list[Any], **options: bool) -> NDArray[np.float32]:
        inputs = self._processor(
            images,
            return_tensors="pt",
            input_data_format="channels_last",
            do_resize=False,
            do_center_crop=False,
            **options,
        )
        tensors = {name: value.to(self._device) for name, value in inputs.items() if isinstance(value, Tensor)}
        model = self._model
        if hasattr(model, "get_image_features"):
            output = model.get_image_features(**tensors)
        elif hasattr(model, "get_vision_features"):  # V-JEPA 2: its predictor is not needed
            output = model.get_vision_features(**tensors)
        else:
            output = model(**tensors).last_hidden_state
        if not isinstance(output, Tensor):
            output = output.pooler_output
        if output.ndim == 4:  # [B, C, H, W] from a convolutional network
            output = output.flatten(2).transpose(1, 2)
        if output.ndim == 3:  # [B, tokens, D]
            output = output.mean(dim=1)
        values: NDArray[np.float32] = output.float().cpu().numpy()
        return values


def load_pretrained(argument: str, kind: str, prefix: str = "transformers") -> tuple[Any, Path, str]:
    """Loads a model in evaluation mode; also returns the folder of its files and its revision (empty for a folder).

    Files in the cache of the model hub are used without contacting the hub; only missing ones are downloaded.

    Args:
        argument: a name on the hub, ``NAME@REVISION``, or a folder.
        kind: class of transformers that loads it.
        prefix: of the encoder's name in messages.

    Raises:
        InputError: it is not available, or its file lacks parameters (transformers would initialize them randomly).
    """
    transformers = library("transformers")
    local = Path(argument).expanduser()
    name, _, requested = argument.partition("@")
    try:
        if local.is_dir():
            model, report = _from(transformers, kind, local)
            folder, revision = local, ""
        else:
            options = {"revision": requested} if requested else {}
            try:
                model, report = _from(transformers, kind, name, local_files_only=True, **options)
            except (OSError, ValueError):
                check_hub()
                model, report = _from(transformers, kind, name, **options)
            config_file = transformers.utils.hub.cached_file(name, "config.json", local_files_only=True, **options)
            folder = Path(config_file).parent
            if not any(folder.glob("*processor_config.json")):  # loading a model does not fetch its other files
                library("huggingface_hub").snapshot_download(name, allow_patterns=BESIDE, **options)
            revision = folder.name if folder.parent.name == "snapshots" else requested
    except ToolkitError:
        raise
    except Exception as error:  # transformers, safetensors and pickle raise various errors for damaged files
        raise absent(
            f"{prefix}:{argument}",
            error,
            expected="a model in the cache of the hub, or a folder with config.json, weights and processor",
            next_step=f"with network access: hf download {name} --local-dir FOLDER; then pass the FOLDER",
        ) from error
    missing = sorted(key for key in report["missing_keys"] if "pooler" not in key)
    if missing or report["mismatched_keys"]:
        wrong = [*missing, *(str(key) for key in report["mismatched_keys"])]
        raise InputError(
            f"The weights lack {count_of(len(wrong), 'parameter')} of the model; the first: {wrong[0]}",
            where=argument,
            expected=f"every parameter of {type(model).__name__}",
            next_step="choose a checkpoint of this architecture",
        )
    return model.eval(), folder, revision


def load_processor(kind: str, folder: Path, encoder: str) -> Any:
    """Loads the processor that prepares the inputs of a model.

    Args:
        kind: class of transformers.
        folder: of the model.
        encoder: its name in messages.

    Raises:
        InputError: its files are missing or damaged.
    """
    try:
        return getattr(library("transformers"), kind).from_pretrained(folder)
    except ToolkitError:
        raise
    except Exception as error:  # as in `load_pretrained`
        raise absent(
            encoder,
            error,
            expected=f"the files of {kind} beside config.json",
            next_step="put them there; hf download fetches all files of a model",
        ) from error


def _from(transformers: Any, kind: str, place: str | Path, **options: Any) -> tuple[Any, dict[str, Any]]:
    loader = getattr(transformers, kind)
    model, report = loader.from_pretrained(place, output_loading_info=True, dtype=torch.float32, **options)
    return model, report


def _size_px(config: Any, processor: Any) -> int:
    """Returns the side of the model's square input: the crop or resize size of its processor, else its configuration.

    Raises:
        InputError: neither states a size.
    """
    for size in (getattr(processor, "crop_size", None), getattr(processor, "size", None)):
        for key in ("height", "shortest_edge"):
            if size and size.get(key):
                return int(size[key])
    if side := getattr(config, "image_size", None):
        return int(side)
    raise InputError(
        f"The model {config.model_type} does not state the size of its input images",
        where="video.encoder",
        expected="a processor with crop_size or size",
        next_step="choose another model, or add size to its preprocessor_config.json",
    )
