"""Intervals and tests: by hand, against scipy, and by simulation."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats as reference

from scbench import intervals, stats
from scbench.intervals import Interval, Sample
from scbench.tasks import TASKS

COLUMNS = [*stats.RUN, "task", "subtask", "session", "turn", "score_strict", "score_compat"]


def scored(task, table, mode="multi_turn", method="full", subtasks=None):
    """Scored turns: table [sessions, turns], NaN for a turn that is absent."""
    names = subtasks or [task]
    return pd.DataFrame(
        [
            ("mini", "minilm", method, mode, task, names[turn % len(names)], f"s{number:03d}", turn + 1, score, score)
            for number, own in enumerate(table)
            for turn, score in enumerate(own)
            if not math.isnan(score)
        ],
        columns=COLUMNS,
    )


def only(scores):
    (sample,) = intervals.samples(scores).values()
    return sample


def sample(values, spread=None):
    values = np.asarray(values, dtype=float)
    mean = values.mean() if len(values) else 0.0
    sessions = np.array([f"s{number:03d}" for number in range(len(values))], dtype=str)
    return Sample(sessions, values, mean * (1 - mean) if spread is None else spread)


def sessions(rng, runs, number, turns, chance, agreement):
    """Means of sessions [runs, number] whose turns, right or wrong, correlate by `agreement` (beta-binomial)."""
    if agreement:
        scale = (1 - agreement) / agreement
        chance = rng.beta(chance * scale, (1 - chance) * scale, (runs, number))
    return rng.binomial(turns, chance, (runs, number)) / turns


def limits(values, **how):
    """As `score_limits`, of right and wrong answers."""
    mean = values.mean(axis=-1)
    return intervals.score_limits(values, mean * (1 - mean), **how)


@pytest.mark.parametrize("mode", ["multi_turn", "multi_request"])
def test_a_sample_of_equal_sessions_is_the_means_of_its_sessions(mode):
    table = [[1, 0, 1], [0, 0, 1], [1, 1, 1]]
    found = only(scored("retr_kv", table, mode))
    assert found.values.tolist() == pytest.approx([2 / 3, 1 / 3, 1])
    assert found.spread == pytest.approx(6 / 9 * 3 / 9)


@pytest.mark.parametrize("mode", ["multi_turn", "multi_request"])
def test_the_mean_of_a_sample_is_the_score_of_its_task_whatever_turns_its_sessions_have(mode):
    rng = np.random.default_rng(0)
    table = np.where(rng.random((9, 5)) < 0.3, np.nan, rng.random((9, 5)))
    for task in ("en_qa", "mix_sum_niah"):
        scores = scored(task, table, mode, subtasks=list(TASKS[task].subtasks))
        tasks = stats.per_task(scores).set_index("task")["score"]
        assert 100 * only(scores).values.mean() == pytest.approx(tasks[task])


def test_a_mixed_task_without_one_of_its_metrics_has_no_sample():
    assert intervals.samples(scored("mix_sum_niah", [[1.0], [0.0]], subtasks=["needle"])) == {}


def test_a_linearised_value_is_by_hand_what_its_session_does_to_the_mean():
    """Turn 2 is in one session of two: its 1.0 is half of the task, and that session's alone."""
    found = only(scored("retr_kv", [[0.0, 1.0], [1.0, math.nan]]))
    assert found.values.mean() == pytest.approx((0.5 + 1.0) / 2)
    assert found.values.tolist() == pytest.approx([0.75 - 0.25, 0.75 + 0.25])


@pytest.mark.parametrize(("right", "number"), [(0, 20), (40, 40), (0, 3)])
def test_all_right_and_all_wrong_have_scipys_wilson_limits_of_the_sessions(right, number, monkeypatch):
    monkeypatch.setattr(intervals, "PRIOR_AGREEMENT", 1.0)
    low, high = limits(np.repeat([1.0, 0.0], [right, number - right]))
    expected = reference.binomtest(right, number).proportion_ci(method="wilson")
    assert (low, high) == (pytest.approx(expected.low), pytest.approx(expected.high))


