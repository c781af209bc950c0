"""Food sprites of the synthetic kitchen, and some clutter.

Each function takes a random generator and paints one thing, with random size, shade and texture. Long things are
painted upright.
"""

from __future__ import annotations

import numpy as np

from dataset_tools.corpora.standin.kinds import Generator, ThingKind, ThingPainter
from dataset_tools.corpora.standin.painter import Color, Sprite


def shade(rng: Generator, color: Color, spread: float = 0.1) -> Color:
    """Returns the color with slightly randomized brightness and hue."""
    factors = (1 + spread * rng.uniform(-1, 1)) * (1 + 0.4 * spread * rng.uniform(-1, 1, 3))
    blue, green, red = np.clip(np.array(color) * factors, 0, 255)
    return float(blue), float(green), float(red)


def _apple(rng: Generator) -> Sprite:
    size = rng.uniform(16, 18.5)
    p = ThingPainter(40, 40, rng)
    red, green = (42, 40, 190), (60, 175, 140)
    first, second = (red, green) if rng.random() < 0.6 else (green, red)
    p.ellipse((0, 0), (size, size * rng.uniform(0.92, 1)), shade(rng, first), round_px=size, gloss=0.35, grain=0.1)
    p.ellipse((-5, 5), (size * 0.5, size * 0.4), shade(rng, second), round_px=8, opacity=0.35, grain=0.2)
    p.ellipse((0, 0), (4.5, 3.5), (20, 50, 70), round_px=3, opacity=0.8)
    p.stroke([(0, 0), (2, -7)], 2.2, (25, 50, 80))
    return p.sprite()


def _carrot(rng: Generator) -> Sprite:
    length, width = rng.uniform(58, 66), rng.uniform(15, 18)
    p = ThingPainter(34, 88, rng)
    for lean in rng.uniform(-9, 9, 5):
        p.stroke([(0, -length * 0.42), (lean, -length * 0.42 - rng.uniform(8, 13))], 3, shade(rng, (50, 130, 60), 0.3))
    half, top, tip = width / 2, -length * 0.42, length * 0.55
    orange = shade(rng, (25, 120, 240))
    p.polygon([(-half, top), (half, top), (2, tip), (-2, tip)], orange, corner_px=1.5, round_px=7, gloss=0.1)
    for y in np.arange(top + 4, tip - 8, 7).tolist():
        p.stroke([(-half * 0.6, y), (half * 0.1, y + 1)], 1, (15, 80, 180), opacity=0.7)
    return p.sprite()


def _cucumber(rng: Generator) -> Sprite:
    length, width = rng.uniform(62, 72), rng.uniform(15, 18)
    p = ThingPainter(30, 84, rng)
    bend = rng.uniform(-5, 5)
    spine = [(bend * (1 - (y / length * 2) ** 2), y) for y in np.linspace(-length / 2, length / 2, 9)]
    p.stroke(spine, width, shade(rng, (45, 110, 40)), round_px=8, gloss=0.25, grain=0.14, grain_px=2)
    for x in (-4, 0, 4):
        p.stroke([(px + x, py) for px, py in spine], 1.0, (90, 160, 110), opacity=0.55)
    return p.sprite()


def _citrus(rng: Generator, radii: tuple[float, float], color: Color, *, nipple: bool) -> Sprite:
    p = ThingPainter(44, 44, rng)
    if nipple:
        p.ellipse((0, -radii[1]), (4, 5), color, round_px=4)
        p.ellipse((0, radii[1]), (3.5, 4), color, round_px=4)
    p.ellipse((0, 0), radii, color, round_px=min(radii), gloss=0.3, grain=0.09, grain_px=1.2)
    p.ellipse((1, -1), (2.6, 2.6), (40, 90, 70), round_px=2, opacity=0.9)
    return p.sprite()


def _lemon(rng: Generator) -> Sprite:
    size = rng.uniform(14, 15.5)
    return _citrus(rng, (size, size * 1.2), shade(rng, (45, 215, 245), 0.06), nipple=True)


def _lime(rng: Generator) -> Sprite:
    size = rng.uniform(13, 14.5)
    return _citrus(rng, (size, size * 1.1), shade(rng, (50, 175, 95), 0.12), nipple=False)


