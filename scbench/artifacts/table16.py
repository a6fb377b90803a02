"""Table 16: answers to Mix.RepoQA+KV questions with and without MInference (appendix).

The question and the rows are picked by the rules of `scbench.artifacts.cases`.
"""

from functools import partial

from scbench.artifacts.cases import Case, case_frame, write_case

CASE = Case("mix_repoqa_kv", "llama_3_1_70b", ("full", "minference"))

frame = partial(case_frame, case=CASE)
write = partial(write_case, case=CASE)
