"""How long a job takes, reasoned from the study and from the costs in resources/models.lock.yaml.

The answer sizes jobs; it never decides a result. Decoding is counted at its limit: a job ends sooner, not later.
"""

from scbench import corpus
from scbench.models import Model
from scbench.study import PAPER_CONTEXT, Study
from scbench.tasks import TASKS

# Published set: sessions and context tokens of each task (paper, Table 2; rows of the set where the table disagrees).
PUBLISHED = {
    "retr_kv": (100, 125_000),
    "retr_prefix_suffix": (100, 112_000),
    "retr_multihop": (90, 124_000),
    "code_repoqa": (88, 65_000),
    "en_qa": (69, 198_000),
    "zh_qa": (35, 1_500_000),
    "en_multichoice": (58, 188_000),
    "icl_manyshot": (54, 22_000),
    "math_find": (100, 120_000),
    "en_sum": (70, 104_000),
    "mix_sum_niah": (70, 105_000),
    "mix_repoqa_kv": (88, 68_000),
}
FOLLOW_UP_TOKENS = 64  # a question with its headers, beside the previous answer


def session_count(study: Study, task: str) -> int:
    """Sessions of `task` in the study. Raises UserError when they come from a folder that cannot give any."""
    if corpus.reads_folder(study.data, task) and not corpus.lacks_folder(study.data, task):
        return corpus.count(study.data, task)
    return study.data.sessions or PUBLISHED[task][0]


def context_length(study: Study, model: Model, task: str) -> int:
    """Tokens of one context of `task` as `model` sees it."""
    tokens = study.data.tokens or PUBLISHED[task][1]
    return min(tokens, model.context, max(PAPER_CONTEXT, study.data.tokens or 0))


def answer_length(study: Study, task: str) -> int:
    """The most tokens that the turns of one session decode, in all."""
    subtasks = TASKS[task].subtasks
    # The parts of a mixed task take turns; a needle's answer is no longer than the others'.
    limits = [TASKS[name].max_new_tokens[study.data.scale] for name in subtasks if name in TASKS]
    return study.data.turns * sum(limits) // len(limits)


def session_seconds(
    study: Study, model: Model, task: str, cells: int, prefills: int, with_context: bool = True
) -> float:
    """Seconds for one session in `cells` cells (methods x modes) that take `prefills` prefills of the context."""
    cost = model.seconds
    decoded = answer_length(study, task)
    context = context_length(study, model, task) if with_context else 0
    followed = FOLLOW_UP_TOKENS * study.data.turns + decoded
    prefilled = prefills * context + cells * followed
    return prefilled / 1000 * cost.prefill_1k + cells * decoded * cost.decode
