"""Sprites of tools, vessels and packages. Long objects are painted upright, the working end on top."""

from __future__ import annotations

import numpy as np

from dataset_tools.corpora.standin.food import shade
from dataset_tools.corpora.standin.kinds import Generator, ThingKind, ThingPainter
from dataset_tools.corpora.standin.painter import Color, Painter, Sprite

_STEEL = (198, 196, 190)
_WOOD = (85, 130, 180)
_PLASTICS: tuple[Color, ...] = ((40, 40, 45), (60, 60, 180), (150, 90, 40), (70, 140, 60), (200, 200, 205))


def _pick(rng: Generator, colors: tuple[Color, ...], spread: float = 0.12) -> Color:
    return shade(rng, colors[int(rng.integers(len(colors)))], spread)


def _handle(p: Painter, rng: Generator, top: float, bottom: float) -> None:
    color = _pick(rng, (*_PLASTICS[:4], _WOOD))
    p.stroke([(0, top), (0, bottom)], 8, color, round_px=4, gloss=0.2)


def _bowl(rng: Generator) -> Sprite:
    radius = rng.uniform(22, 25)
    p = ThingPainter(54, 54, rng)
    color = _pick(rng, ((215, 220, 222), (190, 150, 95), (120, 190, 215), (140, 160, 120)))
    inner: Color = tuple(0.72 * channel for channel in color)  # type: ignore[assignment]
    p.ellipse((0, 0), (radius, radius), color, round_px=5, gloss=0.25)
    p.ellipse((0, 0), (radius - 3.5, radius - 3.5), inner, grain=0.03)
    p.ellipse((2.5, 3), (radius * 0.62, radius * 0.62), color, round_px=radius * 0.6, opacity=0.6, grain=0.03)
    return p.sprite()


def _plate(rng: Generator) -> Sprite:
    radius = rng.uniform(26, 29)
    p = ThingPainter(62, 62, rng)
    color = _pick(rng, ((225, 228, 230), (205, 215, 225), (220, 205, 190)), 0.05)
    rim = _pick(rng, ((150, 90, 40), (60, 60, 160), (90, 140, 90), (200, 200, 200)))
    p.ellipse((0, 0), (radius, radius), color, round_px=4, gloss=0.15, grain=0.02)
    p.ring((0, 0), radius - 3, 2, rim, opacity=0.8)
    p.ring((0, 0), radius * 0.64, 1.6, (165, 168, 170), opacity=0.8)
    return p.sprite()


def _cutting_board(rng: Generator) -> Sprite:
    width, length = rng.uniform(46, 52), rng.uniform(66, 74)
    p = ThingPainter(60, 84, rng)
    color = _pick(rng, (_WOOD, (110, 165, 205), (70, 105, 150), (195, 215, 205)))
    corners = [(-width / 2, -length / 2), (width / 2, -length / 2), (width / 2, length / 2), (-width / 2, length / 2)]
    p.polygon(corners, color, corner_px=2, round_px=2, grain=0.05)
    for x in np.linspace(-width / 2 + 3, width / 2 - 3, 9):
        p.stroke([(x, -length / 2), (x + rng.uniform(-2, 2), length / 2)], 1, (40, 80, 120), opacity=0.25)
    p.ellipse((0, -length / 2 + 6), (4, 3), (45, 55, 65), grain=0)
    return p.sprite()


def _frying_pan(rng: Generator) -> Sprite:
    radius = rng.uniform(25, 28)
    p = ThingPainter(62, 128, rng)
    _handle(p, rng, radius - 2, radius + 34)
    p.ellipse((0, 0), (radius, radius), shade(rng, (75, 75, 78), 0.2), round_px=4, gloss=0.3)
    p.ellipse((0, 0), (radius - 4, radius - 4), shade(rng, (38, 38, 40), 0.2), grain=0.15, grain_px=1.5)
    p.ellipse((-5, -6), (9, 5), (95, 95, 95), opacity=0.3, grain=0)
    return p.sprite()


def _knife(rng: Generator) -> Sprite:
    p = ThingPainter(20, 84, rng)
    _handle(p, rng, 12, 36)
    blade = [(-4.5, 8), (-4.5, -26), (-1.5, -38), (4, -22), (4.5, 8)]
    p.polygon(blade, shade(rng, _STEEL, 0.06), round_px=1.5, gloss=0.3, grain=0.03, edge=0.4)
    p.stroke([(-3, 6), (-3, -28)], 1.2, (240, 240, 240), opacity=0.7)
    return p.sprite()


def _fork(rng: Generator) -> Sprite:
    p = ThingPainter(20, 76, rng)
    steel = shade(rng, _STEEL, 0.06)
    p.stroke([(0, -12), (0, 34)], 4.5, steel, round_px=2.5, gloss=0.4)
    p.ellipse((0, -14), (6.5, 6), steel, round_px=3, gloss=0.3)
    for x in (-5, -1.7, 1.7, 5):
        p.stroke([(x, -16), (x, -33)], 2, steel, edge=0.5)
    return p.sprite()


