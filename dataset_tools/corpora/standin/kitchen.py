"""The kitchen background, painted once per video: worktop, stove, sink, wall, drawers, and places for objects."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from dataset_tools.corpora.standin.kinds import ZOOM
from dataset_tools.corpora.standin.painter import Color, Image, Painter, lay, noise
from dataset_tools.corpora.standin.things import THINGS

Generator = np.random.Generator
WIDTH_PX, HEIGHT_PX = 320, 240
MARGIN_PX = 8  # painted beyond each edge, for the camera's jitter
# Things lie, and hands work, within this box: left, top, right, bottom.
WORK_AREA = (54.0, 44.0, 266.0, 194.0)

_WORKTOPS: tuple[tuple[str, Color], ...] = (
    ("wood", (95, 140, 185)), ("wood", (70, 100, 140)), ("wood", (140, 175, 205)), ("stone", (150, 150, 152)),
    ("stone", (95, 92, 90)), ("stone", (175, 185, 195)), ("plain", (190, 195, 198)), ("plain", (150, 160, 150)),
    ("plain", (165, 140, 120)),
)  # fmt: skip


def paint_kitchen(rng: Generator) -> Image:
    """Paints the empty kitchen: BGR uint8 [`HEIGHT_PX` + 2 · `MARGIN_PX`, `WIDTH_PX` + 2 · `MARGIN_PX`, 3]."""
    height, width = HEIGHT_PX + 2 * MARGIN_PX, WIDTH_PX + 2 * MARGIN_PX
    image = _worktop(rng, height, width)
    _wall(image, rng)
    _front(image, rng)
    mirrored = rng.random() < 0.5
    stove_x = 32 + rng.uniform(-6, 8)
    sink_x = width - 40 + rng.uniform(-8, 6)
    _stove(image, (stove_x, 72 + rng.uniform(-10, 12)), rng)
    _sink(image, (sink_x, 68 + rng.uniform(-8, 12)), rng)
    if mirrored:
        image = np.ascontiguousarray(image[:, ::-1])
    return _lit(image, rng)


def _worktop(rng: Generator, height: int, width: int) -> Image:
    kind, color = _WORKTOPS[int(rng.integers(len(_WORKTOPS)))]
    base = np.array(color, np.float32) * float(rng.uniform(0.85, 1.12))
    if kind == "wood":
        fibers = noise(rng, (height, width // 24), 3.0)
        texture = 0.07 * cv2.resize(fibers, (width, height)) + 0.02 * noise(rng, (height, width), 1.5)
        for y in np.arange(rng.integers(10, 40), height, 46):
            texture[int(y) : int(y) + 1] -= 0.3
    elif kind == "stone":
        texture = 0.09 * noise(rng, (height, width), 1.6) + 0.05 * noise(rng, (height, width), 9.0)
    else:
        texture = 0.025 * noise(rng, (height, width), 2.5) + 0.015 * noise(rng, (height, width), 40.0)
    return np.asarray(np.clip(base * (1 + texture[..., None]), 0, 255), np.uint8)


def _wall(image: Image, rng: Generator) -> None:
    depth = int(rng.integers(18, 26))
    color = np.array([200, 205, 205]) * rng.uniform(0.75, 1.1) * rng.uniform(0.94, 1.06, 3)
    image[:depth] = np.clip(color * (1 + 0.03 * noise(rng, (depth, image.shape[1]), 3)[..., None]), 0, 255)
    for x in range(int(rng.integers(0, 20)), image.shape[1], 26):
        image[:depth, x : x + 1] = image[:depth, x : x + 1] // 2 + 40
    image[depth : depth + 4] = (image[depth : depth + 4] * np.linspace(0.5, 0.9, 4)[:, None, None]).astype(np.uint8)


def _front(image: Image, rng: Generator) -> None:
    """Paints the edge of the worktop and the drawers below it."""
    top = HEIGHT_PX + 2 * MARGIN_PX - int(rng.integers(18, 24))
    color = np.array([110, 120, 130]) * rng.uniform(0.6, 1.4) * rng.uniform(0.9, 1.1, 3)
    image[top:] = np.clip(color, 0, 255).astype(np.uint8)
    image[top - 3 : top] = (image[top - 3 : top] * 1.15).clip(0, 255).astype(np.uint8)
    image[top : top + 3] = image[top : top + 3] // 2
    for x in range(int(rng.integers(20, 80)), image.shape[1], 96):
        image[top:, x : x + 2] = image[top:, x : x + 2] // 2
        cv2.line(image, (x + 34, top + 11), (x + 62, top + 11), (200, 200, 205), 3, cv2.LINE_AA)


def _stove(image: Image, center: tuple[float, float], rng: Generator) -> None:
    p = Painter(74, 104, rng)
    p.polygon(
        [(-34, -48), (34, -48), (34, 48), (-34, 48)], (38, 36, 36), corner_px=2, grain=0.06, gloss=0.1, round_px=2
    )
    for y, radius in ((-22, 17), (20, 21)):
        p.ring((0, y), radius, 2, (90, 90, 100))
        p.ring((0, y), radius * 0.55, 1.4, (70, 70, 80))
        if rng.random() < 0.3:
            p.ring((0, y), radius * 0.78, 3, (50, 60, 190), opacity=0.6)
    lay(image, p.sprite(), center)


def _sink(image: Image, center: tuple[float, float], rng: Generator) -> None:
    p = Painter(88, 110, rng)
    steel = (185, 184, 180)
    p.polygon([(-38, -46), (38, -46), (38, 46), (-38, 46)], steel, corner_px=4, round_px=3, gloss=0.3, grain=0.03)
    p.polygon([(-31, -32), (31, -32), (31, 38), (-31, 38)], (120, 120, 118), corner_px=4, grain=0.03)
    p.polygon([(-28, -28), (31, -28), (31, 38), (-28, 38)], (150, 150, 148), corner_px=3, grain=0.04)
    p.ellipse((0, 4), (6, 6), (60, 60, 60), grain=0)
    p.ring((0, 4), 7, 1.5, (200, 200, 200))
    p.stroke([(0, -44), (0, -12)], 8, (205, 205, 205), round_px=4, gloss=0.6)
    p.ellipse((0, -44), (8, 6), (190, 190, 190), round_px=5, gloss=0.5)
    lay(image, p.sprite(), center)


def _lit(image: Image, rng: Generator) -> Image:
    """Applies the light of one off-center lamp."""
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32)
    x, y = rng.uniform(0.2, 0.8) * image.shape[1], rng.uniform(0.2, 0.8) * image.shape[0]
    far = np.hypot(columns - x, rows - y) / image.shape[1]
    return np.asarray(np.clip(image * (1.08 - 0.32 * far**1.4)[..., None], 0, 255), np.uint8)


def free_place(
    kind: str,
    taken: Sequence[tuple[str, tuple[float, float]]],
    rng: Generator,
    *,
    near: tuple[float, float] | None = None,
    distance_px: tuple[float, float] = (0.0, 1e9),
) -> tuple[float, float]:
    """Returns a place for a thing, the freest one of random candidates; things may lie on flat ones.

    Args:
        kind: key of `THINGS`.
        taken: kinds and places of the things already placed.
        rng: random generator.
        near: if given, the place should be at a distance within ``distance_px`` of it.
        distance_px: smallest and largest distance.
    """
    left, top, right, bottom = WORK_AREA
    candidates = np.stack([rng.uniform(left, right, 160), rng.uniform(top, bottom, 160)], axis=1)  # [C, 2]
    room = np.full(len(candidates), 1e3)
    for other, place in taken:
        flat = THINGS[kind].flat != THINGS[other].flat
        needed = (0.25 if flat else 0.9) * ZOOM * (THINGS[kind].reach_px + THINGS[other].reach_px)
        room = np.minimum(room, np.linalg.norm(candidates - place, axis=1) - needed)
    if near is not None:
        far = np.linalg.norm(candidates - near, axis=1)
        misfit = np.maximum(distance_px[0] - far, 0) + np.maximum(far - distance_px[1], 0)
        room = np.minimum(room, 0) - 2 * misfit  # distance first, then room
    # Any free candidate is used: choosing the emptiest would result in a grid.
    best = np.argsort(-np.minimum(room, 2.0), kind="stable")[0]
    x, y = candidates[best]
    return float(x), float(y)
