"""The two halves of a joint model, against the whole model in transformers."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from dataset_tools.core.errors import InputError
from fmn.features.encoders.registry import open_speech_encoder, open_video_encoder

Pictures = Callable[..., NDArray[np.uint8]]


def sound(samples: int) -> NDArray[np.float32]:
    return np.random.default_rng(samples).normal(scale=0.1, size=samples).astype(np.float32)


def halves(prefix: str, folder: Path) -> tuple[Any, Any]:
    return open_video_encoder(f"{prefix}:{folder}", "cpu"), open_speech_encoder(f"{prefix}:{folder}", "cpu", "last")


@pytest.mark.parametrize("prefix", ["pe_av", "embedding_gemma"])
def test_what_both_halves_say_of_themselves(joint: dict[str, Path], prefix: str, tmp_path: Path) -> None:
    clips, speech = halves(prefix, joint[prefix])
    assert clips.space == speech.space
    assert clips.space.startswith(prefix)
    assert clips.source != speech.source
    assert (clips.name, clips.revision, clips.dim, clips.licence) == (prefix, "", 12, "apache-2.0")
    assert (speech.name, speech.dim, speech.licence, speech.sample_rate_hz) == (prefix, 12, "apache-2.0", 16_000)
    moved, other = (Path(shutil.copytree(joint[prefix], tmp_path / name)) for name in ("moved", "other"))
    assert (halves(prefix, moved)[0].space, halves(prefix, moved)[0].source) == (clips.space, clips.source)
    state = load_file(other / "model.safetensors")
    name = next(name for name in state if "audio" in name and state[name].ndim == 2)
    state[name] += 1e-3
    save_file(state, other / "model.safetensors", {"format": "pt"})
    assert halves(prefix, other)[0].space != clips.space  # of the clips, though the weights are of the sound


def test_pe_av_gives_the_embeddings_of_the_whole_model(
    transformers: Any, joint: dict[str, Path], pictures: Pictures
) -> None:
    clips, speech = halves("pe_av", joint["pe_av"])
    model = transformers.PeAudioVideoModel.from_pretrained(joint["pe_av"]).eval()
    frames, samples = pictures(4, 160), sound(32 * 250)
    pixels = torch.from_numpy(frames / np.float32(127.5) - 1).permute(0, 3, 1, 2)
    with torch.inference_mode():
        both = model(pixel_values_videos=pixels[None], input_values=torch.from_numpy(samples)[None, None])
    np.testing.assert_allclose(clips.encode(frames), both.video_embeds[0], atol=1e-5)
    np.testing.assert_allclose(speech.encode(samples), both.audio_embeds[0], atol=1e-5)


def test_pe_av_sees_its_number_of_frames_or_all_of_them(make_pe_av: Any) -> None:
    times_s = np.arange(47) / 25
    clips, _ = halves("pe_av", make_pe_av("four"))
    assert clips.choose(times_s).tolist() == [0, 15, 30, 46]  # evenly from the first to the last
    assert clips.choose(times_s[:2]).tolist() == [0, 0, 0, 1]
    clips, _ = halves("pe_av", make_pe_av("all", do_sample_frames=False, num_frames=None))
    assert clips.choose(times_s).tolist() == list(range(47))


@pytest.mark.parametrize("fps", [10.0, 25.0, 30000 / 1001])
def test_embedding_gemma_gives_the_mean_of_all_tokens_of_the_frames_it_samples(
    transformers: Any, joint: dict[str, Path], pictures: Pictures, fps: float
) -> None:
    clips, speech = halves("embedding_gemma", joint["embedding_gemma"])
    model = transformers.EmbeddingGemma2Model.from_pretrained(joint["embedding_gemma"]).eval()
    processor = transformers.EmbeddingGemma2Processor.from_pretrained(joint["embedding_gemma"])
    frames, samples = pictures(31, 100), sound(8_000)
    about = {"total_num_frames": 31, "fps": fps, "duration": 31 / fps}
    with torch.inference_mode():
        video = model(**processor(videos=[frames], video_metadata=[about], return_tensors="pt"))
        audio = model(**processor(audio=[samples], sampling_rate=16_000, return_tensors="pt"))
    times_s = 0.4 + np.arange(31) / fps
    np.testing.assert_allclose(
        clips.encode(frames[clips.choose(times_s)]), video.last_hidden_state[0].mean(dim=0), atol=1e-5
    )
    np.testing.assert_allclose(speech.encode(samples), audio.last_hidden_state[0].mean(dim=0), atol=1e-5)
    assert set(clips.choose(times_s[:1])) == {0}


@pytest.mark.parametrize("prefix", ["pe_av", "embedding_gemma"])
def test_what_cannot_be_used_is_refused(joint: dict[str, Path], prefix: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no choice of layer"):
        open_speech_encoder(f"{prefix}:{joint[prefix]}", "cpu", 2)
    with pytest.raises(InputError) as caught:
        open_video_encoder(f"{prefix}:nobody/has-such-a-model", "cpu")
    assert "hf download nobody/has-such-a-model --local-dir FOLDER" in str(caught.value)
    other = next(path for name, path in joint.items() if name != prefix)
    with pytest.raises(InputError, match=r"of the type '(pe_audio_video|embedding_gemma2)'"):
        open_video_encoder(f"{prefix}:{other}", "cpu")
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(joint[prefix] / name, bare)
    with pytest.raises(InputError, match="cannot be loaded") as caught:
        open_video_encoder(f"{prefix}:{bare}", "cpu")
    assert "beside config.json" in str(caught.value.expected)


def test_a_model_without_the_tower_is_refused(make_embedding_gemma: Any) -> None:
    with pytest.raises(InputError, match="no vision tower"):
        open_video_encoder(f"embedding_gemma:{make_embedding_gemma('deaf', vision=False)}", "cpu")
