from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from dataset_tools.core.errors import InputError
from fmn.features.encoders.libraries import check_hub
from fmn.features.encoders.registry import open_video_encoder

Pictures = Callable[..., NDArray[np.uint8]]


def normalized(frames: NDArray[np.uint8], mean: object, std: object) -> torch.Tensor:
    """[T, H, W, 3] -> [T, 3, H, W], by the formula of the processors."""
    values = (frames.astype(np.float64) / 255 - np.array(mean)) / np.array(std)
    return torch.from_numpy(np.moveaxis(values, 3, 1).astype(np.float32))


@pytest.fixture
def tiny_timm(timm: Any, tmp_path: Path) -> tuple[Any, Path]:
    torch.manual_seed(0)
    model = timm.create_model("test_efficientnet", pretrained=False).eval()
    save_file(model.state_dict(), tmp_path / "tiny.safetensors")
    return model, tmp_path / "tiny.safetensors"


def test_timm_gives_what_the_classifier_would_see(
    timm: Any, tiny_timm: tuple[Any, Path], pictures: Pictures, tmp_path: Path
) -> None:
    model, file = tiny_timm
    settings = timm.data.resolve_model_data_config(model)
    encoder = open_video_encoder(f"timm:test_efficientnet@{file}", "cpu")
    assert encoder.size_px == settings["input_size"][1]
    frames = pictures(19, encoder.size_px)  # more than one batch
    with torch.inference_mode():
        features = model.forward_features(normalized(frames, settings["mean"], settings["std"]))
        expected = model.forward_head(features, pre_logits=True).numpy()
    np.testing.assert_allclose(encoder.encode(frames), expected, atol=1e-5)
    assert (encoder.dim, encoder.frames, encoder.name) == (expected.shape[1], None, "timm:test_efficientnet")
    assert encoder.licence == model.pretrained_cfg["license"]
    timm.models._hub.save_for_hf(model, tmp_path / "folder")
    saved = open_video_encoder(f"timm:{tmp_path / 'folder'}", "cpu")
    np.testing.assert_array_equal(saved.encode(frames[:2]), encoder.encode(frames[:2]))
    assert saved.source == encoder.source


def test_timm_refuses_what_is_not_there(tiny_timm: tuple[Any, Path], tmp_path: Path) -> None:
    _, file = tiny_timm
    with pytest.raises(InputError, match="no model 'resnet_of_nobody'"):
        open_video_encoder("timm:resnet_of_nobody", "cpu")
    with pytest.raises(InputError, match="no such file of weights"):
        open_video_encoder(f"timm:test_efficientnet@{tmp_path}/none.pth", "cpu")
    state = load_file(file)
    del state["conv_stem.weight"]
    save_file(state, file)
    with pytest.raises(InputError, match=r"cannot be loaded.*conv_stem\.weight"):
        open_video_encoder(f"timm:test_efficientnet@{file}", "cpu")


def vision(side: int) -> dict[str, Any]:
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    return sizes | {"image_size": side, "patch_size": 16}


@pytest.fixture
def save(transformers: Any, tmp_path: Path) -> Callable[..., Path]:
    """Saves a tiny model and its processor, as their authors do."""

    def save_both(model: Any, processor: Any) -> Path:
        folder = tmp_path / type(model).__name__
        model.save_pretrained(folder)
        processor.save_pretrained(folder)
        (folder / "README.md").write_text("---\nlicense: cc-by-nc-4.0\ntags: [video]\n---\n# A model\n")
        return folder

    torch.manual_seed(0)
    return save_both


def test_clip_gives_its_embedding_of_each_picture(transformers: Any, save: Any, pictures: Pictures) -> None:
    text = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = transformers.CLIPConfig(text_config=text, vision_config=vision(32), projection_dim=10)
    crop = {"height": 32, "width": 32}
    folder = save(
        transformers.CLIPModel(config), transformers.CLIPImageProcessor(size={"shortest_edge": 40}, crop_size=crop)
    )
    encoder = open_video_encoder(f"transformers:{folder}", "cpu")
    assert (encoder.size_px, encoder.dim, encoder.frames, encoder.licence) == (32, 10, None, "cc-by-nc-4.0")
    frames = pictures(18, 32)
    clip = transformers.CLIPModel.from_pretrained(folder).eval()
    mean, std = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # of OpenAI's CLIP
    with torch.inference_mode():
        expected = clip.visual_projection(clip.vision_model(normalized(frames, mean, std)).pooler_output)
    np.testing.assert_allclose(encoder.encode(frames), expected.numpy(), atol=1e-5)
    moved = Path(shutil.copytree(folder, folder.with_name("elsewhere")))
    assert open_video_encoder(f"transformers:{moved}", "cpu").source == encoder.source


