"""Code.RepoQA: functions, their names and their descriptions, recomputed from the text of a session."""

import itertools
import json
import re

import pytest
import tree_sitter

from scbench.tasks import functions
from scbench.tasks.mini import fill
from tests.tasks.documented import (
    CODE,
    GRAMMARS,
    build,
    functions_of,
    name_in,
    nouns_in,
    slot,
    texts,
    turns_of,
)


@pytest.mark.parametrize("language", GRAMMARS)
def test_functions_of_every_operation_parse_and_their_name_is_found(language):
    grammar, kind = GRAMMARS[language]
    parser = tree_sitter.Parser(tree_sitter.Language(grammar()))
    words = {"verb": " load", "object": "table", "a": " river", "b": " lamp", "callee": " save_node"}
    for operation in functions.OPERATIONS:
        code = fill(operation.code(functions.LANGUAGES[language]), **words)
        root = parser.parse(code.encode()).root_node
        assert not root.has_error, code
        assert [node.type for node in root.children] == [kind]
        name = root.children[0].child_by_field_name("name") or root.children[0].child_by_field_name("declarator")
        name = name.child_by_field_name("declarator") or name
        assert name.text == b"load_table"


@pytest.mark.parametrize("name", CODE)
def test_repositories_of_every_language_parse_whole(name):
    seen = set()
    for index in range(40):
        session = build(name, index)
        language = session.meta["language"]
        seen.add(language)
        parser = tree_sitter.Parser(tree_sitter.Language(GRAMMARS[language][0]()))
        root = parser.parse("\n\n".join(functions_of(session)).encode()).root_node
        assert not root.has_error
        assert len(root.children) == len(functions_of(session))
    assert seen == set(GRAMMARS) == set(functions.LANGUAGES)


@pytest.mark.parametrize("name", CODE)
def test_a_description_fits_one_function_only(name):
    for index in range(30):
        session = build(name, index, tokens=4096, turns=20)
        codes = functions_of(session)
        pairs = [frozenset(nouns_in(code)) for code in codes]
        assert {len(pair) for pair in pairs} == {2}
        assert len(set(pairs)) == len(codes) == len({name_in(code) for code in codes})
        for turn in turns_of(session, "code_repoqa"):
            wanted = nouns_in(turn.query)
            assert len(wanted) == 2
            assert [code for code in codes if set(wanted) <= set(nouns_in(code))] == list(turn.golds)
            assert list(dict.fromkeys(nouns_in(turn.golds[0]))) == wanted or "if" in turn.query.lower()


def test_no_piece_of_a_name_can_occur_in_a_description():
    words = {word.lower() for op in functions.OPERATIONS for word in re.findall("[A-Za-z]+", op.words)}
    words |= set(functions.NOUNS)
    assert [(piece, w) for piece in functions.VERBS + functions.OBJECTS for w in words if piece in w] == []
    pieces = functions.VERBS + functions.OBJECTS + functions.NOUNS
    assert len(set(pieces)) == len(pieces)
    assert len(functions.NOUNS + functions.OBJECTS) <= 120


MEANINGS = {
    r"Adds the (\w+) and the (\w+)\.": lambda a, b, n: a + b,
    r"Multiplies the (\w+) and the (\w+)\.": lambda a, b, n: a * b,
    r"Adds the (\w+) and the (\w+) to what another function returns\.": lambda a, b, n: a + b + 1000,
    r"Multiplies the (\w+) by the (\w+) and adds what another function returns\.": lambda a, b, n: a * b + 1000,
    r"Multiplies the (\w+) by (\d) and adds the (\w+)\.": lambda a, b, n: a * n + b,
    r"Multiplies the (\w+) by (\d) and subtracts the (\w+)\.": lambda a, b, n: a * n - b,
    r"Divides the (\w+) by (\d) and adds the (\w+)\.": lambda a, b, n: a / n + b,
    r"Multiplies the (\w+) by the (\w+) and adds (\d)\.": lambda a, b, n: a * b + n,
    r"Adds the (\w+) and the (\w+), then multiplies by (\d)\.": lambda a, b, n: (a + b) * n,
    r"Multiplies the (\w+) and the (\w+), then subtracts (\d)\.": lambda a, b, n: a * b - n,
    r"If the (\w+) is above (\d), gives the (\w+), else their product\.": lambda a, b, n: b if a > n else a * b,
    r"If the (\w+) is above (\d), gives the (\w+), else their sum\.": lambda a, b, n: b if a > n else a + b,
}


@pytest.mark.parametrize("operation", functions.OPERATIONS, ids=lambda operation: operation.words)
def test_a_description_says_what_the_code_does(operation):
    words = {"verb": " load", "object": "table", "a": " river", "b": " lamp", "callee": " save_node"}
    (pattern,) = [pattern for pattern in MEANINGS if re.fullmatch(pattern, fill(operation.words, **words))]
    groups = re.fullmatch(pattern, fill(operation.words, **words)).groups()
    number = int(next((group for group in groups if group.isdigit()), 0))
    assert [group for group in groups if not group.isdigit()] == ["river", "lamp"]
    space = {"save_node": lambda *_: 1000}
    exec(fill(operation.code(functions.LANGUAGES["python"]), **words), space)
    for a, b in ((1, 11), (2, 7), (3, 13), (4, 17), (9, 5)):
        assert space["load_table"](a, b) == MEANINGS[pattern](a, b, number)


@pytest.mark.parametrize("name", CODE)
def test_calls_name_a_distant_function_written_before(name):
    calls = 0
    for index in range(30):
        codes = functions_of(build(name, index, tokens=2048))
        names = [name_in(code) for code in codes]
        for place, code in enumerate(codes):
            for callee in re.findall(r"[a-z]+_[a-z]+", code)[1:]:
                calls += 1
                assert names.index(callee) < max(1, place // 2)
    assert calls > 100


@pytest.mark.parametrize("name", CODE)
def test_a_code_turn_carries_what_its_score_needs(name):
    repos = set()
    for index in range(10):
        session = build(name, index, turns=8)
        repos.add(session.meta["repo"])
        asked = turns_of(session, "code_repoqa")
        for turn in asked:
            assert texts(session, turn) == list(turn.golds)
            assert turn.meta["name"] == name_in(turn.golds[0])
            assert (turn.meta["language"], turn.meta["repo"]) == (session.meta["language"], session.meta["repo"])
            candidates = json.loads(turn.meta["candidates"])
            assert candidates == [{"name": other.meta["name"], "code": other.golds[0]} for other in asked]
    assert len(repos) == 10


def test_function_targets_lie_one_in_each_slot():
    for index, order in itertools.product(range(20), ("published", "balanced")):
        session = build("code_repoqa", index, order=order)
        codes = functions_of(session)
        slots = [slot(codes.index(turn.golds[0]), len(codes), 5) for turn in session.turns]
        assert (slots if order == "published" else sorted(slots)) == [0, 1, 2, 3, 4]
