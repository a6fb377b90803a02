"""Table 12: every method on every task, multi-request (paper, appendix)."""

from functools import partial

from scbench.artifacts.tasktable import task_frame, write_tasks

frame = partial(task_frame, mode="multi_request")
write = partial(write_tasks, mode="multi_request")
