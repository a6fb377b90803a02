"""Table 17: answers to one Retr.KV question by A-shape and by Tri-shape (appendix).

The question and the rows are picked by the rules of `scbench.artifacts.cases`.
"""

from functools import partial

from scbench.artifacts.cases import Case, case_frame, write_case

CASE = Case("retr_kv", "llama_3_1_70b", ("a_shape", "tri_shape"))

frame = partial(case_frame, case=CASE)
write = partial(write_case, case=CASE)