def test_limits_solve_the_score_equation_at_the_effective_number():
    """By hand: half of 20 sessions wholly right, so that turns always agree, 20 sessions / 1.036 count."""
    values = np.repeat([1.0, 0.0], [10, 10])
    agreement = (19 * 20 / 19 + 0.7) / (19 + 1)
    for limit in limits(values):
        assert (0.5 - limit) ** 2 == pytest.approx(
            reference.norm.ppf(0.975) ** 2 * limit * (1 - limit) * agreement / 20
        )


def test_far_from_the_ends_many_sessions_give_students_interval():
    values = np.random.default_rng(1).binomial(5, 0.5, 2000) / 5
    expected = reference.ttest_1samp(values, 0).confidence_interval()
    assert limits(values) == (pytest.approx(expected.low, abs=3e-4), pytest.approx(expected.high, abs=3e-4))


@pytest.mark.parametrize("turns", [2, 5])
@pytest.mark.parametrize("number", [20, 35, 100])
def test_an_interval_covers_the_truth_as_often_as_it_says(number, turns):
    rng = np.random.default_rng(number + turns)
    noise = 0.007  # two standard errors of the simulation
    for chance in (0.05, 0.1, 0.2, 0.5, 0.8, 0.95):
        for agreement in (0, 0.1, 0.3, 0.5):
            low, high = limits(sessions(rng, 5000, number, turns, chance, agreement))
            covered = ((low <= chance) & (chance <= high)).mean()
            assert 0.93 - noise <= covered <= 0.98 + noise, (chance, agreement, covered)


@pytest.mark.parametrize("turns", [1, 2, 5])
@pytest.mark.parametrize("number", [20, 100])
def test_an_interval_of_graded_scores_covers_the_truth_as_often_as_it_says(number, turns):
    """Scores such as ROUGE: each turn anywhere between 0 and 1, sessions of their own difficulty."""
    rng = np.random.default_rng(number + turns)
    for mean in (0.2, 0.5, 0.8):
        for agreement in (0, 0.1):
            level = np.full((2000, number, 1), mean)
            if agreement:
                scale = (1 - agreement) / agreement
                level = rng.beta(mean * scale, (1 - mean) * scale, level.shape)
            scores = rng.beta(10 * level, 10 * (1 - level), (2000, number, turns))
            found = scores.mean(axis=(1, 2))
            square = ((scores - found[:, None, None]) ** 2).mean(axis=(1, 2))
            spread = (number * turns * square + found * (1 - found)) / (number * turns + 1)
            low, high = intervals.score_limits(scores.mean(axis=2), spread, single=turns == 1)
            covered = ((low <= mean) & (mean <= high)).mean()
            # One turn a session is wide: nothing says that all scores will be as near to each other as these.
            assert 0.93 - 0.011 <= covered <= (0.98 + 0.007 if turns > 1 else 1), (mean, agreement, covered)


def test_a_change_of_the_same_answers_has_scipys_paired_interval():
    rng = np.random.default_rng(4)
    before = rng.random(20)
    after = np.where(rng.random(20) < 0.3, before / 2, before)
    expected = reference.ttest_rel(after, before).confidence_interval()
    score, low, high = intervals.change(sample(before), sample(after))
    assert (score, low, high) == pytest.approx((100 * (after - before).mean(), 100 * expected.low, 100 * expected.high))


def test_a_change_knows_no_limits_of_one_session_and_stays_within_what_is_possible():
    assert math.isnan(intervals.change(sample([1.0]), sample([0.0])).low)
    assert intervals.change(sample([1.0]), sample([0.0])).score == -100
    assert intervals.change(sample([]), sample([])) is intervals.NOTHING
    assert intervals.change(sample([1.0, 1.0]), sample([0.0, 0.1])).low == -100


def test_a_change_of_some_answers_is_covered():
    rng = np.random.default_rng(6)
    for share in (0.1, 0.3, 0.6):
        moved = rng.binomial(5, share, (600, 24)) / 5
        found = [intervals.change(sample(np.ones(24)), sample(1 - own)) for own in moved]
        assert 0.92 <= np.mean([low <= -100 * share <= high for _, low, high in found]) <= 0.98


