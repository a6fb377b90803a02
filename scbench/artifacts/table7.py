"""Table 7: summaries, asked as a single question, as requests and turn by turn (appendix).

The single questions are ours, in place of other benchmarks: `scbench.artifacts.questiontable`.
"""

from functools import partial

from scbench.artifacts.questiontable import question_frame, write_questions

TASKS = ("en_sum",)

frame = partial(question_frame, tasks=TASKS)
write = partial(write_questions, tasks=TASKS)
