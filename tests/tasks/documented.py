"""Sessions of Code.RepoQA, En.Sum and the two mixed tasks, taken apart for their tests."""

import importlib
import re

import tree_sitter_cpp
import tree_sitter_go
import tree_sitter_java
import tree_sitter_php
import tree_sitter_python
import tree_sitter_rust
import tree_sitter_typescript

from scbench.tasks import TASKS, Scale, functions

NAMES = ("code_repoqa", "en_sum", "mix_sum_niah", "mix_repoqa_kv")
CODE, SUM = ("code_repoqa", "mix_repoqa_kv"), ("en_sum", "mix_sum_niah")
GRAMMARS = {
    "python": (tree_sitter_python.language, "function_definition"),
    "java": (tree_sitter_java.language, "method_declaration"),
    "typescript": (tree_sitter_typescript.language_typescript, "function_declaration"),
    "rust": (tree_sitter_rust.language, "function_item"),
    "cpp": (tree_sitter_cpp.language, "function_definition"),
    "go": (tree_sitter_go.language, "function_declaration"),
    "php": (tree_sitter_php.language_php_only, "function_definition"),
}


def count_words(text):
    """A tokenizer of words and marks, finer than characters by four and with other totals."""
    return len(re.findall(r" ?\w+|\s|[^\w\s]", text))


def build(task, index=0, seed=0, **scale):
    return TASKS[task].build(Scale(**scale), seed, index)


def phrases_of(task):
    return importlib.import_module(f"scbench.tasks.{task}").PHRASES


def turns_of(session, subtask):
    return [turn for turn in session.turns if turn.subtask == subtask]


def texts(session, turn):
    return [session.context[start:stop] for start, stop in turn.evidence]


def blocks_of(session):
    return session.context.split("\n\n")


def functions_of(session):
    return [block for block in blocks_of(session) if not block.startswith('"')]


def nouns_in(text):
    return [word for word in re.findall(r"[a-z]+", text) if word in functions.NOUNS]


def name_in(code):
    """The first `verb_object`: the name where the function is defined, not where another is called."""
    return re.search(r"[a-z]+_[a-z]+", code)[0]


def slot(place, places, slots):
    return next(s for s in range(slots) if s * places // slots <= place < (s + 1) * places // slots)
