"""Chinese sentences about a class."""

from __future__ import annotations

from collections.abc import Iterable

from dataset_tools.classes import ActionClass, ClassFile
from dataset_tools.speech.grammar import ChineseAction, ChineseGrammar, Phrase

# The viewpoints and tenses, by what kind of verb phrase they take.
#   plain: 用餐刀切萝卜    done: 用餐刀切了一根萝卜    result: 用餐刀把萝卜切好
_FRAMES: dict[str, tuple[str, ...]] = {
    "plain": (
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
        "我要{}。",
        "他准备{}。",
        "她马上要{}。",
        "厨师接下来要{}。",
        "请{}。",
        "现在{}。",
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
    phrases = {
        "plain": list(_plain(action, action_class, classes, grammar, aspect="")),
        "done": list(_plain(action, action_class, classes, grammar, aspect="了")),
        "result": list(_results(action, action_class, classes)),
    }
    return {
        f"{kind}: {frame}": [Phrase(frame.format(text)) for text in phrases[kind]]
        for kind, frames in _FRAMES.items()
        for frame in frames
        if phrases[kind]
    }


def _plain(
    action: ChineseAction, action_class: ActionClass, classes: ClassFile, grammar: ChineseGrammar, aspect: str
) -> Iterable[str]:
    """用餐刀切萝卜, 用一把餐刀切了一根萝卜."""
    definite = action_class.action in grammar.definite
    for verb in action.verbs:
        for before, subject in _arguments(action_class, classes, definite=definite):
            yield f"{before}{verb}{aspect}{subject}"


def _arguments(action_class: ActionClass, classes: ClassFile, *, definite: bool) -> Iterable[tuple[str, str]]:
    """Pairs of the object, which stands before the verb, and the subject after it."""
    subjects = [_bare(action_class.subject, classes)]
    if not definite:
        subjects.append(_counted(action_class.subject, classes))
    if action_class.object is None or action_class.phrase_zh is None:
        yield from (("", subject) for subject in subjects)
    elif action_class.role == "companion":
        yield "", f"{subjects[0]}和{_bare(action_class.object, classes)}"
        yield "", f"{subjects[-1]}和{_counted(action_class.object, classes)}"
    else:
        objects = [_bare(action_class.object, classes)]
        if action_class.role == "tool":
            objects.append(_counted(action_class.object, classes))
        for thing in objects:
            for subject in subjects:
                yield action_class.phrase_zh.format(object=thing), subject


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
