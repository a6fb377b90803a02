"""Table 14: summaries of one paper by models and by sparse methods (appendix).

The question and the rows are picked by the rules of `scbench.artifacts.cases`.
"""

from functools import partial

from scbench.artifacts.cases import Case, case_frame, write_case

CASE = Case("en_sum", "llama_3_1_8b", ("a_shape", "tri_shape", "minference", "streaming_llm"), every_model=True)

frame = partial(case_frame, case=CASE)
write = partial(write_case, case=CASE)
