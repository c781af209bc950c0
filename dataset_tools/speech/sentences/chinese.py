"""Chinese sentence grammar."""

from __future__ import annotations

import re
from collections.abc import Iterable

from dataset_tools.classes.triplets import ActionClass, ActionWord, ClassFile
from dataset_tools.speech.sentences.grammar import ChineseAction, ChineseGrammar, Form, Phrase

# Sentence frames (viewpoint and tense), by the form of the verb phrase that they take.
#   ongoing, plain: 用餐刀切萝卜    done: 用餐刀切了一根萝卜    result: 用餐刀把萝卜切好
_FRAMES: dict[Form, tuple[str, ...]] = {
    "ongoing": (
        "我在{}。",
        "我正在{}。",
        "他在{}。",
        "她正在{}。",
        "这个人在{}。",
        "这个人正在{}。",
        "厨师正在{}。",
        "现在厨师在{}。",
        "有人在{}。",
        "可以看到厨师在{}。",
    ),
    "plain": (
        "我要{}。",
        "我得{}。",
        "他准备{}。",
        "她马上要{}。",
        "厨师接下来要{}。",
        "请{}。",
        "现在请{}。",
        "帮我{}。",
        "我们{}吧。",
    ),
    "done": (
        "我{}。",
        "他{}。",
        "她{}。",
        "我刚刚{}。",
        "她刚才{}。",
        "这个人{}。",
        "厨师{}。",
        "然后他{}。",
        "有人{}。",
    ),
    "result": (
        "我要{}。",
        "他准备{}。",
        "她会{}。",
        "厨师要{}。",
        "请{}。",
        "现在{}。",
        "接下来{}。",
        "帮我{}。",
        "我们{}吧。",
        "我{}了。",
        "他{}了。",
        "她已经{}了。",
        "这个人{}了。",
        "厨师刚刚{}了。",
    ),
}


def sentences(action_class: ActionClass, classes: ClassFile, grammar: ChineseGrammar) -> dict[str, list[Phrase]]:
    """Returns all sentences of a class, by frame (sentence pattern)."""
    word = classes.actions[action_class.action]
    action = grammar.actions.get(action_class.action, _unknown(word))
    result = {}
    for form, frames in _FRAMES.items():
        phrases = list(_phrases(action, form, action_class, classes, grammar))
        for frame in frames if phrases else ():
            result[f"{form}: {frame}"] = [Phrase(_spoken(frame.format(text))) for text in phrases]
    return result


def _unknown(word: ActionWord) -> ChineseAction:
    """Default for an action without an entry in the grammar: its word, alone or with 了."""
    plain = (f"{word.zh}{{thing}}", f"{word.zh}{{counted}}")
    return ChineseAction(ongoing=plain, plain=plain, done=(f"{word.zh}了{{thing}}", f"{word.zh}了{{counted}}"))


def _phrases(
    action: ChineseAction, form: Form, action_class: ActionClass, classes: ClassFile, grammar: ChineseGrammar
) -> Iterable[str]:
    """用餐刀切萝卜, 用餐刀切一根萝卜, 把油倒进煎锅里, 洗一只碗和一把餐叉."""
    thing, counted = _word(action_class.subject, classes), _counted(action_class.subject, classes, grammar)
    before, other = "", ""
    if action_class.object is not None and action_class.phrase_zh is not None:
        other = _word(action_class.object, classes)
        if action_class.role == "companion":
            thing = f"{thing}和{other}"
            counted = [f"{counted[0]}和{_counted(action_class.object, classes, grammar)[0]}"]
        else:
            before = action_class.phrase_zh.format(object=other)
    if form == "ongoing":
        counted = counted[:1]  # 在切几根萝卜 is unidiomatic
    for template in action.templates(form, action_class.role):
        start = "" if "{object}" in template else before
        for one in counted if "{counted}" in template else counted[:1]:
            yield start + template.format(thing=thing, counted=one, object=other)


def _word(key: str, classes: ClassFile) -> str:
    return classes.things[key].zh


def _counted(key: str, classes: ClassFile, grammar: ChineseGrammar) -> list[str]:
    """一把餐刀; 一根萝卜, 几根萝卜; 一些油, 一点油, 点油 (directly after a verb). The most common form comes first."""
    word = classes.things[key]
    numbers = [f"一{word.measure_zh}"]
    if word.mass:
        numbers += ["一点", "点"]
    elif key in grammar.several:
        numbers.append(f"几{word.measure_zh}")
    return [f"{number}{word.zh}" for number in numbers]


def _spoken(text: str) -> str:
    """Merges 在 of 正在 and 在盘子上 into one 在; replaces 在 before 把 by 正."""
    return re.sub("(?<![正现])在把", "正把", re.sub("(?<!现)在在", "在", text))
