"""From a session to token ids: templates, chat headers, truncation.

Two profiles. `clean` puts the question after the context and nothing of it before, the same text in both modes, and
cuts only the context. `compat` is what the published code feeds, quirks included (each is named where it is made), with
golden history; generated history replaces the answers' tokens and nothing else, where the published code loses some.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from scbench.errors import UserError
from scbench.sessions import Session, Turn
from scbench.tasks import TASKS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Profile = Literal["clean", "compat"]
Mode = Literal["multi_turn", "multi_request"]
MODES = ("multi_turn", "multi_request")

INSTRUCTIONS = {
    "retr_kv": "Extract the value corresponding to the specified key in the JSON object below.",
    "en_multichoice": "Read the book and answer the question.",
    "en_qa": "Read the book and answer the question. Be very concise in your answer.",
    "zh_qa": "阅读以下书籍然后回答问题。",
    "code_repoqa": (
        "Based on the function description and code context, please retrieve and repeat the exact described function "
        "from the code context in a code block wrapped by ```:"
    ),
}
PHRASES = (
    *(f"{instruction}\n\n" for instruction in INSTRUCTIONS.values()),
    "Question: ",
    "\nAnswer:",
    "问题：",
    "\n答案：",
    "\n\nThe correct answer is",
    *(f"\n{letter}. " for letter in "ABCD"),
)

# Published decode budgets of the mixed tasks' parts, which differ from those of the tasks alone.
PAPER_MIX_NEW_TOKENS = {
    "mix_sum_niah": {"en_sum": 800, "needle": 15},
    "mix_repoqa_kv": {"code_repoqa": 1024, "retr_kv": 80},
}
MINI_NEEDLE_NEW_TOKENS = 6
# The published code keeps this many tokens free in multi-request runs.
PAPER_MULTI_REQUEST_RESERVE = 1000


@dataclass(frozen=True)
class EncodedSession:
    """One session in one mode, as token ids.

    first: the first prompt: context, question 1 and assistant header (multi_turn), or the context alone
        (multi_request).
    queries: one per turn. multi_turn: () for turn 1, then end of turn, user header, question, assistant header, fed
        after the previous answer. multi_request: each question and assistant header, fed right after `first`.
    answers: golden answers, the history of multi_turn sessions.
    dropped_tokens: cut from the first prompt; evidence_kept: per turn, whether all its evidence survived the cut (None
        where the task records none or the context is left out).
    question: tokens of `first` behind the context; compat tokenises across the border and may be one off.
    shortened_tokens: what the first prompt lacks because a method shortened the context before it was encoded; below 0
        where words without their neighbours take more tokens.
    """

    mode: Mode
    first: tuple[int, ...]
    queries: tuple[tuple[int, ...], ...]
    answers: tuple[tuple[int, ...], ...]
    max_new_tokens: tuple[int, ...]
    stop_ids: frozenset[int]
    dropped_tokens: int
    evidence_kept: tuple[bool | None, ...]
    question: int = 0
    shortened_tokens: int = 0


@dataclass(frozen=True)
class ChatFrame:
    """The constant text of a chat template around its messages.

    before: up to the first user message; after: from a user message to the answer; between: from an answer to the next
    user message; trims: whether the template strips white space off its messages (Llama-3's do).
    Without a chat template: the begin token, nothing, and a blank line, as published.
    """

    before: str
    after: str
    between: str
    trims: bool = False


@lru_cache(maxsize=8)
def chat_frame(tokenizer: "PreTrainedTokenizerBase") -> ChatFrame:
    if not tokenizer.chat_template:
        return ChatFrame(tokenizer.bos_token or "", "", "\n\n")
    marks = ["\u2402one\u2403", "\u2402two\u2403", "\u2402three\u2403"]
    messages = [
        {"role": role, "content": mark} for role, mark in zip(("user", "assistant", "user"), marks, strict=True)
    ]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    pieces = re.split("|".join(marks), text)
    if len(pieces) != 4:
        raise UserError(
            f"the chat template of {tokenizer.name_or_path} does not show each message once; fix the template"
        )
    blank = tokenizer.apply_chat_template([{"role": "user", "content": f" {marks[0]} "}], tokenize=False)
    trims = f" {marks[0]} " not in blank
    return ChatFrame(before=pieces[0], after=pieces[3], between=pieces[2], trims=trims)


def question_text(task: str, turn: Turn, profile: Profile) -> str:
    """The user's words of one turn, without the context."""
    query = turn.query.strip() if profile == "clean" else turn.query
    if task == "en_multichoice":
        options = "".join(f"\n{letter}. {option}" for letter, option in zip("ABCD", turn.options, strict=True))
        # The doubled article stands in the published template.
        return f"Question: {query}{options}\n\n{'The' if profile == 'clean' else 'The the'} correct answer is"
    if task == "en_qa":
        return f"Question: {query}\nAnswer:"
    if task == "zh_qa":
        return f"问题：{query}\n答案："
    return query


def math_target(query: str) -> str:
    """`the second largest number` from Math.Find's turn input, by the published greedy rule."""
    match = re.search("The .+ is", query)
    if match is None:
        raise UserError(f"math_find: the query {query!r} has no 'The ... is'; check the session file")
    return match.group(0).lower()[:-3]


def answer_text(turn: Turn, profile: Profile) -> str:
    """The golden answer as it stands in the history."""
    if turn.subtask == "retr_multihop":
        # The published history shows the Python list.
        return ", ".join(turn.golds) if profile == "clean" else repr(list(turn.golds))
    return turn.golds[0]


def _context_text(session: Session, mode: Mode, profile: Profile, with_context: bool) -> str:
    """What stands before the question in the first prompt."""
    instruction = INSTRUCTIONS.get(session.task)
    if profile == "compat" and session.task == "math_find":
        # As published: turn 1 names its target before the list; multi-request shows question 1 to every request.
        first = session.turns[0].query
        instruction = f"What is {math_target(first)}?" if mode == "multi_turn" else first
    head = f"{instruction}\n\n" if instruction else ""
    # As published, nothing separates context and question in multi-request prompts.
    gap = "" if profile == "compat" and mode == "multi_request" else "\n\n"
    return f"{head}{session.context if with_context else ''}{gap}"


def _follow_text(session: Session, number: int, mode: Mode, profile: Profile, chat: bool) -> str:
    """The user's words of turn `number` (0-based) when the context is already encoded."""
    turn = session.turns[number]
    text = question_text(session.task, turn, profile)
    if profile == "compat" and session.task == "en_multichoice" and mode == "multi_turn" and not chat:
        # As published without a chat template, follow-ups ask in other words.
        text = text.replace("The the correct answer is", "The letter of the correct answer is")
    if profile == "compat" and session.task == "math_find":
        # As published, multi-turn follow-ups name the last turn's target, whatever they ask.
        named = session.turns[-1] if mode == "multi_turn" else turn
        text = f"What is {math_target(named.query)}?\n\n{text}"
    return text


def new_tokens(task: str, subtask: str, scale_name: str) -> int:
    """The decode budget of a turn, in tokens."""
    if scale_name == "paper" and task in PAPER_MIX_NEW_TOKENS:
        return PAPER_MIX_NEW_TOKENS[task][subtask]
    return MINI_NEEDLE_NEW_TOKENS if subtask == "needle" else TASKS[subtask].max_new_tokens[scale_name]


def encode(
    session: Session,
    mode: Mode,
    tokenizer: "PreTrainedTokenizerBase",
    *,
    profile: Profile,
    max_prompt_tokens: int | None,
    scale_name: Literal["mini", "paper"],
    with_context: bool = True,
    model_stop_ids: Collection[int] = (),
) -> EncodedSession:
    """Encode `session` for `mode`; the first prompt is cut in its middle so that the session fits `max_prompt_tokens`.

    model_stop_ids: tokens that end an answer by the model's own configuration, besides the tokenizer's.
    Raises UserError when not even the questions fit.
    """
    frame = chat_frame(tokenizer)

    def ids(text: str) -> list[int]:
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    budgets = tuple(new_tokens(session.task, turn.subtask, scale_name) for turn in session.turns)
    answers = [answer_text(turn, profile) for turn in session.turns]
    opening = question_text(session.task, session.turns[0], profile)
    context = _context_text(session, mode, profile, with_context)
    chat = bool(tokenizer.chat_template)
    questions = [_follow_text(session, number, mode, profile, chat) for number in range(len(session.turns))]
    if profile == "compat" and frame.trims:
        # A template strips what it is given as one message: in multi-turn the whole message, in multi-request the
        # left of the context and the right of the question, which are rendered apart.
        answers, opening = [answer.strip() for answer in answers], opening.rstrip()
        context = context.lstrip()
        questions = [text.strip() if mode == "multi_turn" else text.rstrip() for text in questions]
    if mode == "multi_turn":
        # Published follow-ups of En.Sum begin the answer; turn 1 and the other tasks do not.
        lead = "This paper" if profile == "compat" and session.task == "en_sum" else ""
        queries = [[]] + [ids(frame.between + question + frame.after + lead) for question in questions[1:]]
    else:
        queries = [ids(question + frame.after) for question in questions]
    answers = [ids(answer) for answer in answers]

    tail = opening + frame.after if mode == "multi_turn" else ""
    after = ids(tail)
    if profile == "clean":
        before = ids(frame.before)
        room = _room(max_prompt_tokens, len(before) + len(after), queries, answers, budgets, mode)
        kept, dropped, spans = _cut(tokenizer, context, room, [])
        first = before + kept + after
        offset = len(context) - len(session.context) - len("\n\n")
    else:
        text = frame.before + context + tail
        room = max_prompt_tokens and max_prompt_tokens - _published_reserve(session, budgets, mode, scale_name)
        # The published code tokenises text that already holds the begin token with special tokens on.
        first, dropped, spans = _cut(tokenizer, text, room, _special_prefix(tokenizer))
        offset = text.index(session.context) if with_context else 0
    return EncodedSession(
        mode=mode,
        first=tuple(first),
        queries=tuple(map(tuple, queries)),
        answers=tuple(map(tuple, answers)),
        max_new_tokens=budgets,
        stop_ids=_stop_ids(tokenizer, frame) | frozenset(model_stop_ids),
        dropped_tokens=dropped,
        evidence_kept=tuple(_survives(turn, spans, offset) if with_context else None for turn in session.turns),
        question=len(after),
    )


def _room(
    limit: int | None,
    around: int,
    queries: Sequence[Sequence[int]],
    answers: Sequence[Sequence[int]],
    budgets: Sequence[int],
    mode: Mode,
) -> int | None:
    """Tokens left for the context when everything else of the session is fed as well, `around` tokens beside it."""
    if limit is None:
        return None
    if mode == "multi_turn":
        history = sum(map(len, queries)) + sum(max(len(a), b) for a, b in zip(answers, budgets, strict=True))
    else:
        history = max(len(query) + budget for query, budget in zip(queries, budgets, strict=True))
    room = limit - around - history
    if room < 2:
        raise UserError(
            f"the questions and answers of a session take {limit - room} tokens, more than the model's {limit}: "
            "lower data.turns or choose a model with a longer context"
        )
    return room


def _published_reserve(session: Session, budgets: Sequence[int], mode: Mode, scale_name: str) -> int:
    """Tokens that the published code keeps free; follow-up questions and golden answers are not counted there."""
    turns = len(session.turns)
    reserve = sum(set(budgets)) * turns // 2 if len(set(budgets)) > 1 else budgets[0] * turns
    if mode == "multi_request" and scale_name == "paper":
        reserve += PAPER_MULTI_REQUEST_RESERVE
    return reserve


Kept = list[tuple[int, int]]  # character ranges of the text that survived the cut


def _cut(
    tokenizer: "PreTrainedTokenizerBase", text: str, room: int | None, prefix: list[int]
) -> tuple[list[int], int, Kept]:
    """`prefix` and the token ids of `text`, their middle cut to `room` tokens; how many were dropped; what survived."""
    if room is None:
        return prefix + tokenizer(text, add_special_tokens=False)["input_ids"], 0, [(0, len(text))]
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids, offsets = prefix + encoded["input_ids"], [(0, 0)] * len(prefix) + encoded["offset_mapping"]
    if len(ids) <= room:
        return ids, 0, [(0, len(text))]
    half = room // 2
    if half < 1:
        raise UserError(f"no room is left for the context ({room} tokens); lower data.turns or the decode budgets")
    kept = [(0, offsets[half - 1][1]), (offsets[-half][0], len(text))]
    return ids[:half] + ids[-half:], len(ids) - 2 * half, kept


def _special_prefix(tokenizer: "PreTrainedTokenizerBase") -> list[int]:
    """The special tokens that the tokenizer puts before a text of its own accord (GLM-4: two)."""
    bare, full = (tokenizer("a", add_special_tokens=special)["input_ids"] for special in (False, True))
    return full[: full.index(bare[0])]


def _survives(turn: Turn, kept: Kept, offset: int) -> bool | None:
    if not turn.evidence:
        return None
    return all(
        any(low <= start + offset and stop + offset <= high for low, high in kept) for start, stop in turn.evidence
    )


def _stop_ids(tokenizer: "PreTrainedTokenizerBase", frame: ChatFrame) -> frozenset[int]:
    """The end token, and the token that ends an answer in the chat template (Llama-3's differ)."""
    stops = {tokenizer.eos_token_id}
    after_answer = tokenizer(frame.between, add_special_tokens=False)["input_ids"]
    if after_answer and after_answer[0] in tokenizer.all_special_ids:
        stops.add(after_answer[0])
    return frozenset(stop for stop in stops if stop is not None)
