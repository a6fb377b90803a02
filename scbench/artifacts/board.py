"""What the tables and figures of a study show: its lines, tasks, modes and sizes."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Self

from scbench.costs import session_count
from scbench.methods import find, parts_of
from scbench.models import Model
from scbench.study import ITSELF, Row, Study, resolve

FLOOR_TITLE = "No context"
QUERY_AWARE = "Multi-request: each question was encoded together with the context (query_aware)"
SHARED_CONTEXTS = "Sessions of ICL share a few contexts: its intervals are conditional on these"
ENCODED_ANEW = "{models}: the dialogue was encoded anew for each answer, as the paper's authors do"
SOME_METHODS = "{models}: some of the study's methods alone, and left out where models are averaged"
NONE_WHOLE = "No model ran every method: a method is averaged over the models that ran it, others over others"
MODE_TITLES = {"multi_turn": "Multi-turn", "multi_request": "Multi-request"}


@dataclass(frozen=True)
class Line:
    """One line of a table, one line or polygon of a figure.

    model, label: the keys of its scores (columns `model` and `method`).
    group: what a figure averages over models: the label, or the model itself where its architecture is the method.
    model_title, title: what a reader sees.
    budget: share or number of tokens kept and other settings that are numbers, as shown: `1/8`, `256`, `bits 2`,
        `1/4 + 1/8` of a composition; else empty.
    method: the name of its method. share: the budget it runs with as a share of the context; None of the floor, a
        composition, a model that is its own method and a method that is not built yet.
    memory: the class of KV memory while decoding over a context of n tokens, `O(n)` or `sub-O(n)`, as its method states
        it; empty for the floor, a model that is its own method and a method that is not built yet.
    baseline: full attention, which the others are measured against; floor: the question without its context.
    """

    model: str
    label: str
    group: str
    model_title: str
    title: str
    budget: str
    method: str
    share: float | None
    memory: str
    baseline: bool
    floor: bool

    @property
    def kind(self) -> str:
        """How figures draw it: baseline, floor, or by the class of its memory (linear, sublinear, unstated)."""
        if self.floor or self.baseline:
            return "floor" if self.floor else "baseline"
        return {"O(n)": "linear", "sub-O(n)": "sublinear"}.get(self.memory, "unstated")


@dataclass(frozen=True)
class Board:
    """The lines of a study, in the order of its tables, and the cells behind them.

    profile: the scoring profile that tables and figures show, `strict` or `compat`.
    sessions: task -> sessions that every cell of the task covers when it is complete; in the study's order of tasks.
    order, query_aware: as in the study, for what may be concluded from it.
    main_models, other_models: names of the models of Table 4 and of Table 10, the rule of both in `read_board`.
    averaged: names of the models that are averaged where a figure shows methods, not models. One that ran some of the
        methods alone would weigh in some of the averages that are compared and not in others, so that it is left out,
        unless no model ran them all.
    caveats: what a reader has to know of how the study was run, a sentence each; none for a study like the paper's.
    of_averages: the same of what is averaged over models, for artifacts that do so.
    """

    study: str
    profile: str
    lines: tuple[Line, ...]
    modes: tuple[str, ...]
    sessions: Mapping[str, int]
    order: str
    query_aware: bool
    main_models: tuple[str, ...]
    other_models: tuple[str, ...]
    averaged: tuple[str, ...]
    caveats: tuple[str, ...] = ()
    of_averages: tuple[str, ...] = ()

    @property
    def profiles(self) -> tuple[str, str]:
        """Both scoring profiles, the study's own first."""
        return (self.profile, "compat" if self.profile == "strict" else "strict")

    @property
    def groups(self) -> dict[str, tuple[Line, ...]]:
        """Group -> its lines, one a model of `averaged`, in order of appearance.

        The floor is that of models that the methods run on, not of one that is its own method where there are others.
        """
        groups: dict[str, tuple[Line, ...]] = {}
        alone = {line.model for line in self.lines if line.group == line.model}
        with_methods = set(self.averaged) - alone or set(self.averaged)
        for line in self.lines:
            if line.model in (with_methods if line.floor else self.averaged):
                groups[line.group] = (*groups.get(line.group, ()), line)
        return groups

    @property
    def footer(self) -> tuple[str, ...]:
        """What stands below a figure that averages over models: `caveats` and `of_averages`, with their full stops."""
        return tuple(f"{text}." for text in (*self.caveats, *self.of_averages))

    def of(self, models: Collection[str]) -> Self:
        """The board of these models alone."""
        return replace(self, lines=tuple(line for line in self.lines if line.model in models))


