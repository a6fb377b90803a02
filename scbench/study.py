"""A study: which models, methods, tasks and modes are compared, on which data, and how.

A study file (config.yaml, studies/*.yaml) becomes a `Study` here or an error a user can act on. Nothing here imports a
deep-learning library: Snakemake reads the study each time it parses the workflow.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from scbench import corpus, engines
from scbench.errors import UserError
from scbench.methods import METHODS, find, make, parts_of
from scbench.methods.budget import read_budget
from scbench.models import LOCK, Model, read_models
from scbench.quirks import OF_PROMPTS, PromptQuirk
from scbench.schema import read_yaml, unknown, validate
from scbench.tasks import NAMES as TASK_NAMES
from scbench.tasks import TASKS

FLOOR = "no_context"  # the row of full attention that sees the question without its context
ITSELF = "full"  # the one row of a model whose own architecture is the method
PAPER_CONTEXT = 131_072  # tokens; what the paper's budgets are shares of
# The rows of the paper's comparison of histories (its Table 13).
HISTORY_METHODS = (ITSELF, "a_shape", "tri_shape", "streaming_llm", "minference")
LONGEST_NAME = 63  # characters, as config.schema.yaml says
OTHER_HISTORY = {"golden": "generated", "generated": "golden"}
PROMPTS = ("clean", "compat", *(f"clean+{quirk.name}" for quirk in OF_PROMPTS))
# How the names of studies end that run beside another (`twins`).
BESIDE = re.compile(rf"-({'|'.join(OTHER_HISTORY)}|prompts-\d+)$")

# The paper's methods; whether each starts from dense KV. What `scbench.methods` offers goes before this list.
PAPER_METHODS = {
    "full": True,
    "a_shape": False,
    "tri_shape": False,
    "minference": False,
    "streaming_llm": True,
    "snapkv": True,
    "pyramidkv": True,
    "kivi": True,
    "cacheblend": False,
    "quest": True,
    "retrieval_attention": True,
    "llmlingua2": False,
}


@dataclass(frozen=True)
class Data:
    """What the sessions are; the keys of `data` in a study file."""

    source: str
    scale: str
    tokens: int | None
    sessions: int | None
    turns: int
    order: str
    seed: int
    mirror: str | None
    corpus: str | None
    published: tuple[str, ...] = ()

    def source_of(self, task: str) -> str:
        """Where the sessions of `task` come from: `source`, or for the tasks of `published` that set."""
        return "published" if task in self.published else self.source


@dataclass(frozen=True)
class Execution:
    """How the work is cut into jobs and run.

    Of these keys `engine`, `dtype`, `prefill_chunk`, `threads` and `device` decide results.
    """

    engine: str
    granularity: str
    share_prefill: bool
    max_shard_minutes: float
    threads: int
    device: str
    prefill_chunk: int
    dtype: str


@dataclass(frozen=True)
class Row:
    """One row of a table within a model: a method, or two composed by their names, with its settings, under a label.

    settings: as the study gives them; of a composition a mapping a part. with_context is False for the floor alone.
    """

    label: str
    method: str
    settings: Mapping[str, Any]
    with_context: bool = True


@dataclass(frozen=True)
class Study:
    """A validated study; `origin` is the file it came from, `main_models` the models of Table 4 where it names them.

    limited: model -> the labels of its rows, of the models that run some of `methods` alone; both in the study's order.
    """

    name: str
    models: tuple[Model, ...]
    limited: Mapping[str, tuple[str, ...]]
    main_models: tuple[str, ...]
    methods: tuple[Row, ...]
    tasks: tuple[str, ...]
    modes: tuple[str, ...]
    query_aware: bool
    floor: bool
    check_baseline: bool
    data: Data
    prompts: str
    history: str
    both_histories: bool | int
    prompt_quirks: bool | int
    scoring: str
    execution: Execution
    paper: bool | str
    origin: str

    @property
    def context_tokens(self) -> int:
        """The context length that budgets are shares of."""
        return self.data.tokens or PAPER_CONTEXT

    def methods_of(self, model: Model) -> tuple[Row, ...]:
        """The rows of `methods` that `model` runs where it is not its own method: all, unless it is `limited`."""
        own = self.limited.get(model.name)
        return self.methods if own is None else tuple(row for row in self.methods if row.label in own)

    def rows(self, model: Model) -> tuple[Row, ...]:
        """The rows of `model`: its methods (the model itself where its architecture is the method), then the floor.

        The floor is not a method that a limit names: without it nothing says where a model's scores begin.
        """
        rows = self.methods_of(model) if model.engine == "transformers" else (Row(ITSELF, ITSELF, {}),)
        return rows + ((Row(FLOOR, ITSELF, {}, with_context=False),) if self.floor else ())

    def engine_of(self, model: Model) -> str:
        """The engine that runs `model`, as `engines.load` knows it."""
        return self.execution.engine if model.engine == "transformers" else model.engine

    @cached_property
    def pending(self) -> tuple[str, ...]:
        """What the study asks for and this version cannot run yet, in plain words."""
        missing = []
        if methods := [part for row in self.methods for part in parts_of(row.method) if part not in METHODS]:
            missing.append(f"methods {', '.join(dict.fromkeys(methods))}")
        rows = [row for row in self.methods if find(row.method) is not None]
        made = (make(row.method, row.settings, self.context_tokens) for row in rows)
        missing += dict.fromkeys(what for method in made for what in method.pending)
        if models := [model.name for model in self.models if not model.files and not model.awaited]:
            missing.append(f"pinned files of {', '.join(models)}")
        if tasks := [task for task in self.tasks if corpus.lacks_folder(self.data, task)]:
            missing.append(f"papers for {', '.join(tasks)} (name a folder of them in data.corpus)")
        return tuple(missing)

    def resolved(self) -> dict[str, Any]:
        """The study with every default filled in, in the form of a study file."""
        return {
            "study": self.name,
            "models": [_model_entry(model, self.limited.get(model.name)) for model in self.models],
            "main_models": list(self.main_models),
            "methods": {row.label: {"method": row.method} | dict(row.settings) for row in self.methods},
            "tasks": list(self.tasks),
            "modes": list(self.modes),
            "query_aware": self.query_aware,
            "floor": self.floor,
            "check_baseline": self.check_baseline,
            "data": asdict(self.data) | {"published": list(self.data.published)},
            "prompts": self.prompts,
            "history": self.history,
            "both_histories": self.both_histories,
            "prompt_quirks": self.prompt_quirks,
            "scoring": self.scoring,
            "execution": asdict(self.execution),
            "paper": self.paper,
        }


def read_study(path: str | Path) -> Study:
    """The study in the file at `path`."""
    return load_study(read_yaml(path), str(path))


def load_study(config: Mapping[str, Any], origin: str) -> Study:
    """The study that `config` describes. Raises UserError naming `origin`, the key, the value and the remedy."""
    config = validate(config, "config.schema.yaml", origin)
    for name in config["tasks"]:
        if name not in TASK_NAMES:
            raise unknown(origin, "tasks", name, TASK_NAMES)
    methods = tuple(_row(label, settings or {}, origin) for label, settings in config["methods"].items())
    study = Study(
        name=config["study"],
        models=_models(config["models"], origin),
        limited=_limited(config["models"], methods, origin),
        main_models=tuple(config["main_models"]),
        methods=methods,
        tasks=tuple(config["tasks"]),
        modes=tuple(config["modes"]),
        query_aware=config["query_aware"],
        floor=config["floor"],
        check_baseline=config["check_baseline"],
        data=Data(**config["data"] | {"published": tuple(config["data"]["published"])}),
        prompts=config["prompts"],
        history=config["history"],
        both_histories=config["both_histories"],
        prompt_quirks=config["prompt_quirks"],
        scoring=config["scoring"],
        execution=Execution(**config["execution"]),
        paper=config["paper"],
        origin=origin,
    )
    _check_data(study)
    _check_rows(study)
    _check_tables(study)
    for row in study.methods:
        _check_method(study, row)
    return study


def history_rows(study: Study) -> Study:
    """The part of `study` that is compared between histories: multi-turn, its first model, the rows of HISTORY_METHODS.

    Of the sessions the first `both_histories`, where that is a number. A study without any of these rows keeps all.
    """
    own = study.methods_of(study.models[0])
    methods = tuple(row for row in own if row.method in HISTORY_METHODS) or own
    modes = tuple(mode for mode in study.modes if mode == "multi_turn") or study.modes
    return replace(
        study,
        models=study.models[:1],
        limited={},
        main_models=(),
        methods=methods,
        modes=modes,
        data=_first_sessions(study, study.both_histories),
        floor=False,
    )


def twin(study: Study) -> Study | None:
    """`history_rows` under the other history, a study of its own; None where `study` does not ask for both."""
    if not study.both_histories:
        return None
    history = OTHER_HISTORY[study.history]
    return _beside(study, history_rows(study), history, history=history)


def quirk_twins(study: Study) -> list[Study]:
    """Full attention of the first model, asked with quirks of the published prompts; none where `study` asks for none.

    Of quirks that touch no cell in common several are in one study, so that each is switched on alone in its cells.
    """
    groups: list[list[PromptQuirk]] = []
    for quirk in OF_PROMPTS if study.prompt_quirks else ():
        if any(_touched(study, [quirk])) and (study.history == "golden" or not quirk.golden):
            apart = (group for group in groups if not {*_touched(study, group)} & {*_touched(study, [quirk])})
            group = next(apart, None)
            if group is None:
                groups.append(group := [])
            group.append(quirk)
    full = [row for row in study.rows(study.models[0]) if row.method == ITSELF and row.with_context][:1]
    return [
        _beside(
            study,
            study,
            f"prompts-{number}",
            models=study.models[:1],
            limited={},
            main_models=(),
            methods=tuple(full),
            tasks=tuple(task for task in study.tasks if task in {task for task, _ in _touched(study, group)}),
            modes=tuple(mode for mode in study.modes if mode in {mode for _, mode in _touched(study, group)}),
            floor=False,
            data=_first_sessions(study, study.prompt_quirks),
            prompts="+".join((study.prompts, *(quirk.name for quirk in group))),
        )
        for number, group in enumerate(groups, start=1)
    ]


def twins(study: Study) -> list[Study]:
    """The studies that run beside `study`, under names that begin with its own."""
    other = twin(study)
    return ([other] if other else []) + quirk_twins(study)


def _beside(study: Study, part: Study, suffix: str, **changes: Any) -> Study:
    """`part` of `study` with `changes`, a study of its own that runs beside it."""
    alone = {"both_histories": False, "prompt_quirks": False, "check_baseline": False}
    return replace(part, name=f"{study.name}-{suffix}", **alone | changes)


def _first_sessions(study: Study, asked: bool | int) -> Data:
    """The data of `study` with the first `asked` sessions of a task; all of them where it is no number."""
    sessions = study.data.sessions
    if not isinstance(asked, bool):
        sessions = asked if sessions is None else min(asked, sessions)
    return replace(study.data, sessions=sessions)


def _touched(study: Study, quirks: Sequence[PromptQuirk]) -> list[tuple[str, str]]:
    """The (task, mode) of `study` that one of `quirks` touches."""
    return [
        (task, mode)
        for task in study.tasks
        for mode in study.modes
        if any(quirk.touches(task, mode) for quirk in quirks)
    ]


def resolve(study: Study, row: Row) -> dict[str, Any]:
    """Every setting of `row` as its method runs with it; as given where the method is not built yet.

    Raises UserError for a setting that the method does not have or a value out of range.
    """
    if find(row.method) is not None:
        return make(row.method, row.settings, study.context_tokens).describe()
    if "budget" in row.settings:
        read_budget(row.method, row.settings["budget"], study.context_tokens)
    return dict(row.settings)


def check_model(study: Study, row: Row, model: Model) -> None:
    """Raise UserError where the settings of `row` were made for another model than `model`, which would run them."""
    if model.engine == "transformers" and find(row.method) is not None:
        make(row.method, row.settings, study.context_tokens).check_model(model)


def starts_dense(method: str) -> bool:
    """Whether `method` starts from the dense KV of the first prompt, which methods can then share."""
    return all(METHODS[part].starts_dense if part in METHODS else PAPER_METHODS[part] for part in parts_of(method))


def _models(entries: Sequence[str | Mapping[str, Any]], origin: str) -> tuple[Model, ...]:
    """The models that a study lists: a name each, or {name, source, methods}."""
    known = read_models()
    chosen: dict[str, Model] = {}
    for number, entry in enumerate(entries):
        entry = {"name": entry} if isinstance(entry, str) else entry
        name = entry["name"]
        if name not in known:
            raise unknown(origin, "models", name, known)
        if name in chosen:
            raise UserError(
                f"{origin}: models.{number}: {name} stands twice, and its results in one place; name it once, and what "
                "is to be compared with it in a study of its own"
            )
        train = entry.get("source") == "train"
        chosen[name] = _trained(known, name, f"{origin}: models.{number}.source") if train else known[name]
    return tuple(chosen.values())


def _trained(known: Mapping[str, Model], name: str, key: str) -> Model:
    """The model `name` with `source: train`, which stands at `key`; a recipe that cannot be read is refused here."""
    if known[name].recipe is None:
        able = ", ".join(model.name for model in known.values() if model.recipe)
        raise UserError(
            f"{key}: 'train', but {name} has no recipe in {LOCK.name}; models that can be trained here: {able}; "
            "name one of them, or leave source out for the pinned files"
        )
    read_yaml(known[name].recipe_file)
    return known[name].trained()


def _limited(
    entries: Sequence[str | Mapping[str, Any]], methods: Sequence[Row], origin: str
) -> dict[str, tuple[str, ...]]:
    """Model -> labels, of the models whose entry names `methods`."""
    labels = [row.label for row in methods]
    found = {}
    for number, entry in enumerate(entries):
        if isinstance(entry, str) or "methods" not in entry:
            continue
        for label in entry["methods"]:
            if label not in labels:
                raise unknown(origin, f"models.{number}.methods", label, labels)
        found[entry["name"]] = tuple(label for label in labels if label in entry["methods"])
    return found


def _model_entry(model: Model, labels: Sequence[str] | None) -> str | dict[str, Any]:
    """The model as a study file lists it."""
    source = {} if model.source == "locked" else {"source": model.source}
    limit = {} if labels is None else {"methods": list(labels)}
    return {"name": model.name} | source | limit if source or limit else model.name


def _row(label: str, settings: Mapping[str, Any], origin: str) -> Row:
    if label == FLOOR:
        raise UserError(
            f"{origin}: methods.{FLOOR}: the label is kept for the floor row; choose another, or set floor: true"
        )
    settings = dict(settings)
    method = settings.pop("method", label)
    known = dict.fromkeys([*METHODS, *PAPER_METHODS])
    for part in parts_of(method):
        if part not in known:
            raise unknown(origin, f"methods.{label}.method", part, known)
    return Row(label, method, settings)


def _check_data(study: Study) -> None:
    data, origin = study.data, study.origin
    if data.corpus is None and data.source == "corpus":
        raise UserError(f"{origin}: data.corpus: is missing; name the folder of your documents (docs/corpus.md)")
    if data.corpus is not None and data.source != "corpus" and data.scale != "paper":
        raise UserError(
            f"{origin}: data.corpus: {data.corpus!r} is not read with data.source {data.source} at data.scale mini; "
            "set data.source: corpus, or take the key out"
        )
    for task in data.published:
        if task not in TASKS:
            raise unknown(origin, "data.published", task, TASKS)
    if data.source == "published" or data.published:
        for key, value in {"scale": "paper", "tokens": None, "order": "published"}.items():
            if (given := getattr(data, key)) != value:
                raise UserError(
                    f"{origin}: data.{key}: {given} cannot be had of published sessions, which are as they are; "
                    f"set it to {value or 'null'}, or set data.source: build and data.published: []"
                )
    if data.tokens is None and data.scale == "mini":
        raise UserError(
            f"{origin}: data.tokens: null is the published length, which data.scale mini does not have; give a number"
        )
    for model in study.models:
        if data.tokens is not None and data.tokens > model.context:
            raise UserError(
                f"{origin}: data.tokens: {data.tokens} is above the {model.context} tokens that {model.name} can take; "
                f"give {model.context} or less, or another model"
            )
    for task in study.tasks if data.scale == "mini" else ():
        if data.tokens < TASKS[task].min_tokens:
            raise UserError(
                f"{origin}: data.tokens: {data.tokens} is below the {TASKS[task].min_tokens} that {task} needs; "
                f"give {TASKS[task].min_tokens} or more"
            )


def _check_rows(study: Study) -> None:
    """What limits a model to some rows must fit the model, and leave no row without one."""
    for number, model in enumerate(study.models):
        if model.engine != "transformers" and (labels := study.limited.get(model.name)):
            raise UserError(
                f"{study.origin}: models.{number}.methods: {', '.join(labels)}, but {model.name} is its own method and "
                "has one row in any case; leave methods out"
            )
    running = [model for model in study.models if model.engine == "transformers"]
    for row in study.methods if running else ():
        if not any(row in study.methods_of(model) for model in running):
            raise UserError(
                f"{study.origin}: methods.{row.label}: no model runs it, as the methods of "
                f"{', '.join(model.name for model in running)} leave it out; name it there, or take the row out"
            )


def _check_tables(study: Study) -> None:
    """What the study says of its tables must be possible."""
    names = [model.name for model in study.models]
    for name in study.main_models:
        if name not in names:
            raise unknown(study.origin, "main_models", name, names)
    if study.both_histories and "multi_turn" not in study.modes:
        raise UserError(
            f"{study.origin}: both_histories: {study.both_histories}, but history shows in multi_turn alone, which is "
            "not in modes; add it there, or set both_histories: false"
        )
    _check_quirks(study)
    for other in twins(study):
        if (over := len(other.name) - LONGEST_NAME) > 0:
            key = "both_histories" if other.prompts == study.prompts else "prompt_quirks"
            raise UserError(
                f"{study.origin}: study: {study.name!r} is too long with {key}, which runs a study {other.name!r} "
                f"beside it; give a name that is {over} characters shorter"
            )


def _check_quirks(study: Study) -> None:
    """The prompts must be known, and what `prompt_quirks` compares must be there."""
    profile, *names = study.prompts.split("+")
    known = [quirk.name for quirk in OF_PROMPTS]
    if study.prompts not in PROMPTS and (profile != "clean" or not names or not {*names} <= {*known}):
        raise unknown(study.origin, "prompts", study.prompts, PROMPTS)
    if len({*names}) < len(names):
        raise UserError(f"{study.origin}: prompts: {study.prompts} names a quirk twice; name each once")
    if not study.prompt_quirks:
        return
    if study.prompts != "clean":
        raise UserError(
            f"{study.origin}: prompt_quirks: {study.prompt_quirks} switches each quirk on alone, and prompts: "
            f"{study.prompts} has some on already; set prompts: clean, or prompt_quirks: false"
        )
    if not any(row.method == ITSELF and row.with_context for row in study.rows(study.models[0])):
        raise UserError(
            f"{study.origin}: prompt_quirks: {study.prompt_quirks} compares answers of full attention, which "
            f"{study.models[0].name} does not run here; add it to methods (full: {{}}) and to those that the model's "
            "entry names, if any, or set prompt_quirks: false"
        )


def _check_method(study: Study, row: Row) -> None:
    """Settings that the method would refuse are refused here, before any job starts."""
    try:
        resolve(study, row)
        if find(row.method) is not None:
            engines.check_method(study.execution.engine, make(row.method, row.settings, study.context_tokens))
        for model in study.models:
            if row in study.methods_of(model):
                check_model(study, row, model)
    except UserError as error:
        raise UserError(f"{study.origin}: methods.{row.label}: {error}") from error
