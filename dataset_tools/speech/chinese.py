"""Chinese sentences about a class."""

from __future__ import annotations

import re
from collections.abc import Iterable

from dataset_tools.classes import ActionClass, ClassFile
from dataset_tools.speech.grammar import ChineseAction, ChineseGrammar, Phrase

# The viewpoints and tenses, by what kind of verb phrase they take.
#   progressive, plain: 用餐刀切萝卜    done: 用餐刀切了一根萝卜    result: 用餐刀把萝卜切好
_FRAMES: dict[str, tuple[str, ...]] = {
    "progressive": (
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
        "他准备{}。",
        "她马上要{}。",
        "厨师接下来要{}。",
        "请{}。",
        "现在请{}。",
        "我们来{}。",
    ),
    "done": ("我{}。", "他{}。", "她{}。", "我刚刚{}。", "她刚才{}。", "这个人{}。", "厨师{}。", "然后他{}。"),
    "result": (
        "我要{}。",
        "他准备{}。",
        "她会{}。",
        "厨师要{}。",
        "请{}。",
        "现在{}。",
        "接下来{}。",
        "我{}了。",
        "他{}了。",
        "她已经{}了。",
        "这个人{}了。",
        "厨师刚刚{}了。",
    ),
}


def sentences(action_class: ActionClass, classes: ClassFile, grammar: ChineseGrammar) -> dict[str, list[Phrase]]:
    """All sentences of a class, by frame (its pattern)."""
    word = classes.actions[action_class.action]
    action = grammar.actions.get(action_class.action, ChineseAction(verbs=(word.zh,)))
    results = list(_results(action, action_class, classes))
    durative = action.progressive == "verb" or not results
    phrases = {
        "progressive": list(_plain(action, action_class, classes, grammar)) if durative else results,
        "plain": list(_plain(action, action_class, classes, grammar)),
        "done": list(_plain(action, action_class, classes, grammar, aspect="了")),
        "result": results,
    }
    return {
        f"{kind}: {frame}": [Phrase(_spoken(frame.format(text))) for text in phrases[kind]]
        for kind, frames in _FRAMES.items()
        for frame in frames
        if phrases[kind]
    }


def _spoken(text: str) -> str:
    """正在 and 在盘子上 make one 在; 在 before 把 is 正."""
    return re.sub("(?<![正现])在把", "正把", text.replace("在在", "在"))


def _plain(
    action: ChineseAction, action_class: ActionClass, classes: ClassFile, grammar: ChineseGrammar, aspect: str = ""
) -> Iterable[str]:
    """用餐刀切萝卜, 用餐刀切了一根萝卜, 榨柠檬汁; a tool takes no number."""
    definite = action_class.action in grammar.definite
    for verb in action.verbs:
        verb, _, rest = verb.partition("+")
        for before, subject in _arguments(action, action_class, classes, definite=definite or bool(rest)):
            yield f"{before}{verb}{aspect}{subject}{rest}"


def _arguments(
    action: ChineseAction, action_class: ActionClass, classes: ClassFile, *, definite: bool
) -> Iterable[tuple[str, str]]:
    """Pairs of what stands before the verb, the object as a rule, and the subject after it."""
    subject = _bare(action_class.subject, classes)
    subjects = [subject] if definite else [subject, _counted(action_class.subject, classes)]
    if action_class.object is None or action_class.phrase_zh is None:
        yield from ((before, one) for before in ("", *action.before) for one in subjects)
        return
    thing, counted = _bare(action_class.object, classes), _counted(action_class.object, classes)
    if action_class.role == "companion":
        yield "", f"{subjects[0]}和{thing}"
        if not definite:
            yield "", f"{subjects[1]}和{counted}"
        return
    yield from ((action_class.phrase_zh.format(object=thing), one) for one in subjects)


def _results(action: ChineseAction, action_class: ActionClass, classes: ClassFile) -> Iterable[str]:
    """把萝卜切好, 用餐刀把萝卜切好, 把油倒进煎锅里, 把罐子里的香料撒上去."""
    subject = _bare(action_class.subject, classes)
    if action_class.object is None or action_class.phrase_zh is None:
        yield from (f"把{subject}{result}" for result in action.results)
        return
    thing = _bare(action_class.object, classes)
    by_role = action.results_by_role.get(action_class.role or "", ())
    yield from (f"把{subject}{result.format(object=thing)}" for result in by_role)
    if action_class.role == "tool":
        yield from (f"用{thing}把{subject}{result}" for result in action.results)
    elif action_class.role == "companion":
        yield from (f"把{subject}和{thing}{result}" for result in action.results)
    elif action_class.role == "source":
        yield from (f"把{thing}里的{subject}{result}" for result in action.results)


def _bare(key: str, classes: ClassFile) -> str:
    return classes.things[key].zh


def _counted(key: str, classes: ClassFile) -> str:
    """一把餐刀, 一些油."""
    word = classes.things[key]
    return f"一{word.measure_zh}{word.zh}"