def turns_moved(rng, runs, number, share, gained, agreement):
    """What five turns of each session gain and lose [runs, number, 5]; a `share` changes, `gained` of it upwards."""
    if agreement:
        scale = (1 - agreement) / agreement
        share = rng.beta(share * scale, (1 - share) * scale, (runs, number, 1))
    moved, up = rng.random((runs, number, 5)) < share, rng.random((runs, number, 5)) < gained
    return moved & up, moved & ~up


def net_of(gains, losses):
    """`net` of one run, each turn's spread as `samples` has it."""
    parts, changed = [], (gains | losses).any(axis=-1).sum()
    for turns in (gains, losses):
        mean, count = turns.mean(), turns.size
        parts.append(sample(turns.mean(axis=-1), (count * turns.var() + mean * (1 - mean)) / (count + 1)))
    return intervals.net(*parts, changed)


@pytest.mark.parametrize("agreement", [0, 0.8])
@pytest.mark.parametrize("gained", [1.0, 0.5])
@pytest.mark.parametrize("share", [0.01, 0.1, 0.8])
def test_what_turns_gain_and_lose_is_covered_where_few_change_too(share, gained, agreement):
    rng = np.random.default_rng(8)
    true = 100 * share * (2 * gained - 1)
    found = [net_of(*run) for run in zip(*turns_moved(rng, 400, 10, share, gained, agreement), strict=True)]
    assert np.mean([low <= true <= high for _, low, high in found]) >= 0.92
    # One in a hundred changes: Student's interval has no width where none was seen, and misses the truth.
    if (share, gained) == (0.01, 1.0):
        students = [
            intervals.change(sample(-gains.mean(axis=-1)), sample(np.zeros(10)))
            for gains, _ in zip(*turns_moved(rng, 400, 10, share, gained, agreement), strict=True)
        ]
        assert np.mean([low <= true <= high for _, low, high in students]) < 0.5


def test_a_net_change_of_few_sessions_is_by_hand_and_has_limits_where_nothing_changes():
    gains, losses = sample([0.4, 0.0, 0.0, 0.2]), sample([0.0, 0.2, 0.0, 0.0])
    score, low, high = intervals.net(gains, losses, 3)
    (gain, gain_low, gain_high), (loss, loss_low, loss_high) = map(intervals.interval, (gains, losses))
    together = np.corrcoef(gains.values, losses.values)[0, 1]
    down, up = (gain - gain_low, loss_high - loss), (gain_high - gain, loss - loss_low)
    assert score == pytest.approx(100 * (0.6 - 0.2) / 4) and together < 0
    for found, (first, second) in ((score - low, down), (high - score, up)):
        assert found == pytest.approx(math.sqrt(first**2 + second**2 - 2 * together * first * second))
    nothing = intervals.net(sample([0.0] * 10), sample([0.0] * 10), 0)
    assert nothing.score == 0 and nothing.low == -nothing.high < -10
    assert intervals.net(sample([]), sample([]), 0) is intervals.NOTHING
    # Sessions that gain and lose alike are no closer to zero for that.
    both = sample([0.4, 0.0, 0.0, 0.4])
    assert intervals.net(both, both, 2) == intervals.combine([intervals.interval(both)] * 2, [1, -1])


def test_a_net_change_of_many_sessions_has_students_interval_where_most_is_left_as_it_was():
    rng = np.random.default_rng(9)
    gains, losses = sample(rng.random(10) / 20), sample(rng.random(10) / 10)
    assert intervals.net(gains, losses, 8) == intervals.change(losses, gains)
    few, most = intervals.net(gains, losses, 7), intervals.net(sample([0.9] * 10), losses, 10)
    assert few.high - few.low > 8 and most.high < 100


@pytest.mark.parametrize("number", [2, 20, 50])
def test_sessions_of_one_turn_have_wilsons_interval(number):
    right = np.tril(np.ones((number + 1, number)), -1)  # 0, 1, ... all of them right
    low, high = limits(right, single=True)
    for count in range(number + 1):
        expected = reference.binomtest(count, number).proportion_ci(method="wilson")
        assert (low[count], high[count]) == (pytest.approx(expected.low), pytest.approx(expected.high))


