from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from dataset_tools.core.errors import InputError
from fmn.features.config import FlowMethod
from fmn.features.flow import optical_flow, quantized

Texture = Callable[..., NDArray[np.uint8]]


@pytest.mark.parametrize("step_px", [1, 3])
@pytest.mark.parametrize("method", ["dis", "dis_fast"])
def test_a_texture_that_moves_to_the_right_flows_to_the_right(
    texture: Texture, step_px: int, method: FlowMethod
) -> None:
    flow = optical_flow(texture(4, 64, 96, step_px=step_px), method, 10.0)
    inner = flow[:, 16:-16, 24:-24].astype(float) * 10 / 127
    assert np.median(inner[..., 0]) == pytest.approx(step_px, abs=0.1)
    assert np.median(inner[..., 1]) == pytest.approx(0, abs=0.1)


def test_a_texture_that_moves_down_flows_down(texture: Texture) -> None:
    frames = np.ascontiguousarray(texture(3, 96, 96, step_px=2).transpose(0, 2, 1, 3))
    inner = optical_flow(frames, "dis", 10.0)[:, 24:-24, 24:-24].astype(float) * 10 / 127
    assert np.median(inner[..., 1]) == pytest.approx(2, abs=0.1)


def test_the_last_flow_is_repeated_and_a_lone_frame_has_none(texture: Texture) -> None:
    frames = texture(5, 40, 56)
    flow = optical_flow(frames, "dis", 10.0)
    assert flow.shape == (5, 40, 56, 2)
    assert flow.dtype == np.int8
    assert np.array_equal(flow[4], flow[3])
    assert not np.array_equal(flow[3], flow[2])
    assert not optical_flow(frames[:1], "dis", 10.0).any()


def test_flow_is_clipped_scaled_and_rounded() -> None:
    pixels = np.array([-50, -20, -10, -0.05, 0, 0.05, 0.1, 20, 21], np.float32)
    assert quantized(pixels, 20.0).tolist() == [-127, -127, -64, 0, 0, 0, 1, 127, 127]


@pytest.mark.parametrize("side_px", [40, 80, 112])
@pytest.mark.parametrize("method", ["dis", "dis_fast"])
def test_a_flow_does_not_depend_on_the_frames_before(texture: Texture, side_px: int, method: FlowMethod) -> None:
    frames = texture(5, side_px, side_px)
    assert np.array_equal(optical_flow(frames, method, 10.0)[2:], optical_flow(frames[2:], method, 10.0))


def test_the_number_of_threads_of_opencv_does_not_matter(texture: Texture) -> None:
    frames = texture(3, 240, 320, seed=5)
    usual = cv2.getNumThreads()
    alone = optical_flow(frames, "dis", 10.0)
    try:
        cv2.setNumThreads(4)
        assert np.array_equal(optical_flow(frames, "dis", 10.0), alone)
    finally:
        cv2.setNumThreads(usual)


def test_tvl1_is_contribs_or_an_input_error(texture: Texture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(cv2, "optflow", raising=False)
    with pytest.raises(InputError, match="contrib"):
        optical_flow(texture(2, 40, 40), "tvl1", 10.0)

    class Contrib:
        @staticmethod
        def DualTVL1OpticalFlow_create() -> Any:  # noqa: N802
            class Engine:
                def calc(self, before: Any, after: Any, start: None) -> Any:
                    return np.full((*before.shape, 2), 5.0, np.float32)

            return Engine()

    monkeypatch.setattr(cv2, "optflow", Contrib, raising=False)
    assert (optical_flow(texture(2, 40, 40), "tvl1", 10.0) == 64).all()  # half of the bound
