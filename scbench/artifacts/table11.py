"""Table 11: every method on every task, multi-turn (paper, appendix)."""

from functools import partial

from scbench.artifacts.tasktable import task_frame, write_tasks

frame = partial(task_frame, mode="multi_turn")
write = partial(write_tasks, mode="multi_turn")
