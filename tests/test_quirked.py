"""Each quirk of the published prompts alone: what `compat` makes of the same text, and nothing beside it."""

import json
from dataclasses import replace
from functools import cache

import pytest
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from scbench import cellkey
from scbench.compute import Computer
from scbench.errors import UserError
from scbench.places import ROOT
from scbench.plan import Cell, make_plan, make_plans
from scbench.prompts import MODES, encode, math_target
from scbench.quirked import QuirkedComputer, computer_of, encode_asked
from scbench.quirks import OF_PROMPTS, switched_on
from scbench.schema import read_yaml
from scbench.sessions import Session
from scbench.study import Study, load_study, quirk_twins, twins
from scbench.tasks import NAMES, TASKS, Scale

SMOKE = read_yaml(ROOT / "studies" / "smoke.yaml")


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return PreTrainedTokenizerFast.from_pretrained("resources/minilm")


@cache
def build(task: str, tokens: int = 300) -> Session:
    return TASKS[task].build(Scale(tokens=tokens, turns=4), 0, 0)


def asked(session, mode, tokenizer, prompts, limit=None):
    how = {"max_prompt_tokens": limit, "scale_name": "mini"}
    return encode_asked(session, mode, tokenizer, prompts=prompts, **how)


def both(task, mode, tokenizer, quirk):
    """The session with the quirk alone, and as it was published."""
    session = build(task)
    return asked(session, mode, tokenizer, f"clean+{quirk}"), asked(session, mode, tokenizer, "compat")


@pytest.mark.parametrize("prompts", ["clean", "compat"])
def test_a_profile_alone_is_encoded_as_ever(prompts, tokenizer):
    session = build("retr_kv")
    how = {"max_prompt_tokens": None, "scale_name": "mini"}
    assert asked(session, "multi_turn", tokenizer, prompts) == encode(
        session, "multi_turn", tokenizer, profile=prompts, **how
    )


@pytest.mark.parametrize("quirk", OF_PROMPTS, ids=lambda quirk: quirk.name)
def test_a_quirk_changes_the_prompts_of_what_it_touches_and_no_other(quirk, tokenizer):
    for task in NAMES:
        session = build(task)
        for mode in MODES:
            plain, changed = (asked(session, mode, tokenizer, prompts) for prompts in ("clean", f"clean+{quirk.name}"))
            assert (plain != changed) == quirk.touches(task, mode)
            assert (changed.max_new_tokens, changed.stop_ids) == (plain.max_new_tokens, plain.stop_ids)


def test_follow_ups_name_the_last_target_as_published(tokenizer):
    alone, published = both("math_find", "multi_turn", tokenizer, "last_target")
    assert alone.queries == published.queries and alone.answers == published.answers
    named = math_target(build("math_find").turns[-1].query)
    assert all(f"What is {named}?" in tokenizer.decode(query) for query in alone.queries[1:])
    assert "What is" not in tokenizer.decode(alone.first)


def test_the_first_question_stands_before_the_list(tokenizer):
    alone, published = both("math_find", "multi_request", tokenizer, "first_question")
    session = build("math_find")
    head = f"{session.turns[0].query}\n\n"
    assert tokenizer.decode(alone.first) == f"<s><|user|>{head}{session.context}\n\n"
    assert tokenizer.decode(published.first) == f"<s><|user|>{head}{session.context}"
    assert alone.queries == asked(session, "multi_request", tokenizer, "clean").queries


def test_evidence_behind_the_first_question_is_kept_where_its_text_is(tokenizer):
    plain, kept = build("math_find"), []
    for place in range(0, len(plain.context), 40):
        context = f"{plain.context[:place]}QQQQQ{plain.context[place:]}"
        turns = tuple(replace(turn, evidence=((place, place + 5),)) for turn in plain.turns)
        session = replace(plain, context=context, turns=turns)
        cut = asked(session, "multi_request", tokenizer, "clean+first_question", limit=300)
        kept.append("QQQQQ" in tokenizer.decode(cut.first))
        assert set(cut.evidence_kept) == {kept[-1]}
    assert set(kept) == {True, False}


