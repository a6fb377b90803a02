"""The quirks of the published evaluation, one by one: `strict` and `clean` have none of them.

A metric of `scbench.scoring` takes the quirks that are switched on, so that each can be switched on alone and its
effect measured; `compat` has all that a metric has. Quirks of prompts are switched on by a study's `prompts`
(`scbench.quirked`). Here is what each is called and does; a table can name them without loading the metrics.
"""

from dataclasses import dataclass

from scbench.tasks import NAMES


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


@dataclass(frozen=True)
class PromptQuirk(Quirk):
    """A quirk of what a model is asked, so that only asking anew shows what it does.

    modes: those whose prompts it touches. golden: it touches golden answers alone.
    """

    modes: tuple[str, ...]
    golden: bool = False

    def touches(self, task: str, mode: str) -> bool:
        """Whether it changes what `task` asks in `mode`."""
        return task in self.tasks and mode in self.modes


# Those that a study's `prompts` can switch on, by number.
OF_PROMPTS = (
    PromptQuirk(
        "last_target",
        "B4",
        "Every follow-up of Math.Find names the target of the last turn",
        ("math_find",),
        ("multi_turn",),
    ),
    PromptQuirk(
        "first_question",
        "B5",
        "The context of Math.Find begins with the first question",
        ("math_find",),
        ("multi_request",),
    ),
    PromptQuirk(
        "list_as_text",
        "B11",
        "Golden answers of Retr.MultiHop are shown as a Python list",
        ("retr_multihop",),
        ("multi_turn",),
        golden=True,
    ),
    PromptQuirk(
        "this_paper",
        "B12",
        "Follow-ups of En.Sum begin the answer, its first turn does not",
        ("en_sum",),
        ("multi_turn",),
    ),
    PromptQuirk(
        "two_begins", "B14", "A prompt begins with two begin tokens", tuple(NAMES), ("multi_turn", "multi_request")
    ),
)


def switched_on(prompts: str) -> tuple[PromptQuirk, ...]:
    """The quirks that a study's `prompts` switches on in the profile that it begins with."""
    names = prompts.split("+")[1:]
    return tuple(quirk for quirk in OF_PROMPTS if quirk.name in names)
