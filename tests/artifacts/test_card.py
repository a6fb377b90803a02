"""What a trained model's card states, against the same numbers by another way."""

import json

import pandas as pd
import pytest

from scbench import stats
from scbench.artifacts.board import read_board
from scbench.artifacts.card import CONTRASTS, accuracy, effects
from scbench.errors import UserError
from scbench.study import FLOOR, ITSELF
from scripts import model_card

VARIANTS = {
    "full": {},
    "a_shape": {"budget": "1/8"},
    "tri_shape": {"budget": "1/8"},
    "streaming_llm": {"budget": "1/8"},
    "kivi-4bit": {"method": "kivi", "bits": 4},
    "kivi-2bit": {"method": "kivi", "bits": 2},
}
LOOKUPS = ["retr_kv", "retr_multihop"]


@pytest.fixture
def whole(make_study, make_scores):
    study = make_study()
    return study, make_scores(read_board(study))


@pytest.fixture
def compared(make_study, make_scores):
    study = make_study(study="effects", methods=VARIANTS, tasks=LOOKUPS, floor=False)
    return study, make_scores(read_board(study))


def shown(scores, task, method, turns):
    """Mean over turns of their means over sessions, in percent."""
    own = scores[(scores["task"] == task) & (scores["method"] == method) & (scores["mode"] == "multi_turn")]
    return 100 * own[own["turn"].isin(turns)].groupby("turn")["score_strict"].mean().mean()


def test_accuracies_are_those_of_the_tables(whole):
    study, scores = whole
    found = accuracy(study, "minilm", scores)
    full = scores[(scores["method"] == ITSELF) & (scores["mode"] == "multi_turn")]
    assert dict(found["categories"])["string"] == pytest.approx(
        stats.per_category(full).set_index("category")["score"]["string"]
    )
    row = next(row for row in found["rows"] if row["task"] == "retr_kv")
    assert row["score"] == pytest.approx(shown(scores, "retr_kv", ITSELF, range(1, 6)))
    assert row["floor"] == pytest.approx(shown(scores, "retr_kv", FLOOR, range(1, 6)))
    assert row["low"] <= row["score"] <= row["high"]
    assert [int(turn) for turn in row["turns"]] == [round(shown(scores, "retr_kv", ITSELF, [n])) for n in range(1, 6)]
    assert {"mix_sum_niah: needle", "mix_sum_niah: en_sum"} <= {row["task"] for row in found["rows"]}


def test_accuracies_without_a_floor_are_refused(whole):
    study, scores = whole
    with pytest.raises(UserError, match="give both score files"):
        accuracy(study, "minilm", scores[scores["method"] == ITSELF])


def test_effects_are_first_against_later_turns_of_every_row(compared):
    study, scores = compared
    found = effects(study, "minilm", scores)
    assert len(found["rows"]) == len(LOOKUPS) * len(VARIANTS)
    for row in found["rows"]:
        for score, low, high in (row["first"], row["later"], row["ahead"]):
            assert low <= score <= high
        assert row["ahead"][0] == pytest.approx(row["first"][0] - row["later"][0])
    by_title = {(row["task"], row["method"]): row for row in found["rows"]}
    streaming = by_title["retr_kv", "StreamingLLM"]
    assert streaming["budget"] == "1/8"
    assert streaming["first"][0] == pytest.approx(shown(scores, "retr_kv", "streaming_llm", [1]))
    assert streaming["later"][0] == pytest.approx(shown(scores, "retr_kv", "streaming_llm", range(2, 6)))


def test_contrasts_are_paired_and_of_rows_that_the_study_has(compared):
    study, scores = compared
    found = dict(effects(study, "minilm", scores)["contrasts"])
    assert set(found) == {contrast.words for contrast in CONTRASTS}
    score, low, high = dict(found["Tri-shape less A-shape on turn 1"])["retr_multihop"]
    assert score == pytest.approx(
        shown(scores, "retr_multihop", "tri_shape", [1]) - shown(scores, "retr_multihop", "a_shape", [1])
    )
    assert low <= score <= high


