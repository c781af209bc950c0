"""Folders and files of models that are damaged: one message that names the folder, whatever a library raises."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dataset_tools.core.errors import InputError
from fmn.features.encoders.registry import open_speech_encoder, open_video_encoder


def halved(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def no_processor(folder: Path) -> None:
    (folder / "preprocessor_config.json").unlink()


def no_json(folder: Path) -> None:
    (folder / "preprocessor_config.json").write_text("{")


def a_list(folder: Path) -> None:
    (folder / "config.json").write_text("[]")


def pictures(transformers: Any, folder: Path) -> Path:
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    transformers.Dinov2Model(transformers.Dinov2Config(**sizes, image_size=28)).save_pretrained(folder)
    transformers.BitImageProcessor(crop_size={"height": 28, "width": 28}).save_pretrained(folder)
    return folder


def speech(transformers: Any, folder: Path) -> Path:
    sizes = {f"{half}_{what}": 1 for half in ("encoder", "decoder") for what in ("layers", "attention_heads")}
    sizes |= {"encoder_ffn_dim": 8, "decoder_ffn_dim": 8, "d_model": 8, "vocab_size": 60}
    special = {"pad_token_id": 1, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
    transformers.WhisperModel(transformers.WhisperConfig(**sizes, **special)).save_pretrained(folder)
    transformers.WhisperFeatureExtractor().save_pretrained(folder)
    return folder


@pytest.mark.parametrize("damage", [halved, no_processor, no_json, a_list])
def test_damaged_folders_of_transformers(transformers: Any, tmp_path: Path, damage: Callable[[Path], None]) -> None:
    for name, make in (("pictures", pictures), ("speech", speech)):
        folder = make(transformers, tmp_path / name)
        damage(folder)
        with pytest.raises(InputError, match="cannot be loaded") as refused:
            if name == "pictures":
                open_video_encoder(f"transformers:{folder}", "cpu")
            else:
                open_speech_encoder(f"whisper:{folder}", "cpu", "last")
        prefix = "transformers" if name == "pictures" else "whisper"
        assert str(refused.value.where) == f"{prefix}:{folder}"


def test_files_that_hold_no_weights(timm: Any, tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    file.write_text("root:x:0:0\n")
    with pytest.raises(InputError, match="cannot be loaded"):
        open_video_encoder(f"timm:test_efficientnet@{file}", "cpu")
    with pytest.raises(InputError, match="cannot be loaded"):
        open_speech_encoder(f"torchaudio:HUBERT_BASE@{file}", "cpu", "last")


def test_what_an_encoder_would_ignore_is_refused() -> None:
    with pytest.raises(InputError, match="takes no argument"):
        open_video_encoder("efficientnet_lite0:large", "cpu")
    with pytest.raises(InputError, match="takes no argument"):
        open_speech_encoder("openwakeword:large", "cpu", "last")
    for layer in (3, "mean"):
        with pytest.raises(InputError, match="no choice of layer"):
            open_speech_encoder("openwakeword", "cpu", layer)  # type: ignore[arg-type]
