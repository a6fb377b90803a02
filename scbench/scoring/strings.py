"""String retrieval: is the value, are the variables, in the answer? (Retr.KV, Retr.Prefix-Suffix, Retr.MultiHop)"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from scbench.quirks import FIELD_NAMES, PARTS, ROUNDED, Quirk
from scbench.scoring.metric import Metric, Scorer
from scbench.scoring.normalise import stands

# Characters that would make an occurrence a part of a longer string. Keys and values are UUIDs or letter-digit codes;
# the strings of Retr.Prefix-Suffix are drawn from the code points `A` to `z`, six signs among them.
_UUID = r"\w-"
_A_TO_Z = r"\w\-\[\\\]^`"


def _value_in(alphabet: str) -> Scorer:
    def score(prediction: str, golds: Sequence[str], meta: Mapping[str, Any], quirks: Collection[Quirk]) -> float:
        """1 if a gold stands in the answer as a string of its own, case included."""
        if PARTS in quirks:
            return float(any(gold in prediction for gold in golds))
        return float(any(stands(gold, prediction, alphabet) for gold in golds))

    return score


_uuid_in = _value_in(_UUID)


def _key_value(prediction: str, golds: Sequence[str], meta: Mapping[str, Any], quirks: Collection[Quirk]) -> float:
    """As above. The published scorer of multi-request Mix.RepoQA+KV is handed whole records."""
    if FIELD_NAMES in quirks and (meta.get("mode"), meta.get("session_task")) == ("multi_request", "mix_repoqa_kv"):
        return 0.0
    return _uuid_in(prediction, golds, meta, quirks)


def _variables(prediction: str, golds: Sequence[str], meta: Mapping[str, Any], quirks: Collection[Quirk]) -> float:
    """Share of the variables that occur as whole words, case aside. Order does not matter: the question asks for all
    variables of a value, not for the way from one to the next."""
    if PARTS in quirks:
        folded = prediction.lower()
        found = sum(gold.lower() in folded for gold in golds)
    else:
        found = sum(stands(gold, prediction, ignore_case=True) for gold in golds)
    share = found / len(golds)
    return round(share, 2) if ROUNDED in quirks else share


KEY_VALUE = Metric("value_inclusion", _key_value, (FIELD_NAMES, PARTS))
AFFIXES = Metric("string_inclusion", _value_in(_A_TO_Z), (PARTS,))
VARIABLES = Metric("variable_recall", _variables, (ROUNDED, PARTS))