def test_a_row_against_itself_differs_by_nothing(compared):
    study, scores = compared
    same = scores[scores["method"] == "kivi-4bit"].assign(method="kivi-2bit")
    scores = pd.concat([scores[scores["method"] != "kivi-2bit"], same])
    contrasts = dict(effects(study, "minilm", scores)["contrasts"])
    assert dict(contrasts["4 bits less 2 bits, all turns"])["retr_kv"] == (0, 0, 0)


def test_effects_without_a_row_are_refused(compared):
    study, scores = compared
    with pytest.raises(UserError, match="a_shape, retr_kv, turn 1: 0 of 6 sessions are scored"):
        effects(study, "minilm", scores[scores["method"] != "a_shape"])
    cut = (scores["method"] == "kivi-2bit") & (scores["session"] == "retr_kv-0003") & (scores["turn"] == 4)
    with pytest.raises(UserError, match="kivi-2bit, retr_kv, turn 4: 5 of 6 sessions are scored"):
        effects(study, "minilm", scores[~cut])


def test_effects_of_turns_that_alternate_are_refused(make_study, make_scores):
    study = make_study(methods=VARIANTS, tasks=["retr_kv", "mix_sum_niah"], floor=False)
    with pytest.raises(UserError, match="turns of mix_sum_niah alternate"):
        effects(study, "minilm", make_scores(read_board(study)))


def test_the_card_of_a_bundled_model_is_written_whole(whole, compared, tmp_path):
    arguments = ["--model", "minilm", "--device", "a processor", "--out", str(tmp_path / "README.md")]
    report = model_card.ROOT / "resources" / "minilm" / "training.json"
    arguments += ["--report", str(report)]
    for (study, scores), config, files in ((whole, "--config", "--scores"), (compared, "--effects", "--effect-scores")):
        written = tmp_path / f"{study.name}.json"
        written.write_text(json.dumps(study.resolved()), encoding="utf-8")
        scores.to_parquet(tmp_path / f"{study.name}.parquet")
        arguments += [config, str(written), files, str(tmp_path / f"{study.name}.parquet")]
    model_card.main(arguments)
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert f"{json.loads(report.read_text(encoding='utf-8'))['steps']:,} steps" in card
    study, scores = compared
    assert card.count("| retr_kv |") == 1 + len(VARIANTS)
    assert f"| {shown(scores, 'retr_kv', 'a_shape', [1]):.1f} [" in card
    assert "{{" not in card and "None" not in card and "nan" not in card


def test_effects_of_another_model_are_not_mixed_in(make_study, make_scores):
    study = make_study(study="effects", models=["minilm", "minilm_l"], methods=VARIANTS, tasks=LOOKUPS, floor=False)
    scores = make_scores(read_board(study))
    rows = effects(study, "minilm_l", scores)["rows"]
    assert len(rows) == len(LOOKUPS) * len(VARIANTS)
    own = scores[scores["model"] == "minilm_l"]
    assert rows[1]["first"][0] == pytest.approx(shown(own, "retr_kv", "a_shape", [1]))
    assert rows[1]["first"][0] != pytest.approx(shown(scores, "retr_kv", "a_shape", [1]))


def test_effects_without_later_turns_or_of_an_absent_model_are_refused(make_study, make_scores):
    single = make_study(
        methods=VARIANTS, tasks=LOOKUPS, data={"scale": "mini", "tokens": 1024, "sessions": 6, "turns": 1}
    )
    for study, model in ((single, "minilm"), (make_study(methods=VARIANTS, tasks=LOOKUPS), "minilm_l")):
        with pytest.raises(UserError, match="no later turns, or no minilm"):
            effects(study, model, make_scores(read_board(study)))


def test_effects_without_their_scores_are_refused(capsys):
    with pytest.raises(SystemExit):
        model_card.main([*"--model m --report r --config c --scores s --device d --out o --effects e".split()])
    assert "--effects and --effect-scores go together" in capsys.readouterr().err
