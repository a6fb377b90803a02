"""Code.RepoQA and Mix.RepoQA+KV: rows of {context, id, lang, repo, multi_turns}, a function or a value asked a turn.

A turn of the first kind is {input: the description, answer: the code, name, path, ...}; in the mix each turn says in
`task` which kind it is, and turns of the other kind have no function fields, or null ones.
"""

from collections.abc import Sequence

from scbench.canonical import canonical_json
from scbench.published.evidence import located
from scbench.published.rows import Content, Row
from scbench.sessions import Turn


def read(row: Row, task: str) -> Content:
    """Every function asked about in the row is a candidate among which an answer is placed."""
    context = row.text("context")
    language, repo = row.text("lang"), row.text("repo")
    asked = row.turns()
    kinds = [turn.subtask() if task == "mix_repoqa_kv" else task for turn in asked]
    candidates = _candidates([turn for turn, kind in zip(asked, kinds, strict=True) if kind == "code_repoqa"])
    turns = []
    for turn, kind in zip(asked, kinds, strict=True):
        answer = turn.text("answer")
        meta = {}
        if kind == "code_repoqa":
            meta = {"name": turn.text("name"), "language": language, "repo": repo, "candidates": candidates}
            meta |= turn.note("path")
        turns.append(Turn(turn.text("input"), (answer,), kind, located(context, answer), meta=meta))
    return Content(context, turns, row.note("id") | {"language": language, "repo": repo})


def _candidates(turns: Sequence[Row]) -> str:
    return canonical_json([{"name": turn.text("name"), "code": turn.text("answer")} for turn in turns])
