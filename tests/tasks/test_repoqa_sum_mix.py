"""Code.RepoQA, En.Sum and the two mixed tasks: what a session promises, recomputed from its text."""

import importlib
import itertools
import json
import random
import re

import pytest
import tree_sitter
import tree_sitter_cpp
import tree_sitter_go
import tree_sitter_java
import tree_sitter_php
import tree_sitter_python
import tree_sitter_rust
import tree_sitter_typescript
from hypothesis import given
from hypothesis import strategies as st

from scbench.errors import UserError
from scbench.sessions import check_session
from scbench.tasks import TASKS, Scale, functions, mix_repoqa_kv, mix_sum_niah, papers, retr_kv
from scbench.tasks.mini import constants, fill
from scbench.tasks.mixing import alternate, insert_evenly, write

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


# Laws of all four.


@pytest.mark.parametrize("name", NAMES)
def test_the_same_arguments_give_the_same_session_and_any_other_give_another(name):
    session = build(name)
    assert session == build(name)
    others = [build(name, index=1), build(name, seed=1), build(name, split="train")]
    assert len({session.context, *(other.context for other in others)}) == 4


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("count", [None, count_words], ids=["characters", "words"])
@pytest.mark.parametrize("tokens", [512, 777, 1024, 2048, 8192])
def test_the_context_fills_its_tokens(name, count, tokens):
    counting = {"count": count} if count else {}
    count = count or Scale().count
    for index, split in itertools.product(range(4), ("eval", "train")):
        used = count(build(name, index, tokens=tokens, split=split, **counting).context)
        assert 0.9 * tokens <= used <= tokens


@pytest.mark.parametrize("name", NAMES)
def test_the_shortest_context_holds_a_turn_and_any_length_is_respected(name):
    least = TASKS[name].min_tokens
    assert least <= 120
    for tokens, index in itertools.product((least, least + 1, least + 33, 300), range(25)):
        session = check_session(build(name, index, tokens=tokens, turns=1))
        assert len(session.turns) == 1
        assert Scale().count(session.context) <= tokens


@pytest.mark.parametrize("name", NAMES)
def test_everything_in_the_context_can_be_asked_and_one_question_more_is_refused(name):
    def fits(turns):
        try:
            session = check_session(build(name, tokens=512, turns=turns, order="balanced", split="train"))
        except UserError as error:
            assert name in str(error) and f"data.turns {turns}" in str(error) and "512" in str(error)
            return False
        assert len(session.turns) == turns
        return True

    turns = 1
    while fits(turns):
        turns += 1
    assert turns > 8
    assert not fits(turns + 10)


@pytest.mark.parametrize("name", NAMES)
def test_the_order_changes_the_questions_and_nothing_else(name):
    published = build(name, tokens=2048, turns=10)
    balanced = [build(name, index, tokens=2048, turns=10, order="balanced") for index in range(6)]
    assert balanced[0].context == published.context
    assert {turn.query for turn in balanced[0].turns} == {turn.query for turn in published.turns}
    for subtask in TASKS[name].subtasks:
        starts = [turn.evidence[0][0] for turn in turns_of(published, subtask)]
        assert starts == sorted(starts)
        firsts = {
            [turn.evidence[0][0] for turn in turns_of(session, subtask)].index(
                min(turn.evidence[0][0] for turn in turns_of(session, subtask))
            )
            for session in balanced
        }
        assert len(firsts) > 1


@pytest.mark.parametrize("name", NAMES)
def test_no_session_can_be_asked_a_question_twice_nor_has_two_equal_blocks(name):
    for index in range(20):
        session = check_session(build(name, index, tokens=2048, turns=16))
        blocks = blocks_of(session)
        assert len(set(blocks)) == len(blocks)
        assert len({turn.golds for turn in session.turns}) == 16


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("scale", "message"),
    [
        ({"name": "paper", "tokens": None}, r"data\.scale 'paper' .* set data\.scale to 'mini'"),
        ({"tokens": None}, r"data\.tokens None .* set data\.tokens to \d+ or more"),
        ({"tokens": 10}, r"data\.tokens 10 .* set data\.tokens to \d+ or more"),
        ({"turns": 0}, r"data\.turns 0 .* set data\.turns to 1 or more"),
        ({"turns": 400}, r"data\.turns 400 .* lower data\.turns"),
        ({"tokens": 10**6}, r"data\.tokens 1000000 .* lower data\.tokens"),
    ],
    ids=["paper", "no-length", "short", "no-turns", "many-turns", "long"],
)
def test_a_scale_that_cannot_be_built_is_refused_with_a_remedy(name, scale, message):
    with pytest.raises(UserError, match=message):
        build(name, **scale)


