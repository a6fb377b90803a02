"""The quirks of the published scorers, one by one: `strict` has none of them, `compat` all that a metric has.

A metric of `scbench.scoring` takes the quirks that are switched on, so that each can be switched on alone and its
effect measured. Here is what each is called and does; a table can name them without loading the metrics.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Quirk:
    """One way in which the published evaluation differs from what it means to measure.

    name: what files call it. defect: its number in docs/defects.md; empty of those without one. sentence: what it does.
    tasks: those whose turns it can touch, the needle of Mix.Sum+NIAH among them.
    """

    name: str
    defect: str
    sentence: str
    tasks: tuple[str, ...]


FIELD_NAMES = Quirk(
    "field_names",
    "B3",
    "Values of multi-request Mix.RepoQA+KV are searched for among the names of fields, where none can be found",
    ("retr_kv",),
)
CHARACTERS = Quirk(
    "characters",
    "B6",
    "A gold that is one string is read as a list of its characters, any of which is enough",
    ("zh_qa", "icl_manyshot"),
)
FILE_POOL = Quirk(
    "file_pool",
    "B7",
    "A function competes with those of its repository that the file of answers asks for, not with its session's",
    ("code_repoqa",),
)
GRAMMARS = Quirk(
    "grammars",
    "B8",
    "PHP functions, methods of Go and C++ and constructors are not found in the code around them",
    ("code_repoqa",),
)
CHOICE_PARSER = Quirk(
    "choice_parser",
    "B9",
    "An answer that begins with A, B, C or D chooses that letter; one in lower case or in brackets chooses none",
    ("en_multichoice",),
)
ROUNDED = Quirk("rounded", "B10", "The share of variables found is rounded to two decimals", ("retr_multihop",))
UNSIGNED = Quirk(
    "unsigned", "B10", "A number is read without its sign, up to a separator and out of words too", ("math_find",)
)
NUMBER_LABEL = Quirk(
    "number_label", "B25", "A needle whose gold is stored as a number and not as text is never found", ("needle",)
)
FENCES = Quirk(
    "fences",
    "",
    "A block of code is seen only where its fences start lines and are closed, with a plain tag",
    ("code_repoqa",),
)
FIRST_FUNCTION = Quirk(
    "first_function",
    "",
    "Only the first function is compared, without its decorators; of equals the first wins, and short ones fail",
    ("code_repoqa",),
)
RAW_TEXT = Quirk("raw_text", "", "Articles, punctuation and the number of spaces count", ("en_qa",))
PARTS = Quirk(
    "parts",
    "",
    "A gold counts within a longer string or word",
    ("retr_kv", "retr_prefix_suffix", "retr_multihop", "en_qa"),
)
SIGNS = Quirk("signs", "", "Only a list of Chinese signs is deleted, and full-width letters differ", ("zh_qa",))
CUT_DECIMALS = Quirk(
    "cut_decimals", "", "The decimals of an answer are cut off where the gold is an integer", ("math_find",)
)
FIRST_DIGITS = Quirk("first_digits", "", "Digits of a word or of a decimal are read as the needle", ("needle",))

# Those of the metrics, by number.
OF_METRICS = (
    *(FIELD_NAMES, CHARACTERS, FILE_POOL, GRAMMARS, CHOICE_PARSER, ROUNDED, UNSIGNED, NUMBER_LABEL),
    *(FENCES, FIRST_FUNCTION, RAW_TEXT, PARTS, SIGNS, CUT_DECIMALS, FIRST_DIGITS),
)
# Not a metric's: the published text of an answer differs.
SPECIAL_TOKENS = Quirk(
    "special_tokens",
    "B17",
    "The token that ends an answer is scored as a part of its text",
    (*dict.fromkeys(task for quirk in OF_METRICS for task in quirk.tasks), "en_sum"),
)
