from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from dataset_tools.classes.reader import load_classes
from dataset_tools.core.errors import InputError
from dataset_tools.core.shipped_files import shipped_file
from dataset_tools.label_studio.labeling_config import CONTROLS, control_targets, labeling_config, same_config

CLASSES = load_classes()


def choices(config: str, control: str) -> dict[str, str]:
    """What a Taxonomy stores and shows, by the rule of Label Studio: the alias is stored where there is one."""
    (found,) = [element for element in ElementTree.fromstring(config).iter() if element.get("name") == control]
    return {choice.get("alias") or choice.attrib["value"]: choice.attrib["value"] for choice in found}


def test_the_page_offers_every_word_of_the_class_file_by_its_name_and_stores_its_key() -> None:
    config = labeling_config(CLASSES)
    assert choices(config, "action") == {key: word.name for key, word in CLASSES.actions.items()} | {"other": "other"}
    things = {key: word.name for key, word in CLASSES.things.items()} | {"other": "other"}
    assert choices(config, "subject") == things
    assert choices(config, "object") == {"(none)": "(none)", **things}


def test_the_page_has_all_controls_and_label_studio_takes_it() -> None:
    from label_studio_sdk.label_interface.interface import LabelInterface

    config = labeling_config(CLASSES)
    assert set(control_targets(config)) == set(CONTROLS)
    page = LabelInterface(config)
    page.validate()
    prediction = {
        "result": [
            {"from_name": "action", "to_name": "video", "type": "taxonomy", "value": {"taxonomy": [["take-out"]]}}
        ]
    }
    assert page.validate_prediction(prediction, return_errors=True) == []
    prediction["result"][0]["value"] = {"taxonomy": [["take out"]]}
    assert page.validate_prediction(prediction, return_errors=True)


def test_a_page_of_ones_own_keeps_its_choices_and_gets_the_missing_ones(tmp_path: Path) -> None:
    own = tmp_path / "labeling.xml"
    text = shipped_file("labeling.xml").read_text()
    own.write_text(
        text.replace(
            '<Taxonomy name="action" toName="video" maxUsages="1" leafsOnly="true" placeholder="action"/>',
            '<Taxonomy name="action" toName="video"><Choice value="cut"/></Taxonomy>',
        )
    )
    config = labeling_config(CLASSES, own)
    assert choices(config, "action") == {"cut": "cut"}
    assert len(choices(config, "subject")) == len(CLASSES.things) + 1


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('name="verdict"', 'name="opinion"', "There is no control `verdict`"),
        ('<Choice value="accept" hotkey="1"/>', '<Choice value="yes" hotkey="1"/>', "reject, trim, yes"),
        ('value="$sentence"', 'value="$caption"', "`$caption` in TextArea is not a field of the tasks"),
        ("#t=$start_s", "#t=$start", "`$start` in Markdown is not a field of the tasks"),
        ('name="note" toName="video"', 'name="note" toName="movie"', "The control `note` belongs to `movie`"),
        ('name="note"', 'name="sentence"', "The name `sentence` is used 2 times"),
        (
            '<Rating name="speech_rating" toName="speech" maxRating="5"/>',
            '<Number name="speech_rating" toName="speech"/>',
            "The control `speech_rating` is a Number; it must be a Rating",
        ),
        ('frameRate="$fps"', 'frameRate="25"', 'The Video must have frameRate="$fps"'),
        ('value="keep"', 'value="mine"', "The control `trim` must have the Label keep"),
    ],
)
def test_what_a_pull_could_not_read_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    own = tmp_path / "labeling.xml"
    text = shipped_file("labeling.xml").read_text()
    assert old in text
    own.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError) as raised:
        labeling_config(CLASSES, own)
    assert said in raised.value.found
    assert raised.value.where == str(own)


def test_all_problems_are_named_at_once(tmp_path: Path) -> None:
    own = tmp_path / "labeling.xml"
    own.write_text('<View><Video name="v" value="$film"/><Choices name="reason" toName="w"/></View>')
    with pytest.raises(InputError) as raised:
        labeling_config(CLASSES, own)
    assert raised.value.found.count("\n  - ") == 3


@pytest.mark.parametrize("content", ["<View>", "", "no xml"])
def test_a_file_that_is_not_xml_is_refused(tmp_path: Path, content: str) -> None:
    own = tmp_path / "labeling.xml"
    own.write_text(content)
    with pytest.raises(InputError, match="cannot be read"):
        labeling_config(CLASSES, own)


def test_a_page_is_the_same_when_only_its_writing_differs() -> None:
    config = labeling_config(CLASSES)
    assert same_config(config, config.replace(" />", "/>").replace("\n", " "))
    assert not same_config(config, config.replace('hotkey="1"', 'hotkey="0"'))
    assert not same_config(config, "")