def test_golden_variables_are_a_python_list(tokenizer):
    alone, published = both("retr_multihop", "multi_turn", tokenizer, "list_as_text")
    assert alone.answers == published.answers and tokenizer.decode(alone.answers[0]).startswith("['")


def test_follow_up_summaries_begin(tokenizer):
    alone, published = both("en_sum", "multi_turn", tokenizer, "this_paper")
    assert alone.queries == published.queries
    assert [tokenizer.decode(query).endswith("This paper") for query in alone.queries] == [False, True, True, True]


class Adding:
    """A tokenizer that puts a begin token before a text of its own accord, as Llama's does."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer

    def __getattr__(self, name: str):
        return getattr(self._tokenizer, name)

    def __hash__(self) -> int:
        return hash(self._tokenizer)

    def __call__(self, text: str, add_special_tokens: bool = True, **how):
        found = self._tokenizer(text, add_special_tokens=False, **how)
        if add_special_tokens:
            found["input_ids"] = [self._tokenizer.bos_token_id, *found["input_ids"]]
        return found


@pytest.mark.parametrize("mode", MODES)
def test_a_prompt_begins_twice_as_published_where_the_tokenizer_begins_it(mode, tokenizer):
    begin = (tokenizer.bos_token_id,)
    for found in (tokenizer, Adding(tokenizer)):
        plain, changed = (
            asked(build("retr_prefix_suffix"), mode, found, name) for name in ("clean", "clean+two_begins")
        )
        assert changed == replace(plain, first=begin + plain.first) and changed.first[:2] == begin * 2
    published = asked(build("retr_prefix_suffix"), mode, Adding(tokenizer), "compat")
    assert published.first[:2] == begin * 2


@pytest.mark.parametrize("quirk", ["this_paper", "two_begins"])
def test_what_a_quirk_adds_is_counted_where_a_context_is_cut(quirk, tokenizer):
    session = build("en_sum", tokens=900)
    limit = len(asked(session, "multi_turn", tokenizer, "clean").first)
    for prompts in ("clean", f"clean+{quirk}"):
        found = asked(session, "multi_turn", tokenizer, prompts, limit)
        history = sum(max(len(answer), room) for answer, room in zip(found.answers, found.max_new_tokens, strict=True))
        assert found.dropped_tokens > 0
        assert limit - 1 <= len(found.first) + sum(map(len, found.queries)) + history <= limit


def study_of(**changes) -> Study:
    return load_study(SMOKE | changes, "my.yaml")


def test_a_study_with_quirks_has_a_computer_of_its_own(monkeypatch):
    monkeypatch.setattr(Computer, "__init__", lambda self, study, model, ranks=1: setattr(self, "study", study))
    for prompts, kind in (("clean", Computer), ("compat", Computer), ("clean+two_begins", QuirkedComputer)):
        study = study_of(prompts=prompts)
        assert type(computer_of(study, study.models[0])) is kind


def test_quirks_are_in_the_key_and_their_code_in_no_other(monkeypatch):
    cell = make_plan(study_of()).cells[0]
    clean, quirked = study_of(), study_of(prompts="clean+two_begins")
    fields = {prompts: cellkey.fields(study_of(prompts=prompts), cell) for prompts in ("clean", "compat")}
    before = cellkey.fields(quirked, cell)
    assert before["prompts"] == "clean+two_begins" and before != fields["clean"]
    plain = cellkey.codedigest.module_digest
    edited = lambda name: "edited" if name in cellkey.QUIRK_MODULES else plain(name)  # noqa: E731
    more = cellkey.codedigest.closure(["scbench.quirked"]) - cellkey.codedigest.closure(["scbench.compute"])
    assert more == {"scbench.quirked"} <= set(cellkey.QUIRK_MODULES)
    monkeypatch.setattr(cellkey.codedigest, "module_digest", edited)
    assert cellkey.fields(clean, cell) == fields["clean"] and cellkey.fields(quirked, cell) != before


def test_each_quirk_is_asked_alone_on_what_it_touches():
    study = study_of(tasks=list(TASKS), prompt_quirks=1)
    others = quirk_twins(study)
    assert [other.name for other in others] == ["smoke-prompts-1", "smoke-prompts-2"]
    assert [other.prompts for other in others] == [
        "clean+last_target+first_question+list_as_text+this_paper",
        "clean+two_begins",
    ]
    assert [other.tasks for other in others] == [("retr_multihop", "math_find", "en_sum"), tuple(TASKS)]
    for other in others:
        (model,) = other.models
        assert [row.label for row in other.rows(model)] == ["full"] and other.data.sessions == 1
        assert load_study(other.resolved(), "again").resolved() == other.resolved() and twins(other) == []
        for task in other.tasks:
            for mode in other.modes:
                assert sum(quirk.touches(task, mode) for quirk in switched_on(other.prompts)) <= 1
    assert {quirk.name for other in others for quirk in switched_on(other.prompts)} == {q.name for q in OF_PROMPTS}
    assert len(make_plans(replace(study, both_histories=True))) == 4


def test_a_study_asks_for_the_quirks_that_touch_its_cells():
    def names(**changes) -> list[str]:
        return [other.prompts for other in quirk_twins(study_of(prompt_quirks=True, **changes))]

    assert names(tasks=["retr_kv"]) == ["clean+two_begins"]
    assert names(tasks=["math_find"], modes=["multi_request"]) == ["clean+first_question", "clean+two_begins"]
    # Golden answers do not stand in a generated history.
    assert names(tasks=["retr_multihop"], history="generated") == ["clean+two_begins"]
    assert quirk_twins(study_of()) == []


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"prompts": "cleen"}, "my.yaml: prompts: 'cleen' is unknown; did you mean 'clean'"),
        ({"prompts": "clean+two_begin"}, "did you mean 'clean.two_begins'"),
        ({"prompts": "compat+two_begins"}, "prompts: 'compat.two_begins' is unknown"),
        ({"prompts": "clean+two_begins+two_begins"}, "names a quirk twice"),
        ({"prompt_quirks": 1, "prompts": "compat"}, "my.yaml: prompt_quirks: 1 switches .* set prompts: clean"),
        ({"prompt_quirks": 1, "methods": {"snapkv": {}}}, r"minilm does not run here; add it to methods \(full: {}\)"),
        ({"prompt_quirks": True, "study": "x" * 60}, "too long with prompt_quirks, which runs a study 'x*-prompts-1'"),
        ({"prompt_quirks": 0}, "my.yaml: prompt_quirks: 0"),
        ({"study": "mini-generated"}, "study: 'mini-generated' ends in '-generated', .* beside a study 'mini'"),
        ({"study": "mini-prompts-2"}, "ends in '-prompts-2'.*give it another name"),
        (
            {"prompt_quirks": 36, "tasks": ["zh_qa"], "data": {"scale": "paper"}},
            "my.yaml: prompt_quirks: 36, but zh_qa has 35 sessions here; give at most 35, or true for all",
        ),
    ],
)
def test_what_cannot_be_asked_is_refused_in_one_sentence(changes, sentence):
    with pytest.raises(UserError, match=sentence):
        make_plans(study_of(**changes))


def test_fields_of_a_quirk_are_json():
    study = study_of(prompts="clean+this_paper")
    cell = Cell(study.models[0], study.rows(study.models[0])[0], "retr_kv", "multi_turn")
    assert json.loads(json.dumps(cellkey.fields(study, cell))) == cellkey.fields(study, cell)
