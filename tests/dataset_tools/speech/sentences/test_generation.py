from __future__ import annotations

import re
from pathlib import Path

import pytest

from dataset_tools.classes.reader import load_classes
from dataset_tools.classes.triplets import ActionClass, ClassFile
from dataset_tools.core.errors import InputError
from dataset_tools.speech.sentences.generation import describe, every_sentence
from dataset_tools.speech.sentences.grammar import load_grammar

COUNT = 50


def every(classes: ClassFile, language: str) -> list[tuple[ActionClass, str]]:
    return [(one, text) for one in classes.classes for text in every_sentence(one, classes, language=language)]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_class_has_fifty_distinct_sentences(classes: ClassFile, language: str) -> None:
    for one in classes.classes:
        sentences = describe(one, classes, count=COUNT, language=language, seed=0)
        assert len(set(sentences)) == COUNT


@pytest.mark.parametrize("language", ["en", "zh"])
def test_sentences_depend_on_the_seed_and_not_on_the_count(classes: ClassFile, language: str) -> None:
    one = classes.classes[0]
    sentences = describe(one, classes, count=COUNT, language=language, seed=3)
    assert describe(one, classes, count=20, language=language, seed=3) == sentences[:20]
    assert describe(one, classes, count=COUNT, language=language, seed=4) != sentences


def test_english_names_the_subject_and_the_object(classes: ClassFile) -> None:
    spoken = {
        "cutting-board": "(cutting|chopping) board",
        "frying-pan": "pan",
        "spice": "spices?",
        "knife": "kni(fe|ves)",
        "tin": "(tin|can)",
    }
    for one, text in every(classes, "en"):
        for thing in filter(None, (one.subject, one.object)):
            assert re.search(rf"\b{spoken.get(thing, thing + 's?')}\b", text), text


def test_english_is_well_formed(classes: ClassFile) -> None:
    mass = "|".join(word.name for word in classes.things.values() if word.mass)
    wrong = [
        r"\ba [aeio]",  # a onion
        r"\ban [^aeio]",
        rf"\b(a|an|two) ({mass})\b",  # a milk
        rf"\b({mass.replace('spice', 'salt')})s\b",  # oils; spices are said
        r"\b(\w+) \1\b",  # the the
        r"\bout\b.*\bout\b",  # takes out … out
        r"\b(he|she|person|cook|someone) (pour|take|get|wash|peel|stir|squeeze|grate) ",  # she take
        r"\b(we|need to|'ll) \w+(s|ing) (the|a|some|out)\b",  # we takes, we'll taking
        r"\b(i|he|she|it) (will|is|am|have|has)\b",  # I will: people say I'll
        r"\b(spices?) from a jar\b(?<=the spices from a jar)|\bthe spice from a jar\b",
        r"\bsprinkl\w+ (the|some|a little|a pinch of) \w+\.",  # and where?
        r"\b(stir|mix)\w* (the|an|some) onion\b",  # one whole onion
        r"\b(I|I'm|I'll|let's|please|we|we're) .*\b(wash|rins)\w* (off )?a (bowl|cutting|chopping)",
        r"\b(I|will|let's|please) \w+s (the|a|some|out)\b",  # I takes
        r"  | ,| \.",
        r"\bstir\w* an\b",
    ]
    patterns = [re.compile(pattern, re.IGNORECASE) for pattern in wrong]
    for _, text in every(classes, "en"):
        assert re.fullmatch(r"[A-Z][A-Za-z', ]+\.", text), text
        if "watch the cook" in text.lower():  # watch the cook cut, which is right
            continue
        for pattern in patterns:
            assert not pattern.search(text), f"{pattern.pattern}: {text}"


def test_english_has_three_tenses_and_several_viewpoints(classes: ClassFile) -> None:
    for one in classes.classes:
        word = classes.actions[one.action]
        text = "\n".join(describe(one, classes, count=COUNT, seed=0))
        assert re.search(r"\b(is|'m|'s) \w+ing\b|(He|She) \w+s\b", text)
        assert re.search(rf"\b(I|He|She|The cook|The person) ({word.past.split()[0]}|\w+ed|got)\b", text)
        assert re.search(r"\b(will|going to)\b", text)
        for viewpoint in (
            r"^I\b",
            r"^He\b",
            r"^She\b",
            r"^The person\b",
            r"^(Please|Now|Then) [a-z]+ (the|an?|some|out|up)\b",
        ):
            assert re.search(viewpoint, text, re.MULTILINE), viewpoint


@pytest.mark.parametrize(
    ("class_id", "text"),
    [
        ("cut_pineapple_plate", "I'm cutting the pineapple on a plate."),
        ("squeeze_lime_squeezer", "Squeeze the lime with a squeezer."),
        ("pour_oil_frying-pan", "He's going to pour some oil into the pan."),
        ("pour_oil_frying-pan", "Now we add a little oil to the pan."),
        ("pour_milk_frying-pan", "The cook added the milk to the frying pan."),
        ("take-out_jar", "The person took the jar out."),
        ("take-out_frying-pan_plate", "He takes out a frying pan and a plate."),
        ("sprinkle_salt", "Now sprinkle some salt over the food."),
        ("sprinkle_salt", "I've just added a pinch of salt to the food."),
        ("sprinkle_spice_jar", "She's sprinkling some spices from a jar over the food."),
        ("grate_cucumber", "I need to grate some cucumber."),
        ("wash_cutting-board_knife", "Please rinse off the chopping board and the knife."),
        ("wash_bowl_fork", "The person washes a bowl and a fork."),
        ("stir_onion_spatula", "The person is stirring the onions with a spatula."),
    ],
)
def test_sentences_that_people_say_are_there(classes: ClassFile, class_id: str, text: str) -> None:
    one = next(one for one in classes.classes if one.id == class_id)
    assert text in every_sentence(one, classes)


