"""A small corpus of every kind, as a user would write it."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

STORY = "Ann has a red cup.\nBob has a blue cup.\n"
CODE = 'def work(x):\n    """Doubles what it is given, then adds three."""\n    y = 2 * x\n    return y + 3\n'


def entry(task: str, document: str, **keys: object) -> dict:
    return {"task": task, "document": document} | keys


ENTRIES = [
    *(entry("en_qa", "story.txt", question=f"Question {n}?", answer=f"answer {n}") for n in range(7)),
    entry("en_qa", "other.txt", question="Who has red?", answer=["Ann", "ann"], evidence="Ann has a red cup."),
    entry("en_multichoice", "story.txt", question="Who has blue?", answer="Bob", options=["Ann", "Bob", "Cid", "Dan"]),
    entry("zh_qa", "story.txt", question="谁有红杯？", answer="安"),
    *(entry("en_sum", f"papers/{n}.txt", answer=f"This paper says {n}.") for n in range(9)),
    entry("en_sum", "papers/9.txt"),
    entry("code_repoqa", "code"),
]


@pytest.fixture
def corpus(tmp_path: Path) -> Callable[..., Path]:
    """Writes the corpus with `entries` and returns its folder."""

    def write(entries: object = ENTRIES) -> Path:
        folder = tmp_path / "corpus"
        (folder / "papers").mkdir(parents=True, exist_ok=True)
        (folder / "code").mkdir(exist_ok=True)
        for name in ("story.txt", "other.txt"):
            (folder / name).write_text(STORY)
        for number in range(10):
            (folder / "papers" / f"{number}.txt").write_text(f"Title {number}\n\nText {number}.\n\nMore.\n")
        (folder / "code" / "a.py").write_text(CODE)
        text = entries if isinstance(entries, str) else yaml.safe_dump(entries, allow_unicode=True)
        (folder / "questions.yaml").write_text(text)
        return folder

    return write
