"""Questions in a terminal about what was guessed: which column is text, which labels to keep and what to call them."""

from __future__ import annotations

from collections.abc import Callable

from workbench.corpora.files.posts import parts_of
from workbench.errors import WorkbenchError, unknown
from workbench.studies.init.draft import Draft, checked_name
from workbench.studies.init.look import Contents

Prompt = Callable[[str, str], str]  # a question and the answer that is taken by default -> the answer
_NONE = "-"


def ask_content(seen: Contents, draft: Draft, prompt: Prompt, say: Callable[[str], None]) -> None:
    """Ask for the column with the words."""
    names = [name for name, found in seen.columns.items() if found.kind == "values"]

    def column(answer: str) -> str:
        for part in parts_of(answer, names):
            if part not in (*names, _NONE):
                raise WorkbenchError(unknown("column", part, [*names, _NONE]))
        return answer

    guess = "+".join(draft.texts) or _NONE
    answer = _until(f"column with the words ({_NONE} for none)", guess, column, prompt, say)
    if answer == _NONE:
        draft.corpus.pop("text", None)
    elif answer != guess:
        chosen = parts_of(answer, names)
        draft.set("text", chosen[0] if len(chosen) == 1 else chosen, "as you said")


def ask_labels(draft: Draft, prompt: Prompt, say: Callable[[str], None]) -> None:
    """Ask of each label what it is called, and whether it is one."""
    for label in draft.labels:
        say(f"label {label}: {draft.why.get(f'label {label}', '')}")
        others = [name for name in draft.labels if name != label]

        def name(answer: str, others: list[str] = others) -> str:
            if answer in others:
                raise WorkbenchError(f"there is a label {answer!r} already; give another name")
            return answer if answer == _NONE else checked_name(answer)

        answer = _until(f"its name ({_NONE} leaves it out)", label, name, prompt, say)
        if answer == _NONE:
            draft.drop_label(label)
        elif answer != label:
            draft.rename(label, answer)


def _until(question: str, default: str, check: Callable[[str], str], prompt: Prompt, say: Callable[[str], None]) -> str:
    """Ask until the answer is one that can be taken."""
    while True:
        answer = prompt(question, default).strip()
        try:
            return check(answer)
        except WorkbenchError as error:
            say(str(error))