def test_chinese_names_the_subject_and_the_object(classes: ClassFile) -> None:
    for one, text in every(classes, "zh"):
        assert re.fullmatch(r"[一-鿿]+。", text), text
        assert classes.things[one.subject].zh in text
        assert one.object is None or classes.things[one.object].zh in text
        assert not re.search(r"在在|正在正|了了|把一", text), text
        assert not re.search(r"[切撒倒洗挤榨剥]了(?![一几点皮])", text), f"了 wants a number: {text}"
        assert not re.search(r"从罐子里撒|在(切|洗|挤|榨|剥)几", text), text


@pytest.mark.parametrize(
    ("class_id", "text"),
    [
        ("cut_pineapple_plate", "她正在盘子上切菠萝。"),
        ("cut_carrot_knife", "我用餐刀切了一根萝卜。"),
        ("pour_oil_frying-pan", "请把油倒进煎锅里。"),
        ("take-out_tin", "这个人正在把罐头拿出来。"),
        ("sprinkle_salt", "厨师往食物上撒了一些盐。"),
        ("pour_oil_frying-pan", "帮我往煎锅里倒点油。"),
        ("sprinkle_spice_jar", "我从罐子里取了一些香料撒在菜上。"),
        ("wash_bowl_fork", "我们把碗和餐叉洗干净吧。"),
        ("stir_onion_spatula", "他用抹刀翻炒了一下洋葱。"),
    ],
)
def test_chinese_sentences_that_people_say_are_there(classes: ClassFile, class_id: str, text: str) -> None:
    one = next(one for one in classes.classes if one.id == class_id)
    assert text in every_sentence(one, classes, language="zh")


OWN_CLASSES = """
schema: fmn.classes/1
actions:
  open: {name: open, zh: 打开, verbs: [open], third_person: opens, past: opened, participle: opened, gerund: opening}
  take-out:
    {name: take out, zh: 取出, verbs: [take out], third_person: takes out, past: took out, participle: taken out,
     gerund: taking out}
things:
  avocado: {name: avocado, zh: 牛油果, attributes: [avocado], plural: avocados, measure_zh: 个}
  rice: {name: rice, zh: 米, attributes: [rice], mass: true, measure_zh: 些}
  drawer: {name: drawer, zh: 抽屉, attributes: [drawer], plural: drawers, measure_zh: 个}
classes:
  - {action: open, subject: avocado}
  - {action: take-out, subject: rice, object: drawer, role: source, preposition: out of, phrase_zh: "从{object}里"}
"""


def test_own_classes_get_sentences_too(tmp_path: Path) -> None:
    path = tmp_path / "classes.yaml"
    path.write_text(OWN_CLASSES, encoding="utf-8")
    own = load_classes(path, count=2)
    avocado, rice = own.classes
    assert {"I opened an avocado.", "She's opening the avocado."} <= set(every_sentence(avocado, own))
    assert len(set(describe(avocado, own, count=50))) == 50
    assert "The person is going to take some rice out of the drawer." in every_sentence(rice, own)
    assert not any("out the rice out" in text or "out some rice out" in text for text in every_sentence(rice, own))
    assert "厨师正在打开牛油果。" in every_sentence(avocado, own, language="zh")
    assert "她从抽屉里取出了一些米。" in every_sentence(rice, own, language="zh")


def test_too_many_sentences_are_refused_with_the_number_there_is(classes: ClassFile) -> None:
    one = classes.classes[0]
    there = len(every_sentence(one, classes, language="zh"))
    with pytest.raises(InputError, match=f"the grammar has {there}"):
        describe(one, classes, count=there + 1, language="zh")


def test_a_language_without_a_grammar_is_refused(classes: ClassFile) -> None:
    with pytest.raises(InputError, match="'fr'"):
        describe(classes.classes[0], classes, count=1, language="fr")


def test_a_grammar_file_with_an_unknown_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "grammar.yaml"
    path.write_text("schema: fmn.grammar/1\nenglish: {vebs: {}}\nchinese: {}\n")
    with pytest.raises(InputError, match="vebs"):
        load_grammar(path)


def test_words_of_a_grammar_file_are_text_even_if_yaml_knows_them_as_values(tmp_path: Path) -> None:
    path = tmp_path / "grammar.yaml"
    text = "schema: fmn.grammar/1\nenglish: {prepositions: {put: {target: on}}}\nchinese: {several: [no, 12]}\n"
    path.write_text(text)
    grammar = load_grammar(path)
    assert grammar.english.prepositions == {"put": {"target": "on"}}
    assert grammar.chinese.several == ("no", "12")
