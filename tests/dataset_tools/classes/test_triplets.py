"""Classes that are made of words."""

from __future__ import annotations

import pytest

from dataset_tools.classes.reader import load_classes
from dataset_tools.classes.triplets import make_class


def test_a_class_that_is_made_takes_what_the_words_say():
    words = load_classes()
    assert make_class(words.actions, words.things, "pour", "oil").verbs == ("pour", "add")
    assert make_class(words.actions, words.things, "pour", "onion").verbs == ("pour",)
    assert make_class(words.actions, words.things, "wash", "plate", "knife").role == "companion"
    assert make_class(words.actions, words.things, "cut", "plate", "knife").role == "tool"
    with pytest.raises(ValueError, match="the role of apple in cut"):
        make_class(words.actions, words.things, "cut", "plate", "apple")
