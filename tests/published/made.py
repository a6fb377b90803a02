"""Small rows in the schema of every published configuration, made up here, and parquet files of them."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

TEXT, WHOLE = pa.string(), pa.int64()
PAIRS = {"key-1": "5a1f-value", "key-2": "77c0-value"}
FUNCTIONS = {
    "add": "def add(left, right):\n    return left + right\n",
    "halve": "def halve(number):\n    return number / 2\n",
}


def _turn(**more: pa.DataType) -> pa.DataType:
    return pa.list_(pa.struct({"input": TEXT, "answer": TEXT} | more))


FUNCTION_FIELDS = {"name": TEXT, "path": TEXT, "description": TEXT, "func": TEXT}
FUNCTION_FIELDS |= {
    f"{prefix}{end}_{unit}": WHOLE
    for prefix in ("", "global_")
    for end in ("start", "end")
    for unit in ("line", "byte")
}
FUNCTION_FIELDS["code_ratio"] = pa.float64()
PLAIN = {"context": TEXT, "id": WHOLE, "multi_turns": _turn()}
SCHEMAS = {
    "retr_kv": PLAIN,
    "retr_prefix_suffix": {"context": TEXT, "multi_turns": _turn()},
    "retr_multihop": {
        "index": WHOLE,
        "input": TEXT,
        "length": WHOLE,
        "multi_turns": pa.list_(pa.struct({"input": TEXT, "answer": pa.list_(TEXT)})),
    },
    "code_repoqa": {"context": TEXT, "id": WHOLE, "lang": TEXT, "repo": TEXT, "multi_turns": _turn(**FUNCTION_FIELDS)},
    "en_qa": PLAIN,
    "zh_qa": PLAIN,
    "en_multichoice": {"context": TEXT, "id": WHOLE, "multi_turns": _turn(options=pa.list_(TEXT))},
    "icl_manyshot": {"context": TEXT, "id": WHOLE, "multi_turns": _turn(), "task": TEXT},
    "math_find": {
        "id": WHOLE,
        "context": pa.list_(WHOLE),
        "multi_turns": pa.list_(pa.struct({"input": TEXT, "answer": WHOLE})),
    },
    "en_sum": PLAIN,
    "mix_sum_niah": {"context": TEXT, "id": WHOLE, "multi_turns": _turn(task=TEXT)},
    "mix_repoqa_kv": {
        "context": TEXT,
        "id": WHOLE,
        "lang": TEXT,
        "repo": TEXT,
        "multi_turns": _turn(task=TEXT, **FUNCTION_FIELDS),
    },
}


def _function(name: str) -> dict[str, Any]:
    return {
        "input": f"It is called for {name}ing.",
        "answer": FUNCTIONS[name],
        "name": name,
        "path": f"src/{name}.py",
        "description": f"It is called for {name}ing.",
        "func": FUNCTIONS[name],
        "start_line": 0,
        "code_ratio": 0.5,
    }


def _pair(key: str) -> dict[str, Any]:
    return {"input": f'\nKey: "{key}"\nThe value associated with the specified key is: ', "answer": PAIRS[key]}


CODE = "# a\n" + "\n".join(FUNCTIONS.values())
JSON = "JSON data:\n{" + ", ".join(f'"{key}": "{value}"' for key, value in PAIRS.items()) + "}"
NUMBERS = [5, 999, 3, 3, 512]
EXTREME = "You should answer with only one number, no other words. The {} number of the list is"
ROWS: dict[str, dict[str, Any]] = {
    "retr_kv": {"context": JSON, "id": 7, "multi_turns": [_pair("key-1"), _pair("key-2")]},
    "retr_prefix_suffix": {
        "context": "Dictionary = ['AbCdEf', 'AbXyZ_', 'QqCdEf']",
        "multi_turns": [
            {
                "input": "Prefix: Ab; Suffix: Ef. The word with both prefix and suffix from the dict is",
                "answer": "AbCdEf",
            },
            {
                "input": "Prefix: Qq; Suffix: Ef. The word with both prefix and suffix from the dict is",
                "answer": "QqCdEf",
            },
        ],
    },
    "retr_multihop": {
        "index": 3,
        "input": "The grass is green. VAR AAAAA = 12345 The sky is blue. VAR BBBBB = VAR AAAAA \nVAR CCCCC = 54321 ",
        "length": 40,
        "multi_turns": [
            {"input": "Question: which are 12345?", "answer": ["AAAAA", "BBBBB"]},
            {"input": "Question: which are 54321?", "answer": ["CCCCC"]},
        ],
    },
    "code_repoqa": {
        "context": CODE,
        "id": 1,
        "lang": "python",
        "repo": "me/sums",
        "multi_turns": [_function("add"), _function("halve")],
    },
    "en_qa": {
        "context": "Ann met Bob. Bob met Cid.",
        "id": 2,
        "multi_turns": [{"input": "Whom did Ann meet?", "answer": "Bob"}, {"input": "And Bob?", "answer": "Cid"}],
    },
    "zh_qa": {
        "context": "张三遇见李四。李四遇见王五。",
        "id": 2,
        "multi_turns": [{"input": "张三遇见了谁？", "answer": "李四"}, {"input": "李四呢？", "answer": "王五"}],
    },
    "en_multichoice": {
        "context": "Ann met Bob.",
        "id": 2,
        "multi_turns": [
            {"input": "Whom did Ann meet?", "options": ["Dan", "Bob", "Eve", "Cid"], "answer": "Bob"},
            {"input": "Who met Bob?", "options": ["Dan", "Bob", "Eve", "Ann"], "answer": "Ann"},
        ],
    },
    "icl_manyshot": {
        "context": "Today is Monday. Tomorrow?\n(A) Sunday\n(B) Tuesday\nAnswer: (B)\n\n",
        "id": 4,
        "task": "date_understanding",
        "multi_turns": [{"input": "Today is Sunday. Tomorrow?", "answer": "C"}, {"input": "Yesterday?", "answer": "G"}],
    },
    "math_find": {
        "id": 5,
        "context": NUMBERS,
        "multi_turns": [
            {"input": EXTREME.format("largest"), "answer": 999},
            {"input": EXTREME.format("smallest"), "answer": 3},
        ],
    },
    "en_sum": {
        "context": "Paper 1: On caches. Paper 2: On grass.",
        "id": 6,
        "multi_turns": [
            {"input": "Please summarize Doc 1", "answer": "This paper is about caches."},
            {"input": "Please summarize Doc 2", "answer": "This paper is about grass."},
        ],
    },
    "mix_sum_niah": {
        "context": "Paper 1: On caches. The pass key is 71432. Remember it.",
        "id": 8,
        "multi_turns": [
            {"input": "Please summarize Doc 1", "answer": "This paper is about caches.", "task": "scbench_summary"},
            {"input": "What is the pass key?", "answer": "71432", "task": "scbench_passkey"},
        ],
    },
    "mix_repoqa_kv": {
        "context": CODE + JSON,
        "id": 9,
        "lang": "python",
        "repo": "me/sums",
        "multi_turns": [
            _function("add") | {"task": "scbench_repoqa"},
            _pair("key-2") | {"task": "scbench_kv"},
            _function("halve") | {"task": "scbench_repoqa"},
        ],
    },
}


def write_parquet(path: Path, task: str, rows: list[dict[str, Any]]) -> Path:
    """`rows` in the published schema of `task`, all in one row group as the hub's files are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema(SCHEMAS[task])), path)
    return path
