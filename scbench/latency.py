"""What a method costs end to end: one session of random tokens, method by method, alone, unshared and turn after turn.

A study's runs share prefills and passes between methods and turns, so that their seconds belong to no single one. Here
a method goes through the same engine and the same conversation by itself: it encodes the first prompt, answers, takes
in its answer and the next question, and so on. The model is the study's own, or, where none is pinned, one of its shape
with random weights; either way the tokens are random, so that what a method chooses by their attention is not what it
would choose of a text.
"""

import gc
import json
import os
import platform
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING, Any

from scbench import cellkey, codedigest, engines, trainkey
from scbench.canonical import digest_value
from scbench.engines import CORE_MODULES
from scbench.errors import UserError
from scbench.methods import Method, find, make
from scbench.models import Model
from scbench.places import ROOT, STORE
from scbench.provenance.observation import hardware
from scbench.study import Row, Study, resolve
from scbench.versions import version

if TYPE_CHECKING:
    from scbench.engines.transformers import TransformersEngine
    from scbench.modes import TurnOutput
    from scbench.prompts import EncodedSession

SHAPES = ROOT / "resources" / "shapes"
"""Configurations by the names of models, as transformers reads them; for models that are not pinned."""

MEASURED = STORE / "latency"
"""One file a method that was measured, by its key: what a run that was stopped goes on from."""

CODE = ("scbench.latency", "scbench.engines.random_weights")
LIBRARIES = (*cellkey.LIBRARIES, "triton")
MODE = "multi_turn"
QUESTION, ANSWER, WARM_UPS, REPETITIONS = 64, 64, 1, 3
"""What a `Protocol` has where nobody asks for other numbers."""

