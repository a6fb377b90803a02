"""Which sparse pattern suits each head of a model, found on one session before a study uses it (MInference, 2024).

The session passes through the model with exact attention. In each layer every candidate is tried on every head, all of
them with about as many keys, and a head gets the one whose output is nearest to the exact one.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from scbench import codedigest, trainkey
from scbench.canonical import digest_value
from scbench.engines import CORE_MODULES
from scbench.errors import UserError
from scbench.methods import make
from scbench.methods.full import Full
from scbench.methods.generation.head_patterns import HeadPattern
from scbench.methods.generation.minference import MInference
from scbench.models import Model
from scbench.sessions import Session
from scbench.tasks import TASKS, Scale
from scbench.versions import version

if TYPE_CHECKING:
    from torch import Tensor

    from scbench.kv import Chunk

# The authors' search space; of their sizes the proportions are taken, since all candidates see as many keys.
CANDIDATES = (
    HeadPattern("stream", 100, 800),
    HeadPattern("vertical_slash", 30, 800),
    HeadPattern("vertical_slash", 100, 750),
    HeadPattern("vertical_slash", 500, 700),
    HeadPattern("vertical_slash", 3500, 100),
    HeadPattern("vertical_slash", 1000, 4096),
    HeadPattern("block_sparse"),
)
BUDGET = 1 / 8

# Look-ups, as the authors take; entities of the training half, which no session of a study holds.
TASK, SPLIT, SEED, INDEX = "retr_kv", "train", -2, 0

LIBRARIES = ("torch", "transformers", "tokenizers")
CODE = ("scbench.patternsearch", "scripts.search_patterns", *CORE_MODULES, *MInference.modules)


@dataclass(frozen=True, kw_only=True)
class Searching(Full):
    """Full attention that tries the candidates on the way.

    tried: as MInference takes them, of its sizes. errors, keys: of each layer, in order, for each query head and
    candidate: the distance of its output to the exact one, relative to that one's norm, and the pairs it saw.
    """

    whole_prompt = True

    tried: MInference
    errors: list[list[list[float]]] = field(default_factory=list)
    keys: list[list[list[int]]] = field(default_factory=list)

    def encode(self, chunk: "Chunk") -> "Tensor":
        import torch

        from scbench.kv.sparse_prefill import attend
        from scbench.methods.generation.head_masks import head_masks

        exact = chunk.dense()
        norms = exact[0].float().norm(dim=(1, 2))
        errors, keys = [], []
        for candidate in CANDIDATES:
            patterns = [candidate] * len(norms)
            (mask,) = head_masks(chunk.q, chunk.k, chunk.scaling, patterns, self.tried.taken())
            output = attend(chunk.q, chunk.k, chunk.v, mask, chunk.scaling)
            errors.append((output - exact)[0].float().norm(dim=(1, 2)) / norms)
            keys.append(mask.pairs)
        self.errors.append(torch.stack(errors, dim=1).tolist())
        self.keys.append(torch.stack(keys, dim=1).tolist())
        return exact


def fields(model: Model, tokens: int) -> dict[str, Any]:
    """What decides the patterns of `model` at a context of `tokens` tokens on any machine."""
    return {
        "model": trainkey.planned(model),
        "tokens": tokens,
        "budget": BUDGET,
        "candidates": [asdict(candidate) for candidate in CANDIDATES],
        "session": {"task": TASK, "split": SPLIT, "seed": SEED, "index": INDEX},
        "code": codedigest.digest({*CODE, *codedigest.closure([f"scbench.tasks.{TASK}"])}),
        "libraries": {name: version(name) for name in LIBRARIES},
    }


def digest(model: Model, tokens: int) -> str:
    """sha256 of the fields."""
    return digest_value(fields(model, tokens))


def seconds(model: Model, tokens: int) -> float:
    """Estimated seconds of a search: each candidate costs a prefill or less, on a CPU a few."""
    return model.seconds.load + tokens / 1000 * model.seconds.prefill_1k * 4 * (1 + len(CANDIDATES))


def search(model: Model, tokens: int, count: Callable[[str], int], **machine: Any) -> dict[str, Any]:
    """The patterns of `model`, whose files are known, at a context of `tokens` tokens; as a pattern file holds them.

    count: tokens in a text. machine: threads, device and dtype as of `scbench.engines.load`.
    Raises UserError where the model cannot take so long a session.
    """
    if tokens > model.context:
        raise UserError(f"--tokens {tokens} is above the {model.context} that {model.name} can take; give less")
    from scbench import engines
    from scbench.prompts import encode

    model.verify()
    engine = engines.load(model.spec(), **machine)
    session = TASKS[TASK].build(Scale(tokens=tokens, turns=1, count=count, split=SPLIT), SEED, INDEX)
    prompt = encode(
        session,
        "multi_turn",
        engine.tokenizer,
        profile="clean",
        max_prompt_tokens=model.context,
        scale_name="mini",
        model_stop_ids=engine.stop_ids,
    )
    searching = Searching(budget=1.0, tried=make(MInference.name, {"budget": BUDGET}, tokens))
    talk = engine.start(searching, len(prompt.first))
    talk.prefill(prompt.first)
    talk.close()
    return {
        "model": model.name,
        "files": dict(model.files),
        "tokens": tokens,
        "budget": BUDGET,
        "session": _described(session, len(prompt.first)),
        "machine": {"device": engine.shape.device.type, "dtype": str(engine.shape.dtype)},
        "versions": {name: version(name) for name in LIBRARIES},
        "candidates": [asdict(candidate) for candidate in CANDIDATES],
        "keys_per_row": [[[pairs / len(prompt.first) for pairs in head] for head in layer] for layer in searching.keys],
        "errors": searching.errors,
        "patterns": [[asdict(best(head)) for head in layer] for layer in searching.errors],
    }


def best(errors: list[float]) -> HeadPattern:
    """The candidate with the least of `errors`, the first of equal ones."""
    return CANDIDATES[errors.index(min(errors))]


def _described(session: Session, prompt_tokens: int) -> Mapping[str, Any]:
    """What leads back to the session."""
    where = {"task": TASK, "split": SPLIT, "seed": SEED, "index": INDEX}
    return where | {"digest": session.digest, "prompt_tokens": prompt_tokens}
