"""The programming languages of Code.RepoQA: how to find the first function in a piece of source text."""

from dataclasses import dataclass
from functools import cache, lru_cache
from types import ModuleType

import tree_sitter_cpp
import tree_sitter_go
import tree_sitter_java
import tree_sitter_php
import tree_sitter_python
import tree_sitter_rust
import tree_sitter_typescript
from tree_sitter import Language, Parser, Query, QueryCursor

from scbench.errors import UserError


@dataclass(frozen=True)
class _Grammar:
    """A tree-sitter grammar and the nodes that count as functions in each profile (compat None: not supported)."""

    module: ModuleType
    entry: str
    compat: str | None
    strict: str


_GRAMMARS = {
    "python": _Grammar(
        tree_sitter_python, "language", "(function_definition name: (_)) @function", "(function_definition) @function"
    ),
    "java": _Grammar(
        tree_sitter_java,
        "language",
        "(method_declaration name: (_)) @function",
        "[(method_declaration) (constructor_declaration)] @function",
    ),
    "typescript": _Grammar(
        tree_sitter_typescript,
        "language_typescript",
        "(function_declaration name: (_)) @function",
        "[(function_declaration) (generator_function_declaration) (method_definition)] @function",
    ),
    "rust": _Grammar(tree_sitter_rust, "language", "(function_item name: (_)) @function", "(function_item) @function"),
    "cpp": _Grammar(
        tree_sitter_cpp,
        "language",
        "(function_definition declarator: (function_declarator declarator: (identifier))) @function",
        "(function_definition) @function",
    ),
    "go": _Grammar(
        tree_sitter_go,
        "language",
        "(function_declaration name: (_)) @function",
        "[(function_declaration) (method_declaration)] @function",
    ),
    "php": _Grammar(
        tree_sitter_php, "language_php_only", None, "[(function_definition) (method_declaration)] @function"
    ),
}
LANGUAGES = tuple(_GRAMMARS)


@cache
def parser_of(language: str, profile: str) -> tuple[Parser, Query] | None:
    if language not in _GRAMMARS:
        raise UserError(
            f"code_repoqa: language {language!r} has no parser; set meta `language` to one of {', '.join(LANGUAGES)}"
        )
    grammar = _GRAMMARS[language]
    pattern = getattr(grammar, profile)
    if pattern is None:
        return None
    tree_sitter_language = Language(getattr(grammar.module, grammar.entry)())
    return Parser(tree_sitter_language), Query(tree_sitter_language, pattern)


@lru_cache(maxsize=16384)
def first_function(source: str, language: str, profile: str) -> str | None:
    """Text of the function that begins first in `source`, or None. The source is parsed, never run.

    Raises UserError for a language that is not in LANGUAGES.
    """
    tools = parser_of(language, profile)
    if tools is None:
        return None
    parser, query = tools
    data = source.encode("utf-8", errors="replace")
    nodes = QueryCursor(query).captures(parser.parse(data).root_node).get("function", [])
    if not nodes:
        return None
    first = min(nodes, key=lambda node: (node.start_byte, -node.end_byte))
    return data[first.start_byte : first.end_byte].decode("utf-8", errors="replace")
