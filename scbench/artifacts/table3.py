"""Table 3: where each task comes from, how the paper configured it, and an example of the study (paper, Section 3).

An example is the first question of the study's first session of the task, with what stands where its evidence begins.
"""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from scbench.artifacts.board import Board
from scbench.artifacts.latex import MISSING, Tex, escape, render
from scbench.artifacts.stamp import Stamp
from scbench.artifacts.twin import csv_text
from scbench.canonical import write_atomically
from scbench.tasks import TASKS

LEGEND = (
    "Source and configuration: the paper's. Example: this study's first question, with the context where its evidence "
    "begins, and the answer, cut to fit; three dots stand for what was cut"
)
# Width of an example's parts, in Latin letters; a letter that is set as its code point is seven wide.
PASSAGE, QUERY, ANSWER = 110, 90, 50
CODE_POINT = 7


class Origin(NamedTuple):
    """Where a task comes from and how the paper's Table 3 configures it, its metric included."""

    source: str
    configuration: str


ORIGINS = {
    "retr_kv": Origin("Lost in the Middle, InfiniteBench", "2,500 pairs, keys and values of 36 characters; accuracy"),
    "retr_prefix_suffix": Origin("SCBench", "6,000 strings of code points 65 to 122; accuracy"),
    "retr_multihop": Origin("RULER", "chains of 2 hops, one for each question; accuracy"),
    "code_repoqa": Origin("RepoQA", "64K tokens of a repository, functions evenly spaced; pass@1"),
    "en_qa": Origin("InfiniteBench", "questions grouped by book; accuracy"),
    "zh_qa": Origin("InfiniteBench", "questions grouped by book; F1"),
    "en_multichoice": Origin("InfiniteBench", "questions grouped by book, four options; accuracy"),
    "icl_manyshot": Origin("BIG-Bench-Hard", "three tasks, about 150 examples; accuracy"),
    "math_find": Origin("InfiniteBench", "30,000 numbers of up to 3 digits; accuracy"),
    "en_sum": Origin("arXiv", "about 8 papers of 8K to 20K tokens; ROUGE-L"),
    "mix_sum_niah": Origin("arXiv, needles", "papers with 5 pass keys; ROUGE-L and accuracy"),
    "mix_repoqa_kv": Origin("RepoQA, key-value pairs", "a repository with 100 pairs; pass@1 and accuracy"),
}


def frame(sizes: pd.DataFrame, board: Board) -> pd.DataFrame:
    """A row for each task of the study: `source`, `configuration`, and the `passage`, `query`, `answer` of its example.

    The example of a task without sessions is missing.
    """
    first = sizes.groupby("task")[["session", "passage", "query", "answer"]].first()
    about = pd.DataFrame(
        {
            "study": board.study,
            "task": list(board.sessions),
            "title": [TASKS[name].title for name in board.sessions],
            "source": [ORIGINS[name].source for name in board.sessions],
            "configuration": [ORIGINS[name].configuration for name in board.sessions],
        }
    )
    return about.merge(first, how="left", left_on="task", right_index=True)


def write(frame: pd.DataFrame, board: Board, stamp: Stamp, out: Path) -> list[Path]:
    """Write `<out>.tex`, to be read by \\input, and `<out>.csv`, with passages as they were kept."""
    rows = [_typeset(row) for row in frame.to_dict("records")]
    text = render("table3.tex.j2", {"stamp": stamp, "rows": rows, "notes": [LEGEND]})
    paths = [out.with_suffix(".tex"), out.with_suffix(".csv")]
    for path, content in zip(paths, (text, csv_text(frame)), strict=True):
        write_atomically(path, content)
    return paths


def _typeset(row: dict) -> dict:
    if pd.isna(row["query"]):
        return row | {"passage": Tex(MISSING), "query": "", "answer": ""}
    return row | {
        "passage": _breakable(f"\N{HORIZONTAL ELLIPSIS} {cut(row['passage'], PASSAGE)}"),
        "query": _breakable(cut(row["query"], QUERY)),
        "answer": _breakable(cut(row["answer"], ANSWER)),
    }


def _breakable(text: str) -> Tex:
    """`text` as LaTeX, in which a line may end between letters that are set as their code points."""
    return Tex(escape(text).replace(r"}\texttt{U+", r"}\allowbreak\texttt{U+"))


def cut(text: str, width: int) -> str:
    """`text` in one line, cut to `width` Latin letters, and between words where there are any."""
    words, kept, left = " ".join(text.split()), [], width
    for character in words:
        left -= 1 if character.isascii() else CODE_POINT
        if left < 0:
            whole, space, _ = "".join(kept).rpartition(" ")
            shown = whole if space and len(whole) > len(kept) // 2 else "".join(kept)
            return f"{shown} \N{HORIZONTAL ELLIPSIS}"
        kept.append(character)
    return words
