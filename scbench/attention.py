"""Where a model looks while it answers look-ups, turn by turn: what the paper's Figure 6 is drawn from.

One session of Retr.KV passes through a model with exact attention and golden history. Of every head is kept how much
attention the rows that predict a turn's answer give each pair of the context, and which tokens they attend to most.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate, combinations, product
from statistics import fmean
from typing import TYPE_CHECKING, Any

from scbench import codedigest, trainkey
from scbench.cellkey import QUIRK_MODULES, prompt_limit
from scbench.costs import session_seconds
from scbench.engines import CORE_MODULES
from scbench.errors import UserError
from scbench.methods.full import Full
from scbench.models import Model
from scbench.plan import job_minutes
from scbench.sessions import Session
from scbench.study import Study
from scbench.versions import version

if TYPE_CHECKING:
    from torch import Tensor

    from scbench.kv import Step
    from scbench.prompts import EncodedSession

TASK = "retr_kv"
JOB = "infer_attention"  # a job of inference, which a study that cannot run yet does not start
HEADS = 4  # drawn: those whose rows give the pair that holds the answer most attention, on average over the turns
TOP = 32  # tokens of a set of most attended ones
MOST_ROWS = 32  # of a turn, from the one that predicts the answer's first token on
PAIR = re.compile(r'"[^"\n]+": "[^"\n]+"')
DIGITS = 6

LIBRARIES = ("torch", "transformers", "tokenizers")
CODE = ("scbench.attention", "scripts.record_attention", *QUIRK_MODULES, *CORE_MODULES, *Full.modules)


@dataclass(frozen=True, kw_only=True)
class Watching(Full):
    """Full attention that keeps what chosen rows attend to in the first prompt.

    blocks: ranges [start, stop) of its tokens; rows: of the pass to come, those to keep, changed from turn to turn.
    mass, tops: a list a layer, of a tensor a turn: [rows, query_heads, blocks], and [rows, query_heads, TOP] positions.
    """

    blocks: list[tuple[int, int]]
    rows: list[int] = field(default_factory=list)
    mass: dict[int, list["Tensor"]] = field(default_factory=dict)
    tops: dict[int, list["Tensor"]] = field(default_factory=dict)

    def load(self, step: "Step") -> "Tensor":
        import torch

        starts, stops = (torch.tensor(side) for side in zip(*self.blocks, strict=True))
        mass, tops = [], []
        for row in self.rows:
            given = _probabilities(step, row)[:, : step.prompt]
            # On the host: CUDA has no deterministic running sum.
            upto = torch.nn.functional.pad(given.double().cpu().cumsum(1), (1, 0))
            mass.append((upto[:, stops] - upto[:, starts]).float())
            tops.append(given.topk(min(TOP, step.prompt), dim=1).indices.cpu())
        self.mass.setdefault(step.layer, []).append(torch.stack(mass))
        self.tops.setdefault(step.layer, []).append(torch.stack(tops))
        return step.dense()


def _probabilities(step: "Step", row: int) -> "Tensor":
    """What row `row` gives each key that it sees: [query_heads, keys], float32."""
    seen = step.k.shape[2] - step.rows + row + 1
    grouped = step.q[0, :, row].unflatten(0, (step.k.shape[1], -1))
    logits = grouped.float() @ step.k[0, :, :seen].float().transpose(1, 2) * step.scaling
    return logits.flatten(0, 1).softmax(dim=1)


def chosen_model(study: Study) -> Model | None:
    """The first model of `study` that consists of attention layers and runs in one process; None without one."""
    return next((model for model in study.models if model.engine == "transformers" and model.gpus <= 1), None)


def lacking(study: Study) -> str:
    """Why `study` shows no attention, a sentence; empty where it does."""
    if TASK not in study.tasks:
        return f"The study has no task {TASK}, whose look-ups this figure follows."
    if "multi_turn" not in study.modes:
        return "The study has no multi-turn sessions, which this figure follows."
    if chosen_model(study) is None:
        return "No model of the study has attention in every layer and runs in one process."
    return ""


def seconds(study: Study, model: Model) -> float:
    """Estimated seconds of a recording: one session with one method."""
    return model.seconds.load + session_seconds(study, model, TASK, cells=1, prefills=1)


def minutes(study: Study) -> int:
    """The time that the job is planned to take."""
    model = chosen_model(study)
    return 1 if model is None else job_minutes(study, seconds(study, model))


def fields(study: Study) -> dict[str, Any]:
    """What decides a recording besides the sessions."""
    model = chosen_model(study)
    if lacking(study) or model is None:
        return {"lacks": lacking(study)}
    return {
        "model": trainkey.planned(model),
        "max_prompt_tokens": prompt_limit(study, model),
        "prompts": study.prompts,
        "dtype": study.execution.dtype,
        "settings": {"task": TASK, "heads": HEADS, "top": TOP, "rows": MOST_ROWS, "pair": PAIR.pattern},
        "code": codedigest.digest(CODE),
        "libraries": {name: version(name) for name in LIBRARIES},
    }


def record_attention(study: Study, model: Model, sessions: Iterable[Session]) -> dict[str, Any]:
    """What `model`, whose files are known, attends to in the first of `sessions` of which it sees every answer.

    heads: {layer, head, evidence (a turn each), within, between}, of every head; `evidence` is the attention that the
    rows of a turn give the pair that holds its answer, `within` and `between` are the shares of the most attended
    tokens that two rows of one turn, or of two turns, have in common. drawn: of `HEADS` heads `mass` by turn and pair.
    Raises UserError for a model without attention layers, or where every session lost an answer.
    """
    if model.engine != "transformers":
        raise UserError(
            f"{model.name}: engine {model.engine}, a model without attention in every layer, so that there are no "
            "attention maps of it; put a model of engine transformers into the study"
        )
    from scbench import engines

    model.verify()
    how = study.execution
    engine = engines.load(model.spec(), threads=how.threads, device=how.device, dtype=how.dtype)
    session, encoded, blocks, evidence = _first_whole(study, model, sessions, engine)
    watching = Watching(budget=1.0, blocks=blocks)
    _ask(engine, encoded, watching)
    heads = _heads(watching, evidence)
    chosen = sorted(heads, key=lambda head: (-fmean(head["evidence"]), head["layer"], head["head"]))[:HEADS]
    return {
        "model": model.name,
        "title": model.title,
        "session": {"sid": session.sid, "digest": session.digest, "prompt_tokens": len(encoded.first)},
        "top": TOP,
        "pairs": len(blocks),
        "evidence": evidence,
        "heads": heads,
        "drawn": [head | {"mass": _by_turn(watching, head["layer"], head["head"])} for head in chosen],
    }


def _first_whole(
    study: Study, model: Model, sessions: Iterable[Session], engine: Any
) -> tuple[Session, "EncodedSession", list[tuple[int, int]], list[int]]:
    """The first session that lost no answer to the cut of its prompt; its pairs as ranges of tokens of the context, and
    which of them hold the answers of its turns."""
    from scbench.quirked import encode_asked

    for session in sessions:
        encoded = encode_asked(
            session,
            "multi_turn",
            engine.tokenizer,
            prompts=study.prompts,
            max_prompt_tokens=prompt_limit(study, model),
            scale_name=study.data.scale,
            model_stop_ids=engine.stop_ids,
        )
        pieces = [engine.tokenizer.decode([token]) for token in encoded.first[: -encoded.question]]
        ends = list(accumulate(map(len, pieces)))
        found = list(PAIR.finditer("".join(pieces)))
        evidence = [_holding(turn.golds[0], [pair.group() for pair in found]) for turn in session.turns]
        if found and None not in evidence:
            blocks: list[tuple[int, int]] = []
            for pair in found:
                start, stop = _tokens(pair.span(), ends)
                # A token that two pairs share is the first one's.
                blocks.append((max(start, blocks[-1][1]) if blocks else start, stop))
            return session, encoded, blocks, [int(pair) for pair in evidence]
    raise UserError(
        f"models.{model.name}: no session of {TASK} shows it all of its answers, the contexts are cut to "
        f"{prompt_limit(study, model)} tokens; lower data.tokens"
    )


def _holding(gold: str, pairs: list[str]) -> int | None:
    return next((number for number, pair in enumerate(pairs) if pair.endswith(f'"{gold}"')), None)


def _tokens(span: tuple[int, int], ends: list[int]) -> tuple[int, int]:
    """The tokens that the characters [start, stop) are in, given where each token's text ends."""
    start = next(number for number, end in enumerate(ends) if end > span[0])
    stop = next(number for number, end in enumerate(ends) if end >= span[1])
    return start, stop + 1