def test_a_sample_of_one_turn_knows_it():
    table = pd.DataFrame(
        [
            {"study": "s", "model": "m", "method": "full", "mode": "multi_turn", "task": "retr_kv"}
            | {"subtask": "retr_kv"}
            | {"session": f"retr_kv-{number:05d}", "turn": turn, "score_strict": 1.0, "score_compat": 1.0}
            for number in range(20)
            for turn in (1, 2)
        ]
    )
    for scores, single, low in ((table[table["turn"] == 1], True, 83.9), (table, False, None)):
        (found,) = intervals.samples(scores).values()
        assert found.single is single
        assert low is None or intervals.interval(found).low == pytest.approx(low, abs=0.05)


def test_an_interval_of_few_sessions_covers_the_truth_too():
    rng = np.random.default_rng(0)
    for number in (4, 8):
        covered = []
        for chance in (0.05, 0.2, 0.5, 0.95):
            for agreement in (0, 0.3):
                low, high = limits(sessions(rng, 4000, number, 5, chance, agreement))
                covered.append(((low <= chance) & (chance <= high)).mean())
        assert min(covered) > 0.91 and np.mean(covered) > 0.95


@pytest.mark.parametrize(("first", "second", "most"), [(0.9, 0.8, 0.985), (0.95, 0.05, 0.985), (0.97, 0.95, 1)])
def test_the_difference_of_two_methods_on_the_same_sessions_is_covered(first, second, most):
    """Both methods meet the same hard sessions and hard turns, and have luck of their own; wide where both are good."""
    rng = np.random.default_rng(5)
    covered = []
    for _ in range(300):
        session, turn, own = (rng.normal(size=size) for size in ((24, 1), (24, 5), (2, 24, 5)))
        luck = math.sqrt(0.3) * session + math.sqrt(0.3) * turn + math.sqrt(0.4) * own
        right = luck < reference.norm.ppf([first, second])[:, None, None]
        low, high = intervals.contrast([sample(value) for value in right.mean(axis=2)], [1, -1])[1:]
        covered.append(low <= 100 * (first - second) <= high)
    assert 0.925 <= np.mean(covered) <= most


def test_a_category_is_covered_where_its_tasks_lie_far_apart():
    rng = np.random.default_rng(3)
    chances = (0.95, 0.05, 0.6)
    draws = [sessions(rng, 300, 20, 5, chance, 0.3) for chance in chances]
    covered = []
    for run in range(300):
        parts = [intervals.interval(sample(own[run])) for own in draws]
        _, low, high = intervals.combine(parts, [1 / 3] * 3)
        covered.append(low <= 100 * np.mean(chances) <= high)
    assert 0.925 <= np.mean(covered) <= 0.99


def test_all_right_and_all_wrong_have_a_width_and_stay_within_bounds():
    right, wrong = intervals.interval(sample([1.0] * 20)), intervals.interval(sample([0.0] * 20))
    assert right.score == right.high == 100 and 80 < right.low < 90
    assert wrong.score == wrong.low == 0 and wrong.high == pytest.approx(100 - right.low)
    both = intervals.combine([right, wrong], [0.5, 0.5])
    assert both.score == 50 and 40 < both.low < 48 and 52 < both.high < 60


def test_scores_that_are_all_equal_have_a_narrow_interval_with_a_width():
    _, low, high = intervals.interval(only(scored("en_sum", [[0.6] * 5] * 20)))
    assert 55 < low < 60 < high < 65


def test_one_session_has_no_interval():
    score, low, high = intervals.interval(sample([1.0]))
    assert score == 100 and math.isnan(low) and math.isnan(high)
    assert math.isnan(intervals.combine([Interval(50, 40, 60), Interval(100, math.nan, math.nan)], [0.5, 0.5]).low)


def test_square_and_add_by_hand():
    found = intervals.combine([Interval(60, 50, 75), Interval(40, 36, 43)], [1, -1])
    assert found == pytest.approx((20, 20 - math.hypot(10, 3), 20 + math.hypot(15, 4)))
    assert intervals.combine([Interval(60, 50, 75)] * 4, [0.25] * 4) == pytest.approx((60, 55, 67.5))