def test_dino_gives_the_mean_of_its_tokens(transformers: Any, save: Any, pictures: Pictures) -> None:
    config = transformers.Dinov2Config(**{**vision(28), "patch_size": 14})
    crop, mean, std = {"height": 28, "width": 28}, [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]
    processor = transformers.BitImageProcessor(
        size={"shortest_edge": 32}, crop_size=crop, image_mean=mean, image_std=std
    )
    folder = save(transformers.Dinov2Model(config), processor)
    encoder = open_video_encoder(f"transformers:{folder}", "cpu")
    frames = pictures(3, 28)
    model = transformers.Dinov2Model.from_pretrained(folder).eval()
    with torch.inference_mode():
        expected = model(normalized(frames, mean, std)).last_hidden_state.mean(dim=1)
    np.testing.assert_allclose(encoder.encode(frames), expected.numpy(), atol=1e-5)


def test_videomae_gives_a_vector_a_window(transformers: Any, save: Any, pictures: Pictures) -> None:
    model = transformers.VideoMAEModel(transformers.VideoMAEConfig(**vision(32), num_frames=4))
    crop = {"height": 32, "width": 32}
    mean, std = [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]
    processor = transformers.VideoMAEImageProcessor(
        size={"shortest_edge": 32}, crop_size=crop, image_mean=mean, image_std=std
    )
    folder = save(model, processor)
    encoder = open_video_encoder(f"transformers:{folder}", "cpu")
    assert (encoder.frames, encoder.size_px, encoder.dim) == (4, 32, 16)
    window = pictures(4, 32)
    with torch.inference_mode():
        expected = model.eval()(normalized(window, mean, std)[None]).last_hidden_state[0].mean(dim=0)
    np.testing.assert_allclose(encoder.encode(window), expected.numpy(), atol=1e-5)
    assert not np.allclose(encoder.encode(window[::-1]), expected.numpy(), atol=1e-3)  # the order of frames counts


def test_vjepa_gives_the_mean_of_its_encoder_without_the_predictor(
    transformers: Any, save: Any, pictures: Pictures
) -> None:
    sizes = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "mlp_ratio": 2}
    predictor = {"pred_hidden_size": 24, "pred_num_attention_heads": 2, "pred_num_hidden_layers": 1}
    config = transformers.VJEPA2Config(crop_size=32, frames_per_clip=4, tubelet_size=2, **sizes, **predictor)
    model = transformers.VJEPA2Model(config)
    folder = save(model, transformers.VJEPA2VideoProcessor(crop_size={"height": 32, "width": 32}))
    encoder = open_video_encoder(f"transformers:{folder}", "cpu")
    window = pictures(4, 32)
    imagenet = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    with torch.inference_mode():
        expected = model.eval().encoder(normalized(window, *imagenet)[None]).last_hidden_state[0].mean(dim=0)
    np.testing.assert_allclose(encoder.encode(window), expected.numpy(), atol=1e-5)
    assert (encoder.frames, encoder.dim) == (4, 24)


def test_parameters_that_are_missing_are_not_made_up(transformers: Any, save: Any, tmp_path: Path) -> None:
    model = transformers.VideoMAEModel(transformers.VideoMAEConfig(**vision(32), num_frames=4))
    folder = save(model, transformers.VideoMAEImageProcessor(size={"shortest_edge": 32}))
    state = load_file(folder / "model.safetensors")
    lost = next(name for name in state if name.endswith("dense.weight"))
    del state[lost]
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match=r"lack 1 parameter.*dense\.weight"):
        open_video_encoder(f"transformers:{folder}", "cpu")


def test_a_model_that_is_nowhere_is_refused_with_what_to_put_where(
    transformers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = pytest.importorskip("huggingface_hub")
    waits: list[float] = []
    check_hub.cache_clear()
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub.constants, "ENDPOINT", "http://127.0.0.1:9")  # where nothing listens
    monkeypatch.setattr(time, "sleep", waits.append)
    with pytest.raises(InputError) as caught:
        open_video_encoder("transformers:nobody/has-such-a-model", "cpu")
    check_hub.cache_clear()
    assert waits == []  # no retries
    assert "hf download nobody/has-such-a-model --local-dir FOLDER" in str(caught.value)
