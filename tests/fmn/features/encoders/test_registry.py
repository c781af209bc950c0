from __future__ import annotations

import inspect
import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dataset_tools.core.errors import InputError
from fmn.features.encoders.interface import source_of, weights_digest
from fmn.features.encoders.registry import BUNDLES, open_speech_encoder, open_video_encoder

COLOR = """
import numpy as np
from fmn.features.encoders.interface import source_of

class Color:
    name, revision, licence, dim, size_px, frames = "color", "", "public domain", 3, 8, None

    def __init__(self, argument, *, device):
        self.argument, self.device = argument, device
        self.source = source_of("color", "none", [])

    def encode(self, frames):
        return frames.mean(axis=(1, 2), dtype=np.float32)

make = Color
"""


def test_a_package_adds_an_encoder_by_an_entry_point(entry_point: Callable[..., None]) -> None:
    entry_point("fmn.video_encoders", "color", COLOR)
    encoder = open_video_encoder("color:any/thing:at@all", "cpu")
    assert (encoder.name, vars(encoder)["argument"], vars(encoder)["device"]) == ("color", "any/thing:at@all", "cpu")
    assert encoder.encode(np.full((2, 8, 8, 3), 7, np.uint8)).tolist() == [[7, 7, 7]] * 2
    with pytest.raises(InputError, match="no encoder 'color'"):  # it is one of video
        open_speech_encoder("color", "cpu", "last")


def test_the_package_in_the_docs_adds_an_encoder(install_package: Callable[[str, str], None]) -> None:
    page = (Path(__file__).parents[4] / "docs" / "encoders.md").read_text("utf-8")
    (code,), (project,) = (re.findall(rf"^```{kind}\n(.*?)^```", page, re.M | re.S) for kind in ("python", "toml"))
    [(group, entries)] = tomllib.loads(project)["project"]["entry-points"].items()
    [(name, place)] = entries.items()
    install_package(code, f"[{group}]\n{name} = {place.replace('my_package', 'their_package')}\n")
    encoder = open_video_encoder(name, "cpu")
    pictures = np.full((2, encoder.size_px, encoder.size_px, 3), 7, np.uint8)
    assert encoder.encode(pictures).tolist() == [[7] * encoder.dim] * 2
    for method in (type(encoder).__init__, type(encoder).encode):  # type checkers skip untyped functions
        known = {"self", *method.__annotations__}
        assert known == {*inspect.signature(method).parameters, "return"}


def test_an_unknown_name_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(InputError) as caught:
        open_speech_encoder("hubert_tiny", "cpu", "last")
    for part in ("no encoder 'hubert_tiny'", "torchaudio", "whisper", "hubert_base", "fmn.speech_encoders"):
        assert part in str(caught.value)


def test_every_short_name_is_a_bundle_of_torchaudio() -> None:
    from dataset_tools.core import torch_compat

    pipelines = torch_compat.torchaudio().pipelines
    assert all(getattr(pipelines, name)._params["aux_num_out"] is None for name in BUNDLES)  # none made for ASR


def test_weights_count_by_content_and_their_names(tmp_path: Path) -> None:
    import torch

    state = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.zeros(())}
    digest = weights_digest(state)
    assert weights_digest(dict(reversed(state.items()))) == digest
    others = (
        {"a": state["a"].T.contiguous(), "b": state["b"]},
        {"a": state["a"] + 1, "b": state["b"]},
        {"a": state["a"].half(), "b": state["b"]},
        {"c": state["a"], "b": state["b"]},
    )
    assert len({digest, *map(weights_digest, others)}) == 5
    sources = {source_of("n", digest, []), source_of("m", digest, []), source_of("n", digest, [], layer=1)}
    assert len({*sources, source_of("n", "other", [])}) == 4