UNITS = {"bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
WANTED = re.compile(r"[Tt]ried to allocate ([\d.]+) (bytes|KiB|MiB|GiB)")
"""How PyTorch says what it could not have, on CUDA and in main memory."""

UNSAID = re.compile(r"CUDA error: out of memory|CUBLAS_STATUS_ALLOC_FAILED")
"""How libraries below it say that there was not enough."""


@dataclass(frozen=True, slots=True)
class Protocol:
    """How sessions are measured.

    tokens: a whole session with its last answer; turns; question, answer: tokens of each, every answer of just as many;
    warm_ups, repetitions: sessions before the first that counts, and sessions that count, each of tokens of its own.
    """

    tokens: int
    turns: int
    question: int
    answer: int
    warm_ups: int
    repetitions: int

    def __post_init__(self) -> None:
        least = {"turns": 1, "question": 1, "answer": 2, "warm_ups": 0, "repetitions": 1}
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise UserError(
                    f"{name.replace('_', '-')}: {getattr(self, name)} is below {bound}; give {bound} or more"
                )
        if self.first <= self.question:
            raise UserError(
                f"data.tokens: {self.tokens} leaves no context beside {self.turns} turns of {self.question} + "
                f"{self.answer} tokens; give more, or shorter questions and answers"
            )

    @property
    def first(self) -> int:
        """Tokens of the first prompt: the context and the first question."""
        return self.tokens - self.answer - (self.turns - 1) * (self.question + self.answer)

    @property
    def sessions(self) -> int:
        """Sessions that a method goes through."""
        return self.warm_ups + self.repetitions

    def session(self, number: int, vocabulary: int) -> "EncodedSession":
        """The session `number`, of tokens below `vocabulary`; no token ends an answer."""
        from scbench.prompts import EncodedSession

        draw = random.Random(number)
        first, *later = (
            tuple(draw.randrange(vocabulary) for _ in range(count))
            for count in (self.first, *[self.question] * (self.turns - 1))
        )
        return EncodedSession(
            MODE,
            first,
            queries=((), *later),
            answers=((),) * self.turns,
            max_new_tokens=(self.answer,) * self.turns,
            stop_ids=frozenset(),
            dropped_tokens=0,
            evidence_kept=(None,) * self.turns,
            question=self.question,
        )


@dataclass(frozen=True, slots=True)
class Run:
    """One session: seconds to the first token of the first turn, and of a later one (None where there is none), seconds
    a decoded token, seconds a turn, the first with its prefill; and bytes: the peak of the memory that `memory_of`
    names, KV held in the last turn, and that of full attention in 16 bits."""

    first_token_seconds: float
    next_token_seconds: float | None
    seconds_per_token: float
    seconds_per_turn: float
    peak_bytes: int | None
    kv_bytes: int
    kv_bytes_dense: int


def rows_of(study: Study, model: Model) -> list[Row]:
    """The rows of `study` that are measured: all but the question without its context."""
    return [row for row in study.rows(model) if row.with_context]


def shape_of(model: Model) -> dict[str, Any] | None:
    """The configuration to draw `model` from; None where its files are pinned. Raises UserError without either."""
    if model.files:
        return None
    path = SHAPES / f"{model.name}.json"
    if not path.is_file():
        raise UserError(
            f"--model {model.name}: it has no pinned files, and there is no {path.name} in resources/shapes to draw it "
            "from; add its config.json there"
        )
    return json.loads(path.read_text(encoding="utf-8"))


def protocol_of(
    study: Study,
    question: int = QUESTION,
    answer: int = ANSWER,
    warm_ups: int = WARM_UPS,
    repetitions: int = REPETITIONS,
) -> Protocol:
    """The protocol of sessions as long as the contexts of `study`, with as many turns as it has."""
    return Protocol(study.context_tokens, study.data.turns, question, answer, warm_ups, repetitions)


def seconds(study: Study) -> float:
    """Estimated seconds of a measurement of the study's first model, loading included; a slow method may double it."""
    model = study.models[0]
    session = study.context_tokens / 1000 * model.seconds.prefill_1k + study.data.turns * ANSWER * model.seconds.decode
    return model.seconds.load + 2 * len(rows_of(study, model)) * (WARM_UPS + REPETITIONS) * session


def load(study: Study, model: Model) -> "TransformersEngine":
    """The engine of `model` on the study's device: its pinned files, or random weights in its shape."""
    shape, execution = shape_of(model), study.execution
    machine = {"threads": execution.threads, "device": execution.device, "dtype": execution.dtype}
    if shape is None:
        model.verify()
        engine = engines.load(model.spec(), **machine)
    else:
        from scbench.engines.random_weights import RandomWeightsEngine

        engine = RandomWeightsEngine({"name": model.name, "shape": shape}, **machine)
    engine.prefill_chunk = execution.prefill_chunk
    return engine


def fields(study: Study, model: Model, row: Row, protocol: Protocol) -> dict[str, Any]:
    """What a measurement of `row` is of, the machine aside."""
    return {
        "protocol": asdict(protocol),
        "model": shape_of(model) or trainkey.planned(model),
        "method": {"method": row.method} | resolve(study, row),
        "dtype": study.execution.dtype,
        "prefill_chunk": study.execution.prefill_chunk,
        "libraries": {name: version(name) for name in LIBRARIES},
        "code": codedigest.digest((*CORE_MODULES, *find(row.method).modules, *CODE)),
    }


def kept_in(study: Study, model: Model, row: Row, protocol: Protocol) -> Path:
    """The file of a measurement of `row` on this machine: where it is, none is taken again."""
    machine = cellkey.machine(study) | {"cpu": hardware()["cpu"]}
    return MEASURED / f"{digest_value(fields(study, model, row, protocol) | {'machine': machine})}.json"


def digest(study: Study) -> str:
    """sha256 of what the measurements of the study's first model are of."""
    model, protocol = study.models[0], protocol_of(study)
    return digest_value({row.label: fields(study, model, row, protocol) for row in rows_of(study, model)})


def measure(
    engine: "TransformersEngine", study: Study, row: Row, protocol: Protocol, passed: Callable[[int], None]
) -> dict[str, Any]:
    """What `row` costs: medians with their quartiles over the repetitions, or why there are none.

    passed: told of each session that is done. Memory that runs out ends the row, with the bytes that it wanted.
    """
    method = make(row.method, row.settings, study.context_tokens)
    if method.shortens:
        passed(protocol.sessions)
        return {"left_out": "it shortens a text before it is encoded, and random tokens are none"}
    vocabulary, runs = engine.model.config.vocab_size, []
    for number in range(protocol.sessions):
        try:
            run = _run(engine, method, protocol.session(number, vocabulary))
        except UserError as error:
            passed(protocol.sessions - number)
            return {"left_out": str(error)}
        except RuntimeError as error:
            if (wanted := wanted_bytes(error)) is None:
                raise
            passed(protocol.sessions - number)
            return {"out_of_memory": {"wanted_bytes": wanted, "peak_bytes": _peak(engine)}}
        if number >= protocol.warm_ups:
            runs.append(run)
        passed(1)
    return _summary(runs)


def about(study: Study, model: Model, protocol: Protocol) -> dict[str, Any]:
    """What a reader must know besides the figures."""
    import torch

    from kernels import flash

    device = torch.device(cellkey.device_name(study.execution.device))
    return {
        "study": study.name,
        "model": model.name,
        "weights": "pinned" if shape_of(model) is None else "random",
        "device": torch.cuda.get_device_name() if device.type == "cuda" else hardware()["cpu"] or platform.machine(),
        "date": today(),
        "dtype": study.execution.dtype,
        "attention": flash.backend(getattr(torch, study.execution.dtype), device),
        "memory": memory_of(device.type),
        "machine": hardware()
        | {"cores": os.cpu_count(), "threads": study.execution.threads}
        | {"load_average": round(os.getloadavg()[0], 1)},
        "versions": {name: found for name in LIBRARIES if (found := version(name))},
        "protocol": asdict(protocol),
    }


def today() -> str:
    """The date, as measurements record it."""
    return datetime.now(UTC).date().isoformat()


def memory_of(device: str) -> str:
    """Whose peak is recorded: the allocations on a GPU, or of a CPU the process with all that it has loaded."""
    return "allocated on the GPU" if device == "cuda" else "resident of the process"


def wanted_bytes(error: RuntimeError) -> int | None:
    """The bytes that could not be allocated, 0 where it is not said how many; None of an error of another kind."""
    if found := WANTED.search(str(error)):
        return round(float(found[1]) * UNITS[found[2]])
    return 0 if UNSAID.search(str(error)) else None


def _run(engine: "TransformersEngine", method: Method, session: "EncodedSession") -> Run:
    from scbench.engines.chunks import ChunkCache
    from scbench.modes import Request, run_session

    engine.chunks = ChunkCache()  # what other methods and sessions kept is no part of this one
    _forget_peak(engine)
    # The history is generated, so that turns are answered one after the other, as nobody knows the next one's prompt.
    asked = [Request(method, MODE, method.name)]
    ((_, turns),) = run_session(engine, {MODE: session}, asked, share_prefill=False, history="generated")
    return _of(turns, _peak(engine))


def _of(turns: Sequence["TurnOutput"], peak: int | None) -> Run:
    decoded = sum(turn.new_tokens - 1 for turn in turns)  # the first token comes with its prompt
    decoding = sum(turn.decode_seconds for turn in turns)
    later = [turn.prompt_seconds for turn in turns[1:]]
    return Run(
        first_token_seconds=turns[0].prompt_seconds,
        next_token_seconds=sum(later) / len(later) if later else None,
        seconds_per_token=decoding / decoded,
        seconds_per_turn=(decoding + turns[0].prompt_seconds + sum(later)) / len(turns),
        peak_bytes=peak,
        kv_bytes=turns[-1].kv_bytes,
        kv_bytes_dense=turns[-1].kv_bytes_dense,
    )


def _summary(runs: Sequence[Run]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in Run.__dataclass_fields__:
        values = [getattr(run, name) for run in runs]
        if None in values:
            found[name] = None
        else:
            found[name] = _spread(values) if "seconds" in name else max(values)
    return found


def _spread(values: Sequence[float]) -> Mapping[str, float]:
    low, median, high = quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    return {"median": median, "low": low, "high": high}


def _forget_peak(engine: "TransformersEngine") -> None:
    import torch

    gc.collect()
    if engine.shape.device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    elif os.access("/proc/self/clear_refs", os.W_OK):
        Path("/proc/self/clear_refs").write_text("5")  # Linux: the peak is counted anew


def _peak(engine: "TransformersEngine") -> int | None:
    import torch

    if engine.shape.device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    if not os.access("/proc/self/clear_refs", os.W_OK):
        return None  # a peak that is not counted anew would be that of another method
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) * 1024 if found else None
