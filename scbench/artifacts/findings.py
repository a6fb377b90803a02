"""What the paper finds, as sums that can be computed from scored turns.

A finding holds where its statistic is above `least`, or below `most`: the limit is 0 unless the paper says "near" or
"nearly", where it is ours and stands in the statistic's words. Every term is a mean over its lines and models; terms
over the same tasks are compared session by session.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from scbench.artifacts.board import Line
from scbench.stats import CATEGORIES
from scbench.tasks import TASKS

Turns = Literal["all", "first", "second", "later"]

ALL = tuple(TASKS)
# The mixed tasks change between two kinds of question, so that their turns are not of one kind.
ONE_KIND = tuple(name for name, task in TASKS.items() if len(task.subtasks) == 1)
NEAR = 5.0  # points
NEAR_ZERO = 10.0


@dataclass(frozen=True)
class Select:
    """Some of the lines of a study; words: what it looks for, to say what a study lacks."""

    words: str
    choose: Callable[[Sequence[Line]], list[Line]]

    def __call__(self, lines: Sequence[Line]) -> list[Line]:
        return self.choose(lines)


@dataclass(frozen=True)
class Term:
    """weight x the mean score of the selected lines, in one mode, on some turns."""

    weight: float
    lines: Select
    mode: str = "multi_turn"
    turns: Turns = "all"


@dataclass(frozen=True)
class Contrast:
    """Terms that are compared on the same sessions of the same tasks; a mean over those tasks that have all terms."""

    tasks: tuple[str, ...]
    terms: tuple[Term, ...]


@dataclass(frozen=True)
class Finding:
    """One sentence of the paper and what is computed to check it: the sum of `contrasts`.

    subject: the lines that the sentence is about, each of which is also looked at alone. balanced: turns are compared,
    so that the order of the evidence must not be that of the turns. question_free: requests must be encoded without
    their questions. across: lines of different models are compared. swept: each subject is a method with all its
    budgets.
    lacking: why no study of this version can tell; such a finding has no contrasts.
    """

    name: str
    claim: str
    source: str
    statistic: str
    subject: Select
    contrasts: Callable[[Select], tuple[Contrast, ...]] = lambda subject: ()
    least: float | None = 0.0
    most: float | None = None
    balanced: bool = False
    question_free: bool = False
    across: bool = False
    swept: bool = False
    lacking: str = ""


def named(*methods: str) -> Select:
    """The lines of these methods, of whatever budget."""
    return Select(" or ".join(methods), lambda lines: [line for line in lines if line.method in methods])


def model(name: str) -> Select:
    """A model that is its own method."""
    return Select(name, lambda lines: [line for line in lines if line.group == name])


def _shares(lines: Sequence[Line]) -> dict[tuple[str, str], set[float]]:
    """(model, method) -> its budgets, of those that have several."""
    shares: dict[tuple[str, str], set[float]] = {}
    for line in lines:
        if line.share is not None:
            shares.setdefault((line.model, line.method), set()).add(line.share)
    return {key: values for key, values in shares.items() if len(values) > 1}


def _swept(lines: Sequence[Line]) -> list[Line]:
    return [line for line in lines if (line.model, line.method) in _shares(lines)]


def extreme(choose: Callable[[set[float]], float], subject: Select) -> Select:
    """Of each method with several budgets among `subject` the line whose budget `choose` picks."""

    def lines(found: Sequence[Line]) -> list[Line]:
        own = subject(found)
        picked = {key: choose(values) for key, values in _shares(own).items()}
        return [line for line in own if line.share is not None and picked.get((line.model, line.method)) == line.share]

    return Select(SWEPT.words, lines)


def _less(
    first: Select, second: Select, tasks: tuple[str, ...] = ALL, mode: str = "multi_turn", turns: Turns = "all"
) -> tuple[Contrast, ...]:
    return (Contrast(tasks, (Term(1, first, mode, turns), Term(-1, second, mode, turns))),)


def _later_less_first(lines: Select, sign: float) -> tuple[Term, Term]:
    return Term(sign, lines, turns="later"), Term(-sign, lines, turns="first")


def _with_less_without_question(lines: Select, sign: float) -> tuple[Term, Term]:
    return Term(sign, lines, "multi_turn", "first"), Term(-sign, lines, "multi_request", "first")


def _needs_question(subject: Select) -> tuple[Contrast, ...]:
    terms = (*_with_less_without_question(subject, 1), *_with_less_without_question(FULL, -1))
    return (Contrast(ONE_KIND, terms),)


# The paper says it of two methods in one sentence. Each is asked alone: their mean could hide that one is not so.
def _near_zero(method: str, title: str) -> Finding:
    return Finding(
        f"near_zero_{method}",
        f"{title} is near zero on string retrieval",
        "Table 4",
        f"mean score, multi-turn; near: below {NEAR_ZERO:g}",
        named(method),
        lambda subject: (Contrast(STRING, (Term(1, subject),)),),
        least=None,
        most=NEAR_ZERO,
    )


def _query_awareness(method: str, title: str) -> Finding:
    return Finding(
        f"query_awareness_{method}",
        f"{title} loses where the question is not encoded with the context",
        "Table 5",
        WITHOUT,
        named(method),
        _needs_question,
        question_free=True,
    )


FULL = Select("full attention", lambda lines: [line for line in lines if line.baseline])
DROPPING = Select("a method with sub-O(n) memory", lambda lines: [line for line in lines if line.memory == "sub-O(n)"])
SWEPT = Select("a method with two budgets", _swept)
TWO_BITS = Select(
    "kivi at 2 bits", lambda lines: [line for line in lines if line.method == "kivi" and line.share == 1 / 8]
)
STATIC, DYNAMIC = named("a_shape", "tri_shape"), named("minference", "xattention")
SPARSE = named("a_shape", "tri_shape", "minference", "xattention")
STRING, BRIEF = CATEGORIES["string"], ("en_qa", "zh_qa", "en_sum")
WITHOUT = "the first question of multi-turn sessions less the same question in multi-request ones, where the context "
WITHOUT += "was encoded without it; less the same of full attention"

FINDINGS: tuple[Finding, ...] = (
    Finding(
        "memory",
        "Methods with sub-O(n) memory fail after the first turn",
        "abstract; Figure 3a",
        "turn 1 less later turns, less the same of full attention, multi-turn",
        DROPPING,
        lambda subject: (Contrast(ONE_KIND, (*_later_less_first(subject, -1), *_later_less_first(FULL, 1))),),
        balanced=True,
    ),
    Finding(
        "sparse_encoding",
        "Sparse encoding with O(n) memory is robust over turns",
        "abstract",
        "sparse encoding less methods with sub-O(n) memory, multi-turn",
        SPARSE,
        lambda subject: _less(subject, DROPPING),
    ),
    Finding(
        "a_shape",
        "A-shape improves over turns",
        "text",
        "later turns less turn 1, less the same of full attention, multi-turn",
        named("a_shape"),
        lambda subject: (Contrast(ONE_KIND, (*_later_less_first(subject, 1), *_later_less_first(FULL, -1))),),
        balanced=True,
    ),
    Finding(
        "tri_shape",
        "Tri-shape repairs the first turn of A-shape",
        "text",
        "Tri-shape less A-shape on turn 1, multi-turn",
        named("tri_shape"),
        lambda subject: _less(subject, named("a_shape"), ONE_KIND, turns="first"),
    ),
    Finding(
        "dynamic",
        "Dynamic sparsity is better than static sparsity",
        "abstract",
        "dynamic less static patterns, multi-turn",
        DYNAMIC,
        lambda subject: _less(subject, STATIC),
    ),
    _near_zero("streaming_llm", "StreamingLLM"),
    _near_zero("snapkv", "SnapKV"),
    Finding(
        "quantisation",
        "2-bit quantisation costs string retrieval",
        "Table 4",
        "full attention less 2-bit KIVI on string retrieval, multi-turn",
        TWO_BITS,
        lambda subject: _less(FULL, subject, STRING),
    ),
    Finding(
        "quantised_or_dropped",
        "A quantised context is better than a part of it",
        "Table 4",
        "2-bit KIVI less methods with sub-O(n) memory, multi-turn",
        TWO_BITS,
        lambda subject: _less(subject, DROPPING),
    ),
    Finding(
        "snapkv_first_turn",
        "SnapKV is better than StreamingLLM on the first turn",
        "Appendix C",
        "SnapKV less StreamingLLM on turn 1, multi-turn",
        named("snapkv"),
        lambda subject: _less(subject, named("streaming_llm"), ONE_KIND, turns="first"),
        balanced=True,
    ),
    Finding(
        "snapkv_second_turn",
        "SnapKV is worse than StreamingLLM on the second turn",
        "Appendix C",
        "SnapKV less StreamingLLM on turn 2, multi-turn",
        named("snapkv"),
        lambda subject: _less(subject, named("streaming_llm"), ONE_KIND, turns="second"),
        least=None,
        most=0.0,
        balanced=True,
    ),
    _query_awareness("snapkv", "SnapKV"),
    _query_awareness("tri_shape", "Tri-shape"),
    Finding(
        "query_free",
        "MInference does not lose where the question is not encoded with the context",
        "Table 5",
        f"{WITHOUT}; not losing: less than {NEAR:g} points",
        named("minference"),
        _needs_question,
        least=None,
        most=NEAR,
        question_free=True,
    ),
    Finding(
        "compressible",
        "Summaries bear compression better than string retrieval",
        "text; Appendix C",
        "loss of methods with sub-O(n) memory on string retrieval less their loss on En.Sum, multi-turn",
        DROPPING,
        lambda subject: (*_less(FULL, subject, STRING), *_less(subject, FULL, ("en_sum",))),
    ),
    Finding(
        "budgets",
        "A larger budget gives a higher score",
        "Figure 4; Appendix C",
        "the largest less the smallest budget of a method, multi-turn",
        SWEPT,
        lambda subject: _less(extreme(max, subject), extreme(min, subject)),
        swept=True,
    ),
    Finding(
        "budget_free",
        "The first turn of questions and summaries hardly depends on the budget",
        "Appendix C",
        f"the largest less the smallest budget on turn 1 of En.QA, Zh.QA and En.Sum; hardly: below {NEAR:g} points",
        SWEPT,
        lambda subject: _less(extreme(max, subject), extreme(min, subject), BRIEF, turns="first"),
        least=None,
        most=NEAR,
        swept=True,
    ),
    Finding(
        "prompt_compression_helps",
        "Prompt compression helps where information is global",
        "text",
        "LLMLingua-2 less full attention on ICL, Math.Find and En.Sum, multi-turn",
        named("llmlingua2"),
        lambda subject: _less(subject, FULL, CATEGORIES["global"]),
    ),
    Finding(
        "prompt_compression_hurts",
        "Prompt compression hurts retrieval",
        "text",
        "full attention less LLMLingua-2 on string retrieval, multi-turn",
        named("llmlingua2"),
        lambda subject: _less(FULL, subject, STRING),
    ),
    Finding(
        "hybrid",
        "Layers of attention among recurrent ones keep the performance with less memory",
        "abstract",
        "Jamba less Codestral-Mamba, multi-turn",
        model("jamba"),
        lambda subject: _less(subject, model("codestral_mamba")),
        across=True,
    ),
    Finding(
        "error_propagation",
        "Errors propagate where a session shows the model's own answers",
        "Table 13",
        "golden less generated history",
        FULL,
        lacking="these scores have one history; Table 13 sets both side by side (`both_histories`)",
    ),
    Finding(
        "attention_shift",
        "What is attended to shifts between the turns of long generations",
        "abstract; Figure 6",
        "overlap of the attended keys",
        FULL,
        lacking="scores do not show attention; Figure 6 draws that of one session",
    ),
)