def _spatula(rng: Generator) -> Sprite:
    p = ThingPainter(30, 88, rng)
    color = _pick(rng, (*_PLASTICS[:3], _WOOD))
    p.stroke([(0, -10), (0, 38)], 6, color, round_px=3, gloss=0.2)
    p.polygon([(-5, -12), (5, -12), (9.5, -34), (-9.5, -34)], color, corner_px=2, round_px=2)
    for x in (-4, 0, 4):
        p.stroke([(x * 0.8, -19), (x, -30)], 2, (225, 225, 225), opacity=0.5)
    return p.sprite()


def _squeezer(rng: Generator) -> Sprite:
    p = ThingPainter(46, 80, rng)
    color = _pick(rng, ((70, 180, 90), (60, 200, 235), (200, 200, 200)))
    _handle(p, rng, 10, 34)
    p.ellipse((0, -12), (18, 18), color, round_px=4, gloss=0.2)
    p.ellipse((0, -12), (13, 13), tuple(0.65 * channel for channel in color))  # type: ignore[arg-type]
    p.ellipse((0, -12), (8, 8), color, round_px=8, gloss=0.3)
    for angle in np.arange(6) * 1.047:
        p.stroke([(0, -12), (8 * np.cos(angle), -12 + 8 * np.sin(angle))], 1.2, (60, 90, 70), opacity=0.7)
    return p.sprite()


def _jar(rng: Generator) -> Sprite:
    radius = rng.uniform(17, 19)
    p = ThingPainter(44, 44, rng)
    lid = _pick(rng, ((60, 60, 190), (170, 110, 50), (60, 150, 190), (190, 190, 195)))
    p.ellipse((0, 0), (radius, radius), (205, 205, 190), round_px=6, gloss=0.5, opacity=0.75)
    p.ellipse((0, 0), (radius - 3, radius - 3), lid, round_px=2.5, gloss=0.2)
    for angle in np.arange(0, 6.2, 0.35):
        point = ((radius - 3) * np.cos(angle), (radius - 3) * np.sin(angle))
        p.ellipse(point, (1, 1), (70, 70, 70), opacity=0.7)
    p.ellipse((0, 0), (6, 6), tuple(min(255, 1.35 * channel) for channel in lid), grain=0.05)  # type: ignore[arg-type]
    return p.sprite()


def _tin(rng: Generator) -> Sprite:
    radius = rng.uniform(16, 18)
    p = ThingPainter(40, 40, rng)
    p.ellipse((0, 0), (radius, radius), shade(rng, (165, 168, 170), 0.08), round_px=2.5, gloss=0.4)
    for share in (0.82, 0.62, 0.42):
        p.ring((0, 0), radius * share, 1.5, (110, 112, 115), opacity=0.9)
        p.ring((0.6, 0.6), radius * share - 1.4, 1.0, (235, 235, 235), opacity=0.7)
    p.stroke([(0, -radius * 0.2), (0, -radius * 0.75)], 4, (185, 185, 190), round_px=2, edge=0.4)
    return p.sprite()


def _milk(rng: Generator) -> Sprite:
    p = ThingPainter(38, 64, rng)
    band = _pick(rng, ((190, 120, 40), (170, 80, 60), (80, 150, 70)))
    p.polygon([(-14, -24), (14, -24), (14, 26), (-14, 26)], (238, 238, 236), corner_px=1, round_px=2, grain=0.03)
    p.polygon([(-14, 0), (14, 0), (14, 14), (-14, 14)], band, grain=0.05)
    p.polygon([(-14, -24), (14, -24), (11, -14), (-11, -14)], (205, 208, 210), grain=0.03)
    p.ellipse((0, -19), (5, 4.5), _pick(rng, ((60, 60, 200), (200, 120, 50))), round_px=3, gloss=0.3)
    return p.sprite()


def _oil(rng: Generator) -> Sprite:
    p = ThingPainter(34, 80, rng)
    glass = shade(rng, (40, 175, 205) if rng.random() < 0.7 else (45, 120, 85), 0.1)
    p.polygon([(-11, -8), (11, -8), (11, 32), (-11, 32)], glass, corner_px=2.5, round_px=7, gloss=0.5, grain=0.05)
    p.polygon([(-10, -8), (10, -8), (4, -20), (-4, -20)], glass, round_px=4, gloss=0.4)
    p.stroke([(0, -18), (0, -28)], 8, glass, round_px=4)
    p.stroke([(0, -29), (0, -34)], 9, _pick(rng, ((50, 50, 60), (50, 160, 220))), round_px=3)
    p.polygon([(-11, 6), (11, 6), (11, 22), (-11, 22)], (200, 225, 230), grain=0.08)
    p.ellipse((0, 14), (4, 5), (60, 130, 80))
    return p.sprite()