def test_what_is_the_same_in_both_is_taken_out_of_a_difference():
    values = np.random.default_rng(0).random(40)
    score, low, high = intervals.contrast([sample(values), sample(values)], [1, -1])
    assert score == 0 and high - low < 4
    alone = intervals.interval(sample(values))
    assert high - low < 0.3 * (alone.high - alone.low)


def test_only_sessions_that_all_have_are_compared():
    first, second = sample([1.0, 0.0, 1.0]), sample([0.0, 0.0])
    assert intervals.contrast([first, second], [1, -1]).score == pytest.approx(50)
    strangers = Sample(np.char.add(second.sessions, "x"), second.values, second.spread)
    assert all(map(math.isnan, intervals.contrast([first, strangers], [1, -1])))


def test_models_are_averaged_session_by_session():
    found = intervals.averaged([sample([1.0, 0.0, 1.0]), sample([0.0, 0.0])])
    assert found.values.tolist() == [0.5, 0.0]


def pairs(first, second):
    weights = {"retr_kv": 1.0}
    return intervals.differences({"retr_kv": sample(first)}, {"retr_kv": sample(second)}, weights)


def test_the_test_of_signs_is_scipys_permutation_test_and_by_hand_for_four_sessions():
    assert intervals.sign_flip([pairs([1, 1, 1, 1], [0, 0, 0, 0])])[0] == pytest.approx(2 / 2**4)
    assert intervals.sign_flip([pairs([1, 1, 1, 0], [0, 0, 0, 1])])[0] == pytest.approx(10 / 2**4)
    rng = np.random.default_rng(0)
    first, second = rng.random(30), rng.random(30) - 0.1
    for number, slack in ((8, 1e-12), (30, 0.02)):
        both = first[:number], second[:number]
        expected = reference.permutation_test(both, lambda a, b: (a - b).mean(), permutation_type="samples")
        assert intervals.sign_flip([pairs(*both)])[0] == pytest.approx(expected.pvalue, abs=slack)


def test_a_test_of_equal_methods_is_wrong_as_often_as_it_may_be():
    rng = np.random.default_rng(2)
    drawn = [pairs(*sessions(rng, 2, 24, 5, 0.7, 0.2)) for _ in range(400)]
    assert 0.025 < (intervals.sign_flip(drawn) < 0.05).mean() < 0.08


def test_pairs_without_sessions_have_no_p_and_one_session_proves_nothing():
    found = intervals.sign_flip([pairs([1], [0]), pairs([], [])])
    assert found[0] == 1 and math.isnan(found[1])
    assert intervals.differences({"retr_kv": sample([1])}, {}, {"retr_kv": 1.0}) == {}


def test_differences_add_up_to_the_weighted_difference():
    weights = stats.WEIGHTS["string"]
    first, second = ({task: sample(np.random.default_rng(n).random(6)) for task in weights} for n in (1, 2))
    expected = np.mean([first[task].values.mean() - second[task].values.mean() for task in weights])
    assert sum(intervals.differences(first, second, weights).values()) == pytest.approx(expected)


def test_holm_by_hand():
    found = intervals.holm([0.01, 0.04, math.nan, 0.03, 0.005])
    np.testing.assert_allclose(found, [0.03, 0.06, math.nan, 0.06, 0.02])
    assert intervals.holm([0.9, 0.8]).tolist() == [1, 1]


def test_weights_of_tasks_make_the_category_and_the_average():
    rng = np.random.default_rng(0)
    scores = pd.concat([scored(name, rng.random((4, 4)), subtasks=list(task.subtasks)) for name, task in TASKS.items()])
    found = {cell[-1]: 100 * own.values.mean() for cell, own in intervals.samples(scores).items()}
    own = {name: sum(weight * found[task] for task, weight in part.items()) for name, part in stats.WEIGHTS.items()}
    expected = stats.per_category(scores).set_index("category")["score"].to_dict()
    assert own == pytest.approx(expected | {"average": stats.average(scores)["score"].item()})
