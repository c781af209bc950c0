"""Class files that are written are read back."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml

from dataset_tools.classes.reader import load_classes
from dataset_tools.classes.writer import write_classes


def test_what_is_minimal_is_written_as_it_was(minimal, tmp_path):
    again = tmp_path / "again.yaml"
    classes = load_classes(minimal, count=None)
    write_classes(again, classes)
    assert replace(load_classes(again, count=None), path=minimal) == classes
    assert list(yaml.safe_load(again.read_text())) == ["schema", "objects", "classes"]


@pytest.mark.parametrize("count", [1, 7, 20])
def test_what_is_written_is_read_back(tmp_path, count):
    classes = load_classes(count=count)
    odd = replace(classes.classes[0], role="place", preposition="on", phrase_zh="在{object}: #上")
    classes = replace(classes, classes=(odd, *classes.classes[1:]))
    path = tmp_path / "classes.yaml"
    write_classes(path, classes, heading="What\n\nfor", remarks={odd.id: "7 intervals"})
    assert replace(load_classes(path, count=count), path=classes.path) == classes
    assert path.read_text("utf-8").startswith("# What\n#\n# for\nschema: ")
    assert "# 7 intervals\n" in path.read_text("utf-8")


def test_a_row_says_only_what_differs_from_the_usual_phrase(tmp_path):
    write_classes(tmp_path / "classes.yaml", load_classes(count=20))
    written = yaml.safe_load((tmp_path / "classes.yaml").read_text("utf-8"))["classes"]
    assert {"action": "cut", "subject": "carrot", "object": "knife"} in written
