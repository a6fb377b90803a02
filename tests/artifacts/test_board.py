import pytest

from scbench.artifacts.board import FLOOR_TITLE
from scbench.methods import METHODS


@pytest.fixture
def not_built(monkeypatch):
    """A method of the paper, as in a version that does not have it."""
    monkeypatch.delitem(METHODS, "quest", raising=False)
    return "quest"


def test_lines_are_the_rows_of_the_study_in_its_order_with_the_floor_last(make_board):
    board = make_board(methods={"snapkv": {"budget": "1/8"}, "full": {}})
    assert [line.label for line in board.lines] == ["snapkv", "full", "no_context"]
    assert [line.floor for line in board.lines] == [False, False, True]
    assert board.lines[-1].title == FLOOR_TITLE


def test_a_study_without_a_floor_has_no_floor_line(make_board):
    assert not any(line.floor for line in make_board(floor=False).lines)


def test_titles_are_the_methods_own_unless_the_study_names_a_variant(make_board):
    board = make_board(methods={"snapkv": {}, "snapkv_wide": {"method": "snapkv", "budget": "1/4"}})
    assert [line.title for line in board.lines[:2]] == ["SnapKV", "snapkv_wide"]


def test_budgets_read_as_shares_beside_the_other_settings(make_board):
    methods = {
        "full": {},
        "a_shape": {"budget": 0.125},
        "snapkv": {"budget": 256, "window": 8},
        "kivi": {"bits": 2},
    }
    assert [line.budget for line in make_board(methods=methods).lines[:4]] == [
        "",
        "1/8",
        "1/4, window 8",
        "1/8, bits 2",
    ]


def test_memory_classes_come_from_the_methods(board):
    assert {line.label: line.memory for line in board.lines} == {
        "full": "O(n)",
        "a_shape": "O(n)",
        "tri_shape": "O(n)",
        "kivi": "O(n)",
        "streaming_llm": "sub-O(n)",
        "snapkv": "sub-O(n)",
        "no_context": "",
    }


def test_what_no_method_states_has_no_memory_class(make_board, not_built):
    board = make_board(models=["llama_3_1_8b", "codestral_mamba"], methods={"full": {}, not_built: {}})
    assert {line.model: line.memory for line in board.lines if line.label == "full"} == {
        "llama_3_1_8b": "O(n)",
        "codestral_mamba": "",
    }
    assert [line.memory for line in board.lines if line.label == not_built] == [""]


def test_only_full_attention_is_the_baseline(board):
    assert [line.label for line in board.lines if line.baseline] == ["full"]


def test_a_model_that_is_its_own_method_is_one_line_named_after_it(make_board):
    board = make_board(models=["llama_3_1_8b", "codestral_mamba"], floor=False)
    line = board.lines[-1]
    assert (line.title, line.group, line.baseline) == ("Codestral-Mamba", "codestral_mamba", False)
    assert len([line for line in board.lines if line.model == "codestral_mamba"]) == 1


def test_groups_gather_a_method_over_models(make_board):
    board = make_board(models=["llama_3_1_8b", "glm_4_9b_1m"])
    assert [line.model for line in board.groups["snapkv"]] == ["llama_3_1_8b", "glm_4_9b_1m"]
    assert sum(map(len, board.groups.values())) == len(board.lines)


def test_a_method_that_is_planned_but_not_built_keeps_its_line(make_board, not_built):
    board = make_board(methods={"full": {}, not_built: {}})
    assert not_built in [line.title for line in board.lines]


def test_sessions_are_the_studys_or_the_published_numbers(make_board):
    assert set(make_board().sessions.values()) == {6}
    published = make_board(models=["llama_3_1_8b"], data={"scale": "paper", "source": "published"})
    assert published.sessions["retr_multihop"] == 90


def test_the_studys_profile_comes_first(make_board):
    assert make_board(scoring="compat").profiles == ("compat", "strict")
    assert make_board(scoring="strict").profiles == ("strict", "compat")


def test_a_reader_is_told_that_requests_were_query_aware(make_board):
    assert make_board().caveats == ()
    assert "question was encoded together with the context" in make_board(query_aware=True).caveats[0]
    assert make_board(query_aware=True, modes=["multi_turn"]).caveats == ()


def test_the_floor_of_a_model_that_is_its_own_method_is_no_part_of_the_others_average(make_board):
    board = make_board(models=["llama_3_1_8b", "jamba"])
    assert {line.model for line in board.lines if line.floor} == {"llama_3_1_8b", "jamba"}
    assert [line.model for line in board.groups["no_context"]] == ["llama_3_1_8b"]
    alone = make_board(models=["jamba"])
    assert [line.model for line in alone.groups["no_context"]] == ["jamba"]