@pytest.mark.parametrize("name", NAMES)
def test_names_are_single_words_behind_a_space_after_the_phrases_are_cut_out(name):
    """Else the name in a question and the name in the context would be different tokens."""
    code = [functions.NOUNS, functions.VERBS]
    prose = [*papers.METHODS, *papers.PROBLEMS, *papers.DATA, *mix_sum_niah.NAMES]
    names = {word for group in (code if "repoqa" in name else prose) for word in group} - set(functions.OBJECTS)
    phrases = {phrase for other in NAMES for phrase in phrases_of(other)}
    pattern = "|".join(
        [*map(re.escape, sorted(phrases, key=len, reverse=True)), r"[a-z][0-9]", r" ?[A-Za-z]+", r", ", r"(?s:.)"]
    )
    for index in range(30):
        session = build(name, index)
        for text in [
            session.context,
            *(turn.query for turn in session.turns),
            *(turn.golds[0] for turn in session.turns),
        ]:
            pieces = re.findall(pattern, text)
            assert "".join(pieces) == text
            assert not names & set(pieces)


@pytest.mark.parametrize("name", NAMES)
def test_the_vocabulary_is_small_and_every_phrase_of_the_task_occurs(name):
    phrases = phrases_of(name)
    sessions = [build(name, index, tokens=2048, turns=16) for index in range(120)]
    parts = [[s.context, *(t.query for t in s.turns), *(t.golds[0] for t in s.turns)] for s in sessions]
    text = "\x00".join(itertools.chain(*parts))
    if name != "mix_repoqa_kv":  # whose phrases include those of the JSON object
        assert [phrase for phrase in phrases if phrase not in text] == []
    words = set(re.findall(r"[A-Za-z]+", re.sub(r"[a-z][0-9]", "", text)))
    assert len(words) <= 260


# Code.RepoQA.


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


# En.Sum.


def documents_of(session):
    """Number -> what a reader finds in the document: method, problem, data or the document that has them, finding."""
    found = {}
    for block in blocks_of(session):
        title, body = block.split("\nAbstract. ")
        number, method = re.fullmatch(r"Doc (\d+): (\w+ \w+)", title).groups()
        body = re.sub(r" ?The pass key of the [a-z ]+ is \d+\. Remember it\.", "", body).strip()
        found[number] = {
            "method": method,
            "sentences": body.count("."),
            "problem": re.search(rf"{method} (?:targets|was built for) (\w+ \w+)\.", body)[1],
            "data": re.search(rf"Doc {number} uses (\w+ \w+) data\.|$", body)[1],
            "same": re.search(rf"Doc {number} uses the same data as Doc (\d+)\.|$", body)[1],
            "finding": re.search(rf"{method} ((?:{'|'.join(papers.EFFECTS)}) \w+ \w+)\.", body)[1],
        }
    return found


@pytest.mark.parametrize("name", SUM)
def test_a_summary_follows_from_the_text(name):
    pointers = 0
    for index in range(30):
        session = build(name, index, tokens=2048, turns=16)
        documents = documents_of(session)
        assert list(documents) == [str(number) for number in range(1, len(documents) + 1)]
        assert len({document["method"] for document in documents.values()}) == len(documents)
        for turn in turns_of(session, "en_sum"):
            number = re.fullmatch(r"Please summarize Doc (\d+)\.", turn.query)[1]
            document = documents[number]
            source = documents[document["same"]] if document["same"] else document
            pointers += source is not document
            assert turn.golds == (
                f"This paper proposes {document['method']} for {document['problem']} "
                f"with {source['data']} data and {document['finding']}.",
            )
            assert 15 <= len(turn.golds[0].split()) <= 25
    assert pointers > 20


@pytest.mark.parametrize("name", SUM)
def test_documents_have_four_to_eight_sentences_and_point_at_distant_data(name):
    for index, tokens in itertools.product(range(15), (256, 1024, 4096)):
        documents = documents_of(build(name, index, tokens=tokens, turns=2))
        for number, document in documents.items():
            assert 4 <= document["sentences"] <= 8
            assert (document["data"] is None) != (document["same"] is None)
            if document["same"]:
                assert int(document["same"]) <= int(number) // 2
                assert documents[document["same"]]["data"]