def _salt(rng: Generator) -> Sprite:
    p = ThingPainter(36, 50, rng)
    blue = _pick(rng, ((165, 75, 30), (140, 60, 50)), 0.1)
    p.polygon([(-12, -18), (12, -18), (12, 18), (-12, 18)], blue, corner_px=2, round_px=4)
    p.polygon([(-12, -4), (12, -4), (12, 10), (-12, 10)], (235, 235, 232), grain=0.03)
    p.stroke([(-6, 3), (6, 3)], 3, (60, 60, 190))
    p.ellipse((0, -15), (6, 3.5), (225, 225, 225), round_px=2)
    return p.sprite()


def _spice(rng: Generator) -> Sprite:
    p = ThingPainter(34, 46, rng)
    content = _pick(rng, ((30, 60, 150), (40, 110, 150), (50, 90, 70)))
    p.polygon(
        [(-9, -8), (9, -8), (9, 18), (-9, 18)], content, corner_px=2.5, round_px=6, gloss=0.4, grain=0.3, grain_px=1.2
    )
    p.polygon(
        [(-10, -19), (10, -19), (10, -8), (-10, -8)],
        _pick(rng, ((40, 40, 45), (40, 40, 190), (60, 120, 60))),
        round_px=4,
    )
    for x, y in ((-4, -15), (0, -12), (4, -15)):
        p.ellipse((x, y), (1.2, 1.2), (220, 220, 220))
    return p.sprite()


def _sponge(rng: Generator) -> Sprite:
    p = ThingPainter(40, 30, rng)
    p.polygon(
        [(-15, -9), (15, -9), (15, 9), (-15, 9)], shade(rng, (60, 205, 235)), corner_px=2, grain=0.25, grain_px=1.5
    )
    p.polygon([(-15, 4), (15, 4), (15, 9), (-15, 9)], (60, 120, 50), corner_px=2, grain=0.2, grain_px=1.0)
    return p.sprite()


def _grater(rng: Generator) -> Sprite:
    p = ThingPainter(40, 76, rng)
    _handle(p, rng, 24, 34)
    p.polygon(
        [(-14, -32), (14, -32), (14, 22), (-14, 22)], shade(rng, _STEEL, 0.05), corner_px=2, round_px=2, gloss=0.2
    )
    for y in range(-27, 18, 6):
        for x in (-9, -3, 3, 9):
            p.ellipse((x + (y % 12) / 4, y), (1.4, 1.8), (90, 90, 95))
    return p.sprite()


def _cup(rng: Generator) -> Sprite:
    p = ThingPainter(48, 36, rng)
    color = _pick(rng, ((200, 205, 210), (170, 120, 60), (70, 70, 170)))
    p.ring((16, 0), 6, 3.5, color)
    p.ellipse((0, 0), (15, 15), color, round_px=3, gloss=0.2)
    p.ellipse((0, 0), (12, 12), (35, 50, 75), grain=0.1)
    return p.sprite()


def _towel(rng: Generator) -> Sprite:
    p = ThingPainter(64, 50, rng)
    color = _pick(rng, ((200, 205, 215), (180, 190, 150), (190, 170, 200)))
    stripe = _pick(rng, ((80, 80, 180), (170, 110, 60), (90, 140, 80)))
    p.polygon([(-28, -20), (26, -21), (29, 19), (-26, 21)], color, corner_px=2, round_px=3, grain=0.1)
    for x in (-18, -13, 14, 19):
        p.stroke([(x, -20), (x + 2, 19)], 2.2, stripe, opacity=0.7)
    return p.sprite()


WARE = {
    "bowl": ThingKind(_bowl, 24),
    "cutting-board": ThingKind(_cutting_board, 32, flat=True, height_px=2),
    "frying-pan": ThingKind(_frying_pan, 30),
    "jar": ThingKind(_jar, 19, height_px=5),
    "knife": ThingKind(_knife, 20, height_px=1),
    "milk": ThingKind(_milk, 21, height_px=4),
    "oil": ThingKind(_oil, 22, height_px=4),
    "plate": ThingKind(_plate, 27, flat=True, height_px=2),
    "salt": ThingKind(_salt, 18),
    "spatula": ThingKind(_spatula, 21, height_px=1),
    "spice": ThingKind(_spice, 17),
    "tin": ThingKind(_tin, 17, height_px=5),
    "fork": ThingKind(_fork, 18, height_px=1),
    "squeezer": ThingKind(_squeezer, 21),
    "flat-grater": ThingKind(_grater, 21, height_px=2),
    "sponge": ThingKind(_sponge, 16),
    "cup": ThingKind(_cup, 18, height_px=5),
    "towel": ThingKind(_towel, 26, flat=True, height_px=1),
}