def _orange(rng: Generator) -> Sprite:
    size = rng.uniform(17, 19)
    return _citrus(rng, (size, size), shade(rng, (20, 140, 245), 0.08), nipple=False)


def _onion(rng: Generator) -> Sprite:
    size = rng.uniform(15.5, 18)
    p = ThingPainter(44, 46, rng)
    skin = shade(rng, (75, 150, 205) if rng.random() < 0.65 else (95, 50, 135), 0.12)
    p.polygon([(-4, -size), (4, -size), (2, -size - 5), (-1, -size - 5)], skin, round_px=3)
    p.ellipse((0, 0), (size, size * 0.95), skin, round_px=size, gloss=0.25, grain=0.12)
    for x in np.linspace(-0.8, 0.8, 7):
        course = [(x * size * np.cos(a), size * 0.95 * np.sin(a)) for a in np.linspace(-1.5, 1.5, 9)]
        p.stroke(course, 1, tuple(0.6 * channel for channel in skin), opacity=0.6)  # type: ignore[arg-type]
    p.ellipse((0, size * 0.9), (4, 3), (150, 190, 205), grain=0.3)
    return p.sprite()


def _pineapple(rng: Generator) -> Sprite:
    width, length = rng.uniform(16, 18.5), rng.uniform(24, 27)
    p = ThingPainter(56, 98, rng)
    for lean in np.concatenate([rng.uniform(-20, 20, 7), rng.uniform(-9, 9, 5)]):
        leaf = shade(rng, (60, 120, 55), 0.35)
        p.polygon(
            [(-3, -length * 0.55), (3, -length * 0.55), (lean, -length * 0.9 - rng.uniform(10, 19))], leaf, round_px=2
        )
    p.ellipse((0, 10), (width, length), shade(rng, (35, 130, 195)), round_px=15, grain=0.12)
    for start in np.arange(-60, 60, 8.0):
        for slope in (1, -1):
            line = []
            for y in np.linspace(-length, length, 30):
                x = slope * (y * 0.8) + start
                if (x / width) ** 2 + (y / length) ** 2 < 0.96:
                    line.append((x, y + 10))
            if len(line) > 1:
                p.stroke(line, 1.2, (20, 65, 110), opacity=0.75)
    return p.sprite()


def _tomato(rng: Generator) -> Sprite:
    p = ThingPainter(40, 40, rng)
    p.ellipse((0, 0), (15, 14), shade(rng, (35, 35, 205)), round_px=14, gloss=0.5)
    for angle in np.arange(5) * 1.257:
        p.stroke([(0, 0), (6 * np.cos(angle), 6 * np.sin(angle))], 2.2, (50, 120, 50))
    return p.sprite()


def _bread(rng: Generator) -> Sprite:
    p = ThingPainter(44, 70, rng)
    p.ellipse((0, 0), (18, 31), shade(rng, (60, 115, 175)), round_px=14, grain=0.12)
    for y in (-16, -5, 6, 17):
        p.stroke([(-9, y + 4), (9, y - 4)], 3, (120, 175, 220), opacity=0.7, grain=0.2)
    return p.sprite()


def _mushroom(rng: Generator) -> Sprite:
    p = ThingPainter(36, 36, rng)
    p.ellipse((0, 0), (13, 12), shade(rng, (185, 205, 220), 0.08), round_px=12, grain=0.1)
    p.ellipse((1, 1), (4, 3.5), (150, 170, 190), round_px=3)
    return p.sprite()


FOOD = {
    "apple": ThingKind(_apple, 17),
    "carrot": ThingKind(_carrot, 20),
    "cucumber": ThingKind(_cucumber, 20),
    "lemon": ThingKind(_lemon, 16),
    "lime": ThingKind(_lime, 15),
    "onion": ThingKind(_onion, 17),
    "orange": ThingKind(_orange, 18),
    "pineapple": ThingKind(_pineapple, 27, height_px=4),
    "tomato": ThingKind(_tomato, 15),
    "bread": ThingKind(_bread, 24),
    "mushroom": ThingKind(_mushroom, 14),
}
