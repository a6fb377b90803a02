"""Which raw files the sessions of a task are made from."""

from pathlib import Path

from scbench.errors import UserError
from scbench.raw.lock import LOCK, source
from scbench.study import Study

Needed = tuple[tuple[str, str], ...]  # (source, file), as in the lock

PUBLISHED = "scbench"  # the source of data.source published, and its configuration of each task
CONFIGS = {
    "retr_kv": "scbench_kv",
    "retr_prefix_suffix": "scbench_prefix_suffix",
    "retr_multihop": "scbench_vt",
    "code_repoqa": "scbench_repoqa",
    "en_qa": "scbench_qa_eng",
    "zh_qa": "scbench_qa_chn",
    "en_multichoice": "scbench_choice_eng",
    "icl_manyshot": "scbench_many_shot",
    "math_find": "scbench_mf",
    "en_sum": "scbench_summary",
    "mix_sum_niah": "scbench_summary_with_needles",
    "mix_repoqa_kv": "scbench_repoqa_and_kv",
}
# Of data.source build at paper scale; tasks that are generated need nothing.
BUILD: dict[str, Needed] = {
    "code_repoqa": (("repoqa", "repoqa-2024-06-23.json.gz"),),
    "en_qa": (("infinitebench", "longbook_qa_eng.jsonl"),),
    "zh_qa": (("infinitebench", "longbook_qa_chn.jsonl"),),
    "en_multichoice": (("infinitebench", "longbook_choice_eng.jsonl"),),
    "icl_manyshot": (
        ("bbh", "date_understanding.json"),
        ("bbh", "salient_translation_error_detection.json"),
        ("bbh", "tracking_shuffled_objects_seven_objects.json"),
    ),
    "mix_repoqa_kv": (("repoqa", "repoqa-2024-06-23.json.gz"),),
}


def needs(study: Study, task: str) -> Needed:
    """The raw files that the sessions of `task` wait for in `study`."""
    came = study.data.source_of(task)
    if came == "published":
        return ((PUBLISHED, published_file(task)),)
    if came == "build" and study.data.scale == "paper":
        return BUILD.get(task, ())
    return ()


def published_file(task: str) -> str:
    """The published file of `task`, as the lock names it: in a folder named like its configuration, or so named."""
    config = CONFIGS[task]
    for name in source(PUBLISHED).files:
        if config in (name.split("/")[0], Path(name).stem):
            return name
    raise UserError(f"{LOCK.name}: {PUBLISHED}.files: none is of {config}, which holds {task}; list it")
