"""How the data set was built, as build.json of any version or origin says it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from dataset_tools.build_record import BUILD_SCHEMA, BuildOptions, read_build
from dataset_tools.core.errors import InputError
from dataset_tools.core.workspace import Workspace
from dataset_tools.last_build import read_last_build

FILE = {"name": "mine.csv", "sha256": "0" * 64, "intervals": 1, "frame_rate": 25.0}


def recorded(root: Path, **more: Any) -> Workspace:
    place = Workspace(root)
    place.manifests.mkdir()
    options = {**asdict(BuildOptions()), "classes": 20}
    (place.manifests / "build.json").write_text(json.dumps({"schema": BUILD_SCHEMA, "options": options, **more}))
    return place


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, {}),
        ({"annotations": FILE}, {}),  # as of versions that did not record them
        ({"annotations": {**FILE, "options": {"person": "^(s0)", "fps": 25}}}, {"person": "^(s0)", "fps": 25}),
    ],
)
def test_options_of_the_annotation_file_may_be_missing(
    tmp_path: Path, more: dict[str, Any], expected: dict[str, Any]
) -> None:
    last = read_last_build(recorded(tmp_path, **more))
    assert (last.options, last.classes, last.annotation_options) == (BuildOptions(), 20, expected)


@pytest.mark.parametrize("annotations", [[], "mine.csv", {**FILE, "options": ["person"]}, {**FILE, "options": 3}])
def test_what_is_no_record_is_refused(tmp_path: Path, annotations: Any) -> None:
    with pytest.raises(InputError, match="The build record cannot be read"):
        read_last_build(recorded(tmp_path, annotations=annotations))


@pytest.mark.parametrize("refused", [["a"], {"x": "y"}, "The interval is too short", 3])
def test_refused_intervals_that_are_no_counts_are_refused(tmp_path: Path, refused: Any) -> None:
    with pytest.raises(InputError, match="The build record cannot be read"):
        read_build(recorded(tmp_path, refused=refused))
