"""Prompts: the published literals, one history for both profiles, and a cut that says what it lost."""

import pytest
from tokenizers import processors
from transformers import PreTrainedTokenizerFast

from scbench.errors import UserError
from scbench.prompts import answer_text, chat_frame, encode, math_target, new_tokens, question_text
from scbench.sessions import Session, Turn
from scbench.tasks import NAMES, TASKS, Scale

FOLDER = "resources/minilm"


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast.from_pretrained(FOLDER)


def build(name: str, tokens: int = 300) -> Session:
    return TASKS[name].build(Scale(tokens=tokens, turns=4), 0, 0)


def encoded(session, mode, tokenizer, profile="clean", limit=None, **options):
    return encode(session, mode, tokenizer, profile=profile, max_prompt_tokens=limit, scale_name="mini", **options)


@pytest.mark.parametrize("name", NAMES)
def test_both_modes_share_all_tokens_before_the_question(name, tokenizer):
    """In the clean profile the context is encoded alike, so that one prefill serves both modes."""
    session = build(name)
    turns = encoded(session, "multi_turn", tokenizer)
    requests = encoded(session, "multi_request", tokenizer)
    assert turns.first[: len(requests.first)] == requests.first
    assert turns.first == requests.first + requests.queries[0]
    assert session.context in tokenizer.decode(requests.first)


@pytest.mark.parametrize("profile", ["clean", "compat"])
@pytest.mark.parametrize("name", NAMES)
def test_a_first_prompt_says_how_much_of_it_is_the_question(name, profile, tokenizer):
    session = build(name)
    turns, requests = (encoded(session, mode, tokenizer, profile) for mode in ("multi_turn", "multi_request"))
    assert requests.question == 0
    asked = tokenizer.decode(turns.first[-turns.question :])
    question = question_text(name, session.turns[0], profile)
    assert asked.strip().endswith(f"{question[2:]}<|assistant|>")
    assert len(asked) <= len(f"{question}<|assistant|>") + 2


@pytest.mark.parametrize("name", NAMES)
def test_a_dialogue_read_as_text(name, tokenizer):
    session = build(name)
    parts = encoded(session, "multi_turn", tokenizer)
    text = tokenizer.decode(parts.first + parts.answers[0] + parts.queries[1] + parts.answers[1])
    assert text.startswith("<s><|user|>") and text.count("<s>") == 1
    for number in (0, 1):
        question = question_text(name, session.turns[number], "clean")
        assert f"{question}<|assistant|>{answer_text(session.turns[number], 'clean')}" in text
    assert "<|end|><|user|>" in text
    assert parts.queries[0] == ()
    assert parts.stop_ids == {tokenizer.convert_tokens_to_ids("<|end|>")}


def test_the_published_profile_keeps_its_quirks(tokenizer):
    bos = tokenizer.bos_token_id
    for name in NAMES:
        for mode in ("multi_turn", "multi_request"):
            first = encoded(build(name), mode, tokenizer, "compat").first
            assert first.count(bos) == 1 + (tokenizer("")["input_ids"][:1] == [bos])
    choice = build("en_multichoice")
    assert question_text(choice.task, choice.turns[0], "compat").endswith("\n\nThe the correct answer is")
    assert question_text(choice.task, choice.turns[0], "clean").endswith("\n\nThe correct answer is")
    # Follow-ups of Math.Find name the last turn's target, whatever they ask.
    find = TASKS["math_find"].build(Scale(tokens=200, turns=4), 0, 0)
    parts = encoded(find, "multi_turn", tokenizer, "compat")
    last = math_target(find.turns[-1].query)
    assert all(f"What is {last}?" in tokenizer.decode(query) for query in parts.queries[1:])
    # Multi-request shows the first question to every request, and nothing separates context and question.
    text = tokenizer.decode(encoded(find, "multi_request", tokenizer, "compat").first)
    assert find.turns[0].query in text and text.endswith("]")
    # Follow-up summaries begin for the model.
    summary = encoded(build("en_sum", 600), "multi_turn", tokenizer, "compat")
    assert tokenizer.decode(summary.queries[1]).endswith("This paper")
    hops = build("retr_multihop")
    assert answer_text(hops.turns[0], "compat") == str(list(hops.turns[0].golds))


