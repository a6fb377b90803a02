"""How far a mean over sessions can be trusted: intervals, differences on the same sessions, tests of many methods.

Sessions are independent and turns of one session are not, so that a session is what is counted. An interval is Wilson's
score interval at an effective number of sessions: it stays within 0 and 100, has a width where every answer is right,
and does not assume that a few sessions near 0 or 100 show their own variance (`score_limits`). Sums and differences of
such means take their limits from those of their parts by the square-and-add rule (Zou and Donner, Statistics in
Medicine 27, 2008; Newcombe, ibid. 17, 1998), which stays within what is possible too. Where two terms are of the same
sessions the rule takes their correlation into account.

Tests flip the signs of the sessions' differences: exact for few sessions, and without an assumed distribution.
Numbers shown are percent; the values of sessions are shares of 1.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import pandas as pd

from scbench import stats
from scbench.tasks import TASKS

LEVEL = 0.95
FLIPS = 9999  # sign changes that a test draws, where there are more than it goes through
# What is assumed before a session is seen, with the weight of one: turns of a session mostly agree.
PRIOR_AGREEMENT = 0.7
ENOUGH_CHANGED = 8  # sessions whose differences show how much they vary
CELL = [*stats.RUN, "task"]


class Interval(NamedTuple):
    """A number in percent (or a difference in points) with its limits; NaN where there is none."""

    score: float
    low: float
    high: float


NOTHING = Interval(math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class Sample:
    """The sessions behind one number.

    sessions: their names, sorted. values: one a session, shares of 1 whose mean is the number; where sessions differ in
    their turns, the linearised ones. spread: variance of single turns around their mean, the largest that the values
    could have. single: each session has one turn.
    """

    sessions: np.ndarray
    values: np.ndarray
    spread: float
    single: bool = False

    @cached_property
    def usual(self) -> Interval:
        """`interval` at the usual level: a sample is a part of many sums."""
        return _interval(self, LEVEL)


def samples(scores: pd.DataFrame, profile: str = "strict", *, whole: bool = True) -> dict[tuple, Sample]:
    """(study, model, method, mode, task) -> the sample whose mean is the score that `stats.per_task` gives.

    scores: scored turns; a selection of them (one turn, one mode) is as good. whole: leave out a mixed task that lacks
    one of its sub-metrics. Raises UserError as `stats.per_task` does.
    """
    frame = stats.scored_turns(scores, profile)
    if frame.empty:
        return {}
    score = frame["score"].to_numpy() / 100
    turn = frame["turn"].where(frame["mode"] == "multi_turn", 0)
    # Numbers in the place of names: cells, the sub-metrics of each, the parts whose means are averaged, sessions.
    cell, first = _numbered(*(frame[name] for name in CELL))
    kind, of_kind = _numbered(cell, frame["subtask"])
    part, of_part = _numbered(kind, turn)
    own, of_own = _numbered(cell, frame["session"])
    cell_of_kind, kind_of_part, cell_of_own = cell[of_kind], kind[of_part], cell[of_own]
    turns, kinds, parts, sizes = (np.bincount(number) for number in (cell, cell_of_kind, kind_of_part, part))
    sessions = np.bincount(cell_of_own)
    part_mean = np.bincount(part, score) / sizes
    mean = np.bincount(cell_of_kind, np.bincount(kind_of_part, part_mean) / parts) / kinds
    shares = sessions[cell] / sizes[part] / (parts[kind] * kinds[cell])
    values = np.bincount(own, (score - part_mean[part]) * shares) + mean[cell_of_own]
    asked = np.bincount(kind)
    apart = (score - (np.bincount(kind, score) / asked)[kind]) ** 2
    square = np.bincount(cell_of_kind, np.bincount(kind, apart) / asked) / kinds
    # One more turn, as far off as a turn can be: scores that happen to be all equal do not prove that all others are.
    spread = (turns * square + mean * (1 - mean)) / (turns + 1)
    names = frame["session"].iloc[of_own].to_numpy(dtype=str)
    starts = np.searchsorted(cell_of_own, range(len(turns) + 1))
    return {
        name: Sample(names[start:stop], values[start:stop], float(spread[number]), bool(turns[number] == stop - start))
        for number, (name, start, stop) in enumerate(
            zip(frame[CELL].iloc[first].itertuples(index=False, name=None), starts, starts[1:], strict=False)
        )
        if not whole or kinds[number] == len(TASKS[name[-1]].subtasks)
    }


def _numbered(*keys: np.ndarray | pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Of each row the number of its group, in the order of `keys`; of each group its first row."""
    number: np.ndarray | int = 0
    for key in keys:
        codes = key if isinstance(key, np.ndarray) else pd.factorize(key, sort=True)[0]
        number = number * (codes.max() + 1) + codes
    _, first, numbers = np.unique(number, return_index=True, return_inverse=True)
    return numbers, first