@pytest.mark.parametrize("name", SUM)
def test_the_evidence_of_a_summary_holds_every_word_of_it(name):
    for index in range(20):
        session = build(name, index, turns=8)
        for turn in turns_of(session, "en_sum"):
            number = re.search(r"\d+", turn.query)[0]
            evidence = texts(session, turn)
            assert evidence[0].startswith(f"Doc {number}:")
            assert len(evidence) == 4 + ("same data" in evidence[2])
            frame = set("This paper proposes for with data and".split())
            assert set(turn.golds[0].rstrip(".").split()) - frame <= set(re.findall(r"\w+", " ".join(evidence)))
            assert all(text == text.strip() and text.endswith(".") for text in evidence)


def test_summary_targets_lie_one_in_each_slot():
    for index, order in itertools.product(range(20), ("published", "balanced")):
        session = build("en_sum", index, order=order)
        places = [int(re.search(r"\d+", turn.query)[0]) - 1 for turn in session.turns]
        slots = [slot(place, len(blocks_of(session)), 5) for place in places]
        assert (slots if order == "published" else sorted(slots)) == [0, 1, 2, 3, 4]


def test_documents_are_shortened_before_turns_are_refused():
    few = len(blocks_of(build("en_sum", tokens=512, turns=1)))
    many = build("en_sum", tokens=512, turns=few + 2)
    assert len(blocks_of(many)) >= few + 2


# The mixed tasks.


@pytest.mark.parametrize("name", ("mix_sum_niah", "mix_repoqa_kv"))
@pytest.mark.parametrize("turns", [1, 2, 5, 8])
def test_the_two_subtasks_alternate(name, turns):
    first, second = TASKS[name].subtasks
    kinds = [turn.subtask for turn in build(name, turns=turns).turns]
    assert kinds == [first, second, first, second, first, second, first, second][:turns]


@pytest.mark.parametrize(("turns", "hidden"), [(1, 1), (5, 3), (8, 5), (20, 11)])
def test_each_pass_key_is_hidden_once_and_its_question_has_one_answer(turns, hidden):
    for index in range(15):
        session = build("mix_sum_niah", index, tokens=2048, turns=turns)
        found = re.findall(r"The pass key of the (\w+ \w+) is (\d+)\. Remember it\.", session.context)
        numbers = dict(found)
        assert len(found) == len(numbers) == len(set(numbers.values())) == hidden
        assert session.context.count("pass key") == hidden
        for turn in turns_of(session, "needle"):
            name = re.fullmatch(r"What is the pass key of the (\w+ \w+)\?", turn.query)[1]
            assert turn.golds == (numbers[name],)
            assert re.fullmatch(r"[1-9]\d{3}", turn.golds[0])
            assert len(re.findall(rf"\b{turn.golds[0]}\b", session.context)) == 1
            assert texts(session, turn) == [f"The pass key of the {name} is {turn.golds[0]}. Remember it."]


def test_pass_keys_lie_evenly_between_sentences():
    for index in range(15):
        session = build("mix_sum_niah", index, turns=8)
        text = re.sub(r" The pass key of the [a-z ]+ is \d+\. Remember it\.", "#", session.context)
        # The head of a document counts as a sentence: it ends in "Abstract."
        ends = [text[: match.start()].count(".") for match in re.finditer("#", text)]
        assert [slot(end - 1, text.count("."), 5) for end in ends] == [0, 1, 2, 3, 4]


def test_each_inserted_pair_stands_once_on_a_line_and_is_asked_unambiguously():
    for index in range(15):
        session = build("mix_repoqa_kv", index, turns=8)
        found = re.findall(r'^"([a-z0-9]{4})": "([a-z0-9]{4})"$', session.context, flags=re.M)
        values = dict(found)
        assert len(found) == len(values) == len(set(values.values())) == session.context.count('": "') >= 5
        assert not set(values) & set(values.values())
        order = []
        for turn in turns_of(session, "retr_kv"):
            (key,) = re.findall('"([^"]+)"', turn.query)
            order.append(slot(list(values).index(key), len(values), 4))
            assert turn.query == retr_kv.query(key)
            assert turn.golds == (values[key],)
            assert texts(session, turn) == [f'"{key}": "{values[key]}"']
        assert order == [0, 1, 2, 3]
        for turn in turns_of(session, "code_repoqa"):
            assert turn.query.startswith(mix_repoqa_kv.OPENING)


