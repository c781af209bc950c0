from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from dataset_tools.corpora.standin.agenda import Agenda
from dataset_tools.corpora.standin.camera import Camera
from dataset_tools.corpora.standin.difficulty import LEVELS, STANDARD
from dataset_tools.corpora.standin.director import write_script
from dataset_tools.corpora.standin.kitchen import HEIGHT_PX, MARGIN_PX, WIDTH_PX
from dataset_tools.corpora.standin.person import person_named
from dataset_tools.corpora.standin.render import Stage, VideoTask, draw_video
from dataset_tools.corpora.standin.script import Script
from dataset_tools.corpora.standin.things import SUBJECTS, THINGS


def stage_of(agenda: Agenda, seed: int = 0) -> tuple[Script, Stage]:
    person = person_named(agenda.sequence.person, seed, STANDARD)
    script = write_script(agenda, person, STANDARD, seed)
    return script, Stage(script, person, STANDARD, seed, agenda.sequence.id)


@pytest.fixture(scope="module")
def stages(agendas: tuple[Agenda, ...]) -> list[tuple[Script, Stage]]:
    return [stage_of(agenda) for agenda in agendas[::15]]


def test_things_are_large_enough_to_be_told_apart() -> None:
    rng = np.random.default_rng(0)
    for kind, thing in THINGS.items():
        rows, columns = np.nonzero(thing.paint(rng).alpha > 127)
        assert max(np.ptp(rows), np.ptp(columns)) >= 24 or kind == "mushroom", kind


def test_a_thing_is_painted_differently_every_time() -> None:
    rng = np.random.default_rng(0)
    for kind in SUBJECTS:
        one, other = THINGS[kind].paint(rng), THINGS[kind].paint(rng)
        assert one.color.shape == other.color.shape, kind
        assert (one.color != other.color).mean() > 0.05, kind


def test_the_picture_moves_where_hands_are_and_rests_elsewhere(stages: list[tuple[Script, Stage]]) -> None:
    script, stage = stages[0]
    for interval in script.intervals[:4]:
        frame = (interval.start + interval.end) // 2
        empty = stage.picture(frame, with_person=False)
        moved = (stage.picture(frame) != empty).any(axis=2)
        assert 0.02 < moved.mean() < 0.5
        for side, track in stage.tracks.items():
            stay = script.stays[side][int(track.stay[frame])]
            x, y = np.round(track.place[frame]).astype(int) + MARGIN_PX
            if stay.tool is None and 10 < y < HEIGHT_PX:
                assert moved[y - 10 : y + 25, x - 18 : x + 18].any()


def test_the_camera_adds_jitter_noise_and_changing_light(agendas: tuple[Agenda, ...]) -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(60, 190, (30, 42, 3)).astype(np.uint8).repeat(9, 0)[:256].repeat(8, 1)
    camera = Camera(200, LEVELS["hard"], 0, "any")
    frames = np.stack([camera.take(picture, frame) for frame in range(200)]).astype(float)
    assert frames.shape == (200, HEIGHT_PX * 3 // 2, WIDTH_PX)
    luma = frames[:, :HEIGHT_PX]
    steady = Camera(200, LEVELS["easy"], 0, "any")
    calm = np.stack([steady.take(picture, frame) for frame in range(200)]).astype(float)[:, :HEIGHT_PX]
    assert luma.std(axis=0).mean() > 1.5 * calm.std(axis=0).mean()
    assert 0.003 < luma.mean(axis=(1, 2)).std() / luma.mean() < 0.05


@pytest.fixture
def short_task(agendas: tuple[Agenda, ...], tmp_path: Path) -> VideoTask:
    agenda = agendas[0]
    short = replace(agenda, items=agenda.items[:1], gaps=(20, 9))
    return VideoTask(tmp_path / f"{agenda.sequence.video}.avi", short, STANDARD, 0)


def test_a_video_is_mpeg4_avi_without_sound_of_the_right_length(short_task: VideoTask) -> None:
    frames = draw_video(short_task)
    assert frames == 20 + short_task.agenda.items[0].frames + 9
    with av.open(str(short_task.path)) as file:
        (stream,) = file.streams
        assert (file.format.name, stream.type, stream.codec_context.name) == ("avi", "video", "mpeg4")
        assert (stream.width, stream.height) == (WIDTH_PX, HEIGHT_PX)
        assert stream.average_rate == Fraction(147, 5)  # 29.4
        assert stream.time_base == Fraction(5, 147)
        assert sum(1 for _ in file.decode(stream)) == frames


def test_what_was_drawn_is_what_is_decoded(short_task: VideoTask) -> None:
    draw_video(short_task)
    script, stage = stage_of(short_task.agenda)
    camera = Camera(script.frames, STANDARD, 0, short_task.agenda.sequence.id)
    with av.open(str(short_task.path)) as file:
        decoded = [frame.to_ndarray(format="yuv420p").astype(float) for frame in file.decode(video=0)]
    errors = [
        [np.abs(image[:HEIGHT_PX] - camera.take(stage.picture(frame), frame)[:HEIGHT_PX]).mean() for image in decoded]
        for frame in (0, 25, script.frames - 1)
    ]
    for frame, row in zip((0, 25, script.frames - 1), errors, strict=True):
        assert row[frame] < 6
        assert abs(int(np.argmin(row)) - frame) <= 1


def test_the_same_task_gives_the_same_bytes(short_task: VideoTask) -> None:
    draw_video(short_task)
    first = short_task.path.read_bytes()
    short_task.path.unlink()
    draw_video(short_task)
    assert short_task.path.read_bytes() == first