def _ask(engine: Any, encoded: "EncodedSession", watching: Watching) -> None:
    """Pass the session through the model: the context as the first prompt, then each question with its answer."""
    cut = len(encoded.first) - encoded.question
    questions = (encoded.first[cut:], *encoded.queries[1:])
    rest = sum(map(len, questions)) + sum(map(len, encoded.answers))
    talk = engine.start(watching, cut, cut + rest)
    talk.prefill(encoded.first[:cut])
    talk.seal()
    for question, answer in zip(questions, encoded.answers, strict=True):
        first = len(question) - 1
        watching.rows[:] = range(first, first + min(len(answer), MOST_ROWS))
        talk.append(question + answer)
    talk.close()


def _by_turn(watching: Watching, layer: int, head: int) -> list[list[float]]:
    """The attention that a head gives each pair in each turn, the mean of the turn's rows."""
    return [[round(value, DIGITS) for value in turn[:, head].mean(0).tolist()] for turn in watching.mass[layer]]


def _heads(watching: Watching, evidence: list[int]) -> list[dict[str, Any]]:
    found = []
    for layer, turns in sorted(watching.mass.items()):
        for head in range(turns[0].shape[1]):
            given = [turn[:, head, pair].mean().item() for turn, pair in zip(turns, evidence, strict=True)]
            tops = [[set(row) for row in turn[:, head].tolist()] for turn in watching.tops[layer]]
            found.append(
                {"layer": layer, "head": head, "evidence": [round(value, DIGITS) for value in given]} | _overlaps(tops)
            )
    return found


def _overlaps(turns: list[list[set[int]]]) -> Mapping[str, float | None]:
    """The mean share of their tokens that two rows have in common, of one turn and of two; None without such rows."""
    within = [_shared(*rows) for turn in turns for rows in combinations(turn, 2)]
    between = [_shared(*rows) for pair in combinations(turns, 2) for rows in product(*pair)]
    return {
        name: round(fmean(shares), DIGITS) if shares else None
        for name, shares in (("within", within), ("between", between))
    }


def _shared(one: set[int], other: set[int]) -> float:
    return len(one & other) / len(one)