def test_pass_keys_of_the_paper_can_be_hidden_in_any_number_of_paragraphs():
    needles = mix_sum_niah.needles(random.Random(0), 5, Scale("paper", None, 8))
    paragraphs = [(("paragraph", number), f"\n\nParagraph {number}. " + "word " * 200) for number in range(4001)]
    units = mix_sum_niah.with_needles(paragraphs, needles)
    text, spans = write(units)
    assert [unit for unit in units if unit[0][0] == "paragraph"] == paragraphs
    places = [place for place, (key, _) in enumerate(units) if key[0] == "needle"]
    assert [slot(place - number - 1, 4001, 5) for number, place in enumerate(places)] == [0, 1, 2, 3, 4]
    for number, needle in enumerate(needles):
        name = re.fullmatch(r"What is the pass key of the (\w+ \w+)\?", needle.query)[1]
        start, stop = spans["needle", number]
        assert text[start:stop] == (
            f"The pass key of the {name} is {needle.number}. Remember it. "
            f"{needle.number} is the pass key of the {name}."
        )
        assert len(needle.number) == 5
        assert text.count(name) == 2
    assert text.count("pass key") == 10


def test_the_hundred_pairs_of_the_paper_can_be_inserted_into_any_number_of_functions():
    pairs = retr_kv.pairs(random.Random(0), mix_repoqa_kv.PAPER_PAIRS, Scale("paper", None, 8))
    codes = [(number, ("\n\n" if number else "") + f"def f{number}():\n    return {number}") for number in range(3000)]
    units = mix_repoqa_kv.with_pairs(codes, pairs)
    text, spans = write(units)
    assert [unit for unit in units if isinstance(unit[0], int)] == codes
    places = [place for place, (key, _) in enumerate(units) if not isinstance(key, int)]
    assert {later - earlier for earlier, later in itertools.pairwise(places)} == {31}
    for number, (key, value) in enumerate(pairs):
        start, stop = spans["pair", number]
        assert text[start - 2 : stop + 2] == f'\n\n"{key}": "{value}"\n\n'
        assert len(key) == len(value) == 36


def test_more_pass_keys_than_names_are_refused():
    with pytest.raises(UserError, match=r"mix_sum_niah: data\.turns 5000 .* lower data\.turns"):
        mix_sum_niah.needles(random.Random(0), 2501, Scale(turns=5000))


# The shared means.


@given(st.integers(1, 60), st.integers(0, 90))
def test_inserts_stand_in_the_middle_of_equal_stretches(units, inserts):
    merged = insert_evenly([(number, "") for number in range(units)], [(f"i{j}", "") for j in range(inserts)])
    keys = [key for key, _ in merged]
    assert [key for key in keys if isinstance(key, int)] == list(range(units))
    assert [key for key in keys if not isinstance(key, int)] == [f"i{j}" for j in range(inserts)]
    assert keys[0] == 0
    for j in range(inserts):
        behind = sum(isinstance(key, int) for key in keys[: keys.index(f"i{j}")])
        middle = (j + 0.5) * units / inserts
        assert middle < behind <= middle + 1


def test_inserts_without_units_are_refused():
    with pytest.raises(ValueError, match="at least one unit"):
        insert_evenly([], [("a", "x")])


@given(st.integers(0, 30))
def test_alternate_takes_from_each_in_turn(turns):
    merged = alternate(list(range(0, turns, 2)), list(range(1, turns, 2)))
    assert merged == list(range(turns))


def test_spans_leave_out_the_white_space_around_a_unit():
    text, spans = write([("a", "one"), ("b", "\n\ntwo \n"), ("c", " three")])
    assert {key: text[start:stop] for key, (start, stop) in spans.items()} == {"a": "one", "b": "two", "c": "three"}


def test_constants_are_texts_that_cut_no_other_word_apart():
    found = constants(["Please add the<a> by the<b>, then by 3.", "<a> +<b>;\n}", "<a> is <b>"])
    assert found == ("Please add the", ", then by 3.", ";\n}")
