"""Camera simulation: jitter, changing light, sensor noise."""

from __future__ import annotations

import cv2
import numpy as np

from dataset_tools.core.seeds import generator
from dataset_tools.corpora.standin.difficulty import Difficulty
from dataset_tools.corpora.standin.kitchen import HEIGHT_PX, MARGIN_PX, WIDTH_PX
from dataset_tools.corpora.standin.painter import Image
from dataset_tools.corpora.standin.tracks import wandering

_NOISE_TILES = 12


class Camera:
    """Converts drawn images, with their margin, to video frames."""

    def __init__(self, frames: int, level: Difficulty, seed: int, name: str) -> None:
        rng = generator(seed, "standin", "camera", name)
        shift = wandering(rng, frames, level.jitter_px, every_s=0.12) + wandering(
            rng, frames, level.jitter_px, every_s=2
        )
        self._shift = np.clip(shift, -MARGIN_PX + 1, MARGIN_PX - 1)
        tint = np.exp(level.light * rng.standard_normal() + 0.35 * level.light * rng.standard_normal(3))
        flicker = np.exp(level.flicker * wandering(rng, frames, 1.0, every_s=0.5)[:, 0])
        gain = flicker[:, None] * np.clip(tint, 0.65, 1.35)
        levels: Image = np.arange(256, dtype=np.uint8)[:, None].repeat(3, axis=1)[None]
        self._lit = [cv2.multiply(levels, np.array([*one, 1.0])) for one in gain]  # a table is faster than a product
        deviation = rng.uniform(*level.noise)
        tiles = deviation * rng.standard_normal((_NOISE_TILES, HEIGHT_PX, WIDTH_PX), np.float32)
        self._brighter = np.clip(tiles, 0, 255).astype(np.uint8)
        self._darker = np.clip(-tiles, 0, 255).astype(np.uint8)
        self._tile = rng.integers(0, _NOISE_TILES, frames)
        self._flip = rng.integers(-1, 3, frames)

    def take(self, picture: Image, frame: int) -> Image:
        """Returns a frame as planar YUV 4:2:0: uint8 [`HEIGHT_PX` · 3 / 2, `WIDTH_PX`]."""
        x, y = self._shift[frame] - MARGIN_PX
        matrix = np.array([[1, 0, x], [0, 1, y]])
        seen = cv2.warpAffine(picture, matrix, (WIDTH_PX, HEIGHT_PX), borderMode=cv2.BORDER_REPLICATE)
        planes: Image = cv2.cvtColor(cv2.LUT(seen, self._lit[frame]), cv2.COLOR_BGR2YUV_I420)
        luma = planes[:HEIGHT_PX]
        tile, flip = int(self._tile[frame]), int(self._flip[frame])
        brighter, darker = self._brighter[tile], self._darker[tile]
        if flip < 2:  # flipped tiles, so that repeated noise is not visible
            brighter, darker = cv2.flip(brighter, flip), cv2.flip(darker, flip)
        cv2.subtract(cv2.add(luma, brighter), darker, dst=luma)
        return planes