TRIMMING = (
    "{{ '<s>' }}{% for m in messages %}{{ '<|' + m['role'] + '|>' + m['content'] | trim }}"
    "{% if m['role'] == 'assistant' %}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def test_a_template_that_trims_trims_the_published_prompts():
    """Whole messages in multi-turn; in multi-request the blank at the joint of context and question stays."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(FOLDER)
    tokenizer.chat_template = TRIMMING
    session = build("retr_kv")
    assert session.turns[1].query.startswith("\nKey") and session.turns[1].query.endswith(": ")
    turns = encoded(session, "multi_turn", tokenizer, "compat")
    messages = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": session.turns[0].golds[0]},
        {"role": "user", "content": session.turns[1].query},
    ]
    rendered = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    history = tokenizer.decode(turns.answers[0] + turns.queries[1])
    assert rendered == "<s><|user|>x<|assistant|>" + history
    requests = encoded(session, "multi_request", tokenizer, "compat")
    assert tokenizer.decode(requests.queries[0]).startswith("\nKey")
    assert tokenizer.decode(requests.queries[0]).endswith("key is:<|assistant|>")


def test_a_template_that_does_not_trim_keeps_blanks(tokenizer):
    assert not chat_frame(tokenizer).trims
    session = build("retr_kv")
    assert tokenizer.decode(encoded(session, "multi_turn", tokenizer, "compat").queries[1]).endswith(": <|assistant|>")


def test_the_models_own_stop_tokens_count(tokenizer):
    parts = encoded(build("en_qa"), "multi_turn", tokenizer, model_stop_ids=(7, 8))
    assert parts.stop_ids == {7, 8, tokenizer.eos_token_id}


def test_every_special_token_that_the_tokenizer_adds_is_doubled_and_cut(tokenizer):
    twice = PreTrainedTokenizerFast.from_pretrained(FOLDER)
    special = twice.convert_tokens_to_ids(["<pad>", "<s>"])
    twice.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<pad> <s> $A", special_tokens=[("<pad>", special[0]), ("<s>", special[1])]
    )
    session = TASKS["retr_kv"].build(Scale(tokens=900, count=lambda text: len(twice(text)["input_ids"])), 0, 0)
    parts = encoded(session, "multi_turn", twice, "compat")
    assert list(parts.first[:3]) == [*special, twice.bos_token_id]
    cut = encoded(session, "multi_turn", twice, "compat", limit=400)
    assert list(cut.first[:3]) == [*special, twice.bos_token_id]
    assert len(cut.first) == (400 - 5 * 6) // 2 * 2


def test_published_templates_are_literal():
    turn = Turn("Who?", ("B",), "en_multichoice", options=("a", "b", "c", "d"))
    assert question_text("en_multichoice", turn, "compat") == (
        "Question: Who?\nA. a\nB. b\nC. c\nD. d\n\nThe the correct answer is"
    )
    assert question_text("en_qa", turn, "compat") == "Question: Who?\nAnswer:"
    assert question_text("zh_qa", turn, "compat") == "问题：Who?\n答案："
    assert question_text("retr_kv", turn, "compat") == "Who?"
    query = "You should answer with only one number, no other words. The second largest number of the list is"
    assert math_target(query) == "the second largest number of the list"


@pytest.mark.parametrize(
    ("task", "subtask", "budget"),
    [
        ("en_qa", "en_qa", 40),
        ("zh_qa", "zh_qa", 40),
        ("en_multichoice", "en_multichoice", 40),
        ("retr_kv", "retr_kv", 150),
        ("retr_prefix_suffix", "retr_prefix_suffix", 150),
        ("math_find", "math_find", 5),
        ("code_repoqa", "code_repoqa", 1024),
        ("en_sum", "en_sum", 200),
        ("retr_multihop", "retr_multihop", 30),
        ("icl_manyshot", "icl_manyshot", 10),
        ("mix_sum_niah", "en_sum", 800),
        ("mix_sum_niah", "needle", 15),
        ("mix_repoqa_kv", "code_repoqa", 1024),
        ("mix_repoqa_kv", "retr_kv", 80),
    ],
)
def test_published_decode_budgets(task, subtask, budget):
    assert new_tokens(task, subtask, "paper") == budget


@pytest.mark.parametrize("profile", ["clean", "compat"])
@pytest.mark.parametrize("mode", ["multi_turn", "multi_request"])
def test_the_cut_takes_the_middle_and_says_what_it_lost(mode, profile, tokenizer):
    session = TASKS["retr_kv"].build(Scale(tokens=900, count=lambda text: len(tokenizer(text)["input_ids"])), 0, 0)
    whole = encoded(session, mode, tokenizer, profile)
    cut = encoded(session, mode, tokenizer, profile, limit=500)
    assert whole.dropped_tokens == 0 and all(whole.evidence_kept)
    assert len(cut.first) + cut.dropped_tokens == len(whole.first)
    assert len(cut.first) < 500
    assert cut.evidence_kept[0] and cut.evidence_kept[-1] and not cut.evidence_kept[2]
    text = tokenizer.decode(cut.first)
    for turn, kept in zip(session.turns, cut.evidence_kept, strict=True):
        ((start, stop),) = turn.evidence
        assert (session.context[start:stop] in text) == kept


def test_everything_of_a_cut_session_fits_the_model(tokenizer):
    session = build("code_repoqa", 900)
    for limit in (400, 401, 450):
        parts = encoded(session, "multi_turn", tokenizer, limit=limit)
        fed = len(parts.first) + sum(map(len, parts.queries)) + sum(map(len, parts.answers))
        assert fed <= limit


def test_no_room_for_the_questions_is_an_error(tokenizer):
    with pytest.raises(UserError, match=r"lower data\.turns or choose a model with a longer context"):
        encoded(build("code_repoqa"), "multi_turn", tokenizer, limit=40)


def test_without_context_only_the_context_is_missing(tokenizer):
    session = build("en_qa")
    parts = encoded(session, "multi_turn", tokenizer, with_context=False)
    full = encoded(session, "multi_turn", tokenizer)
    assert parts.queries == full.queries and parts.answers == full.answers
    assert tokenizer.decode(parts.first) == tokenizer.decode(full.first).replace(session.context, "")
    assert set(parts.evidence_kept) == {None}


def test_a_tokenizer_without_chat_template_is_prompted_as_published(tokenizer):
    bare = PreTrainedTokenizerFast.from_pretrained(FOLDER)
    bare.chat_template = None
    assert chat_frame(bare) == chat_frame(bare).__class__("<s>", "", "\n\n")
    parts = encoded(build("retr_kv"), "multi_turn", bare)
    assert tokenizer.decode(parts.queries[1]).startswith("\n\nKey: ")
    choice = encoded(build("en_multichoice"), "multi_turn", bare, "compat")
    assert tokenizer.decode(choice.queries[1]).endswith("The letter of the correct answer is")
    assert tokenizer.decode(choice.first).endswith("The the correct answer is")