def averaged(parts: Sequence[Sample]) -> Sample:
    """The mean of several samples of the same sessions (a task under several models), on the sessions they share."""
    sessions, values = _shared(parts)
    spread = sum(part.spread for part in parts) / len(parts)
    return Sample(sessions, values.mean(axis=0), spread, all(part.single for part in parts))


def score_limits(
    values: np.ndarray, spread: np.ndarray, level: float = LEVEL, *, single: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Limits of the mean of `values` [..., sessions] in [0, 1]; NaN of one session. spread [...], single: see `Sample`.

    Wilson's interval at n / agreement sessions, where the agreement is the sessions' variance as a share of the spread:
    1 where the turns of a session always agree, 1 / turns where they are independent. Near 0 and 1 few sessions show
    any variance: the less can be told from them, the more PRIOR_AGREEMENT counts. One turn agrees with itself, so that
    sessions of a `single` turn give Wilson's interval as it stands.
    """
    number = values.shape[-1]
    mean = values.mean(axis=-1)
    if number < 2:
        return np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    largest = np.clip(mean * (1 - mean), 0, None)
    known = (spread > 0) & (largest > 0)
    scale = np.where(known, spread, 1.0)
    agreement = np.where(known, values.var(axis=-1, ddof=1) / scale, PRIOR_AGREEMENT)
    weight = (number - 1) * 4 * largest
    agreement = 1.0 if single else (weight * agreement + PRIOR_AGREEMENT) / (weight + 1)
    effective = number / agreement * np.where(known, largest / scale, 1.0)
    z = NormalDist().inv_cdf((1 + level) / 2)
    centre = (mean + z**2 / (2 * effective)) / (1 + z**2 / effective)
    half = z / (1 + z**2 / effective) * np.sqrt(largest / effective + z**2 / (4 * effective**2))
    return np.clip(centre - half, 0, mean), np.clip(centre + half, mean, 1)


def interval(sample: Sample, level: float = LEVEL) -> Interval:
    """The mean of a sample with its limits; `NOTHING` of no session."""
    return sample.usual if level == LEVEL else _interval(sample, level)


def _interval(sample: Sample, level: float) -> Interval:
    if not len(sample.values):
        return NOTHING
    low, high = score_limits(sample.values, np.asarray(sample.spread), level, single=sample.single)
    return Interval(100 * float(sample.values.mean()), 100 * float(low), 100 * float(high))


def combine(parts: Sequence[Interval], weights: Sequence[float]) -> Interval:
    """The weighted sum of independent numbers; a negative weight takes one away."""
    return _square_and_add(parts, np.asarray(weights, dtype=float), np.eye(len(parts)))


def contrast(parts: Sequence[Sample], weights: Sequence[float], level: float = LEVEL) -> Interval:
    """The weighted sum of numbers of one task on the sessions that all of them have; `NOTHING` without any."""
    sessions, values = _shared(parts)
    if not len(sessions):
        return NOTHING
    number = len(parts)
    together = np.eye(number)
    if len(sessions) > 1:
        with np.errstate(invalid="ignore", divide="ignore"):
            together = np.nan_to_num(np.corrcoef(values).reshape(number, number))
        np.fill_diagonal(together, 1.0)
    own = [
        interval(Sample(sessions, part, of.spread, of.single), level) for part, of in zip(values, parts, strict=True)
    ]
    return _square_and_add(own, np.asarray(weights, dtype=float), together)


def change(before: Sample, after: Sample, level: float = LEVEL) -> Interval:
    """What something does to the mean score of the same answers: Student's interval of the sessions' differences.

    `contrast` asks how far two means are apart, each with limits of its own, and stays wide near 0 and 100 where two
    scorings of one answer hardly differ. No limits of one session; `NOTHING` of none.
    """
    sessions, values = _shared([before, after])
    if not len(sessions):
        return NOTHING
    from scipy.special import stdtrit  # loaded where it is needed: it takes as long as most tables

    moved = values[1] - values[0]
    score, number = float(moved.mean()), len(moved)
    half = (
        float(stdtrit(number - 1, (1 + level) / 2) * moved.std(ddof=1) / math.sqrt(number)) if number > 1 else math.nan
    )
    return Interval(100 * score, 100 * max(score - half, -1.0), 100 * min(score + half, 1.0))


def net(gains: Sample, losses: Sample, changed: int, level: float = LEVEL) -> Interval:
    """What asking the same turns another way does to their mean score; `NOTHING` without a session.

    gains, losses: what each turn gains and loses. changed: sessions of which a turn does either. Where many do,
    Student's interval of their differences (`change`); else, and where most is gained or lost, that is too narrow or
    has no width, and the two score intervals are squared and added. A correlation that would narrow their sum is left
    out: sessions that change at all may both gain and lose.
    """
    sessions, values = _shared([gains, losses])
    if not len(sessions):
        return NOTHING
    if changed >= ENOUGH_CHANGED and abs(values[0].mean() - values[1].mean()) <= 1 / 2:
        return change(losses, gains, level)
    together = np.eye(2)
    if values.std(axis=1).all():
        together[0, 1] = together[1, 0] = min(float(np.corrcoef(values)[0, 1]), 0.0)
    own = [
        interval(Sample(sessions, part, of.spread, of.single), level)
        for part, of in zip(values, (gains, losses), strict=True)
    ]
    return _square_and_add(own, np.array([1.0, -1.0]), together)


def differences(
    first: Mapping[str, Sample], second: Mapping[str, Sample], weights: Mapping[str, float]
) -> dict[tuple[str, str], float]:
    """(task, session) -> a part of the weighted difference of the two, on the sessions that both have.

    weights: of the tasks. Empty where one of the two lacks a task or they share no session of it.
    """
    parts = {}
    for task, weight in weights.items():
        if task not in first or task not in second:
            return {}
        sessions, values = _shared([first[task], second[task]])
        if not len(sessions):
            return {}
        share = (values[0] - values[1]) * (weight / len(sessions))
        parts |= {(task, session): value for session, value in zip(sessions, share, strict=True)}
    return parts


def sign_flip(paired: Sequence[Mapping[tuple[str, str], float]]) -> np.ndarray:
    """Two-sided p of each of `paired` (`differences`): how often signs at random give as much; NaN of an empty one."""
    found = np.full(len(paired), np.nan)
    some = [number for number, own in enumerate(paired) if own]
    if some:
        # A session that one pair lacks adds nothing to its sum, whatever its sign.
        keys = sorted(set().union(*paired))
        values = np.array([[paired[number].get(key, 0.0) for number in some] for key in keys])
        signs = _signs(len(values))
        # einsum and not a BLAS product: its sums do not depend on the number of threads.
        sums = np.abs(np.einsum("fs,sp->fp", signs, values))
        # The signs that were found are the first row; a tie is as far, whatever rounding did to it.
        found[some] = (sums >= sums[0] * (1 - 1e-9)).mean(axis=0)
    return found


@cache
def _signs(number: int) -> np.ndarray:
    """Signs of `number` sessions, all of them 1 in the first row: every combination, or 1 + FLIPS at random."""
    if 2**number <= FLIPS:
        return 1.0 - 2.0 * (np.arange(2**number)[:, None] >> np.arange(number) & 1)
    drawn = np.random.default_rng(0).integers(0, 2, (FLIPS, number), dtype=np.int8)
    return np.concatenate([np.ones((1, number)), 1.0 - 2.0 * drawn])


def holm(p: Sequence[float]) -> np.ndarray:
    """p adjusted for their number (Holm, Scandinavian Journal of Statistics 6, 1979); NaN stays and is not counted."""
    p = np.asarray(p, dtype=float)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    adjusted = np.full_like(p, np.nan)
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def _shared(parts: Sequence[Sample]) -> tuple[np.ndarray, np.ndarray]:
    """The sessions that all of `parts` have, and their values [parts, sessions]."""
    sessions = parts[0].sessions
    if all(np.array_equal(part.sessions, sessions) for part in parts):
        return sessions, np.stack([part.values for part in parts])
    for part in parts:
        sessions = np.intersect1d(sessions, part.sessions)
    return sessions, np.stack([part.values[np.isin(part.sessions, sessions)] for part in parts])


def _square_and_add(parts: Sequence[Interval], weights: np.ndarray, together: np.ndarray) -> Interval:
    """The weighted sum of `parts`, whose correlations are `together`."""
    score, low, high = np.asarray(parts, dtype=float).T
    total = float(weights @ score)
    # How far each term can go down, and up; a term that is taken away goes down as its number goes up.
    down = np.where(weights > 0, score - low, high - score) * weights
    up = np.where(weights > 0, high - score, score - low) * weights
    return Interval(
        total,
        total - float(np.sqrt(np.clip(down @ together @ down, 0, None))),
        total + float(np.sqrt(np.clip(up @ together @ up, 0, None))),
    )