def read_board(study: Study) -> Board:
    """The board of `study`.

    Where the study names `main_models`, Table 4 shows these and Table 10 the others, as the paper splits its own; else
    Table 4 shows every model and Table 10 all but the first. Either way no model is lost, and Table 10 is empty only
    where there is no further model.
    """
    names = tuple(model.name for model in study.models)
    main = tuple(name for name in names if name in study.main_models)
    return Board(
        study=study.name,
        profile=study.scoring,
        lines=tuple(_line(study, model, row) for model in study.models for row in study.rows(model)),
        modes=study.modes,
        sessions={task: session_count(study, task) for task in study.tasks},
        order=study.data.order,
        query_aware=study.query_aware,
        main_models=main or names,
        other_models=tuple(name for name in names if name not in main) if main else names[1:],
        averaged=tuple(model.name for model in study.models if not _left_out(study, model)),
        caveats=_caveats(study),
        of_averages=_of_averages(study),
    )


def _is_whole(study: Study, model: Model) -> bool:
    """Whether `model` runs every method of the study."""
    return model.engine == "transformers" and study.methods_of(model) == study.methods


def _left_out(study: Study, model: Model) -> bool:
    """Whether averages over models are without `model`: it ran some of the methods alone, and another all of them."""
    limited = model.engine == "transformers" and not _is_whole(study, model)
    return limited and any(_is_whole(study, other) for other in study.models)


def _caveats(study: Study) -> tuple[str, ...]:
    shared = study.data.scale == "paper" and "icl_manyshot" in study.tasks
    anew = ", ".join(model.title for model in study.models if model.encodes_each_turn)
    known = {
        QUERY_AWARE: study.query_aware and "multi_request" in study.modes,
        SHARED_CONTEXTS: shared,
        ENCODED_ANEW.format(models=anew): bool(anew),
    }
    return tuple(text for text, holds in known.items() if holds)


def _of_averages(study: Study) -> tuple[str, ...]:
    some = ", ".join(model.title for model in study.models if _left_out(study, model))
    if some:
        return (SOME_METHODS.format(models=some),)
    return (NONE_WHOLE,) if study.limited and not any(_is_whole(study, model) for model in study.models) else ()


def _line(study: Study, model: Model, row: Row) -> Line:
    floor = not row.with_context
    alone = model.engine != "transformers"
    method = find(row.method)
    if floor:
        title = FLOOR_TITLE
    elif alone:
        title = model.title
    else:
        # A label of the study's own tells variants of a method apart; a method that is not built yet has no title.
        title = method.title if method and row.label == row.method else row.label
    return Line(
        model=model.name,
        label=row.label,
        group=model.name if alone and not floor else row.label,
        model_title=model.title,
        title=title,
        budget="" if row.method == ITSELF else _budget(study, row),
        method=row.method,
        share=None if floor or alone or method is None else resolve(study, row).get("budget"),
        memory="" if floor or alone or method is None else _memory(method.complexity["kv_size"]),
        baseline=row.method == ITSELF and not floor and not alone,
        floor=floor,
    )


def _memory(size: str) -> str:
    return "O(n)" if "n" in size else "sub-O(n)"


def _budget(study: Study, row: Row) -> str:
    """The budget the method runs with, and what else the study sets; of a composition those of each part."""
    resolved, parts = resolve(study, row), parts_of(row.method)
    if len(parts) == 1:
        return _shown(resolved, row.settings)
    return " + ".join(_shown(resolved.get(part) or {}, row.settings.get(part) or {}) for part in parts)


def _shown(resolved: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    budget = resolved.get("budget")
    shown = [] if budget is None else [str(Fraction(budget).limit_denominator(1024))]
    # What is given by a name, a classifier or a file, is too long for a column and stands in Table 9.
    numbers = {key: value for key, value in given.items() if key != "budget" and not isinstance(value, str)}
    return ", ".join(shown + [f"{key} {value}" for key, value in sorted(numbers.items())])
