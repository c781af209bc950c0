"""Required videos of MPII Cooking 2: those with intervals that a build would select."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dataset_tools.build.planning_on_sources import plan_with
from dataset_tools.build_record import BuildOptions
from dataset_tools.classes.triplets import ClassFile
from dataset_tools.clips.interval_selection import NOTHING_KNOWN
from dataset_tools.corpora.mpii.mpii_corpus import open_corpus


def needed_videos(root: Path, classes: ClassFile, options: BuildOptions) -> tuple[str, ...]:
    """Returns the sorted names of the videos (``s07-d72-cam-002``) that a build with these options cuts.

    Videos that do not exist yet are assumed to be readable and to contain all their intervals. If one turns out to be
    shorter, the build chooses another interval, possibly of a video that was not needed before.

    Raises:
        InputError: there is no annotation file, or no interval belongs to any of the classes.
    """
    corpus = open_corpus(root)
    named = {interval.video for interval in corpus.annotations.intervals}
    videos = {name: root / "videos" / f"{name}.avi" for name in named} | corpus.videos
    plan = plan_with(replace(corpus, videos=videos), classes, options, NOTHING_KNOWN, {})
    return tuple(sorted({clip.interval.video for clip in plan.clips}))
