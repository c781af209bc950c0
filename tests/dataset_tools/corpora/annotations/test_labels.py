"""Labels of one text: action, subject and object by the rules of docs/own-footage.md."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_tools.corpora.annotations.labels import parse_label


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("cut_carrot", ("cut", "carrot", "")),
        ("cut_carrot_knife", ("cut", "carrot", "knife")),
        ("double-check_gas-in-oven", ("double check", "gas in oven", "")),
        ("take-out_bell-pepper_cutting-board", ("take out", "bell pepper", "cutting board")),
        ("take_out_milk", ("take out", "milk", "")),
        ("wash_the_left_hand", ("wash", "left hand", "")),
        ("open door", ("open", "door", "")),
        ("Open the door", ("open", "door", "")),
        ("OpenDoor", ("open", "door", "")),
        ("open-door", ("open", "door", "")),
        ("take out milk", ("take out", "milk", "")),
        ("take the milk out", ("take out", "milk", "")),
        ("take the milk out of the fridge", ("take out", "milk", "fridge")),
        ("turn the light off", ("turn off", "light", "")),
        ("pour milk into a glass", ("pour", "milk", "glass")),
        ("put milk in bowl", ("put", "milk", "bowl")),
        ("cut some bread with a bread knife", ("cut", "bread", "bread knife")),
        ("playing guitar", ("playing", "guitar", "")),
        ("listen to music", ("listen to", "music", "")),
        ("wash hands and face", ("wash", "hands", "")),
        ("make a cup of coffee", ("make", "cup of coffee", "")),
        ("put knife on knife", ("put", "knife", "")),
        ("wave", ("show", "wave", "")),
        ("sit down", ("show", "sit down", "")),
        ("切胡萝卜", ("show", "切胡萝卜", "")),
    ],
)
def test_labels(label: str, words: tuple[str, str, str]) -> None:
    assert parse_label(label) == words


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        ("Cut the large onion into small pieces and fry them.", ("cut", "onion", "pieces")),
        ("spread margarine on two slices of white bread", ("spread", "margarine", "bread")),
        ("Add 2 tablespoons of oil, then stir.", ("add", "oil", "")),
        ("A young man is seen playing a red guitar on stage.", ("playing", "guitar", "stage")),
        ("He cuts_off the bread", ("cuts off", "bread", "")),
        ("Stir.", ("show", "stir", "")),
    ],
)
def test_sentences_count_by_their_first_clause(sentence: str, words: tuple[str, str, str]) -> None:
    assert parse_label(sentence, is_sentence=True) == words


@pytest.mark.parametrize("label", ["", " ", "_", "---", "the", "..."])
def test_a_label_without_words_is_refused(label: str) -> None:
    with pytest.raises(ValueError, match="has no words"):
        parse_label(label)


@given(st.lists(st.sampled_from(["the", "put", "milk", "in", "of", "and", "out", "he", "is", "_", ",", "x-y", "A"])))
def test_whatever_is_said_has_an_action_and_a_subject_that_is_not_the_object(words: list[str]) -> None:
    for is_sentence in (False, True):
        try:
            action, subject, object_ = parse_label(" ".join(words), is_sentence=is_sentence)
        except ValueError:
            continue
        assert action
        assert subject
        assert subject != object_
