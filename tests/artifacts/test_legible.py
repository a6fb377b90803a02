"""Figures as a reader sees them: no text outside its canvas, no text over another, markers beside each other."""

import itertools
import math

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from scbench.artifacts import (
    drawing,
    figure1,
    figure2,
    figure3,
    figure4,
    figure5,
    figure6,
    figure7,
    figure9,
    figure10,
    pareto,
)
from scbench.artifacts.board import Board, read_board
from scbench.artifacts.registered import read_registry
from scbench.artifacts.stamp import make_stamp
from scbench.attention import MOST_ROWS
from scbench.places import ROOT
from scbench.schema import read_yaml
from scbench.study import load_study
from tests.artifacts.conftest import fake_scores, study_config
from tests.artifacts.test_diagrams import recording, sizes

METHODS = read_yaml(ROOT / "config.yaml")["methods"]
SWEPT = (
    {"full": {}} | {f"snapkv-{n}": {"method": "snapkv", "budget": f"1/{n}"} for n in (4, 16, 64)} | {"cacheblend": {}}
)
STUDIES = {
    "the methods of the default study": {"methods": METHODS},
    "two models, labels of their own": {"models": ["minilm", "minilm_l"], "methods": SWEPT},
    "few tasks, one mode": {"tasks": ["retr_kv", "en_qa"], "modes": ["multi_turn"]},
}
OF_SCORES = [figure3, figure4, figure7, figure9, figure10, pareto]


def drawn(module, source, board, folder, monkeypatch) -> Figure:
    """The figure that `module` writes."""
    found = []

    def keep(figure, stamp, out):
        FigureCanvasAgg(figure).draw()
        found.append(figure)
        return []

    monkeypatch.setattr(drawing, "save", keep)
    # The other profile is in the twin alone, and its numbers take as long.
    monkeypatch.setattr(Board, "profiles", property(lambda self: (self.profile,)))
    name = module.__name__.rpartition(".")[2]
    module.write(module.frame(source, board), board, make_stamp(name, board, "0" * 64), folder / name)
    return found[0]


def texts(figure: Figure) -> list[Text]:
    """Every text that is drawn."""
    hidden = _not_drawn(figure)
    return [text for text in figure.findobj(Text) if text.get_text().strip() and text not in hidden]


def _not_drawn(figure: Figure) -> set[Text]:
    """The labels of axes that are switched off, and those of ticks outside the limits."""
    found: set[Text] = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            out = [tick for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high]
            found |= {text for tick in out for text in (tick.label1, tick.label2)}
            found |= set() if axes.axison else set(axis.findobj(Text))
    return found


def check(figure: Figure) -> None:
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts(figure)]
    assert boxes
    for said, box in boxes:
        inside = figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1
        assert inside and figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1, said
    for (said, one), (other, two) in itertools.combinations(boxes, 2):
        across, up = min(one.x1, two.x1) - max(one.x0, two.x0), min(one.y1, two.y1) - max(one.y0, two.y0)
        assert across <= 1 or up <= 2, f"{said!r} over {other!r}"


@pytest.fixture(scope="module", params=STUDIES, ids=str)
def study(request):
    config = STUDIES[request.param] | {"data": {"scale": "mini", "tokens": 1024, "sessions": 2}}
    board = read_board(load_study(study_config(**config), "study.json"))
    return board, fake_scores(board)


@pytest.mark.parametrize("module", OF_SCORES, ids=lambda module: module.__name__.rpartition(".")[2])
def test_no_text_of_a_figure_of_scores_is_cut_or_lies_over_another(module, study, tmp_path, monkeypatch):
    board, scores = study
    check(drawn(module, scores, board, tmp_path, monkeypatch))


def test_no_text_of_a_diagram_is_cut_or_lies_over_another(board, tmp_path, monkeypatch):
    registry = read_registry(load_study(study_config(), "study.json"))
    sources = {figure1: registry, figure2: sizes(board.sessions), figure5: registry}
    for module, source in (*sources.items(), (figure6, recording(turns=5)), (figure6, {"lacks": "It has none. " * 30})):
        check(drawn(module, source, board, tmp_path, monkeypatch))


def test_markers_of_pareto_stand_beside_each_other_and_each_has_its_name(board, scores, tmp_path, monkeypatch):
    figure = drawn(pareto, scores, board, tmp_path, monkeypatch)
    assert len(figure.axes) == 2 * len(board.modes)
    titles = {lines[0].title for lines in board.groups.values() if not lines[0].floor}
    for axes in figure.axes:
        points = [axes.transData.transform(line.get_xydata()[0]) for line in axes.lines if _is_marker(line, axes)]
        assert len(points) == len(titles)
        apart = pareto.SIZE * figure.dpi / 72
        for one, two in itertools.combinations(points, 2):
            assert math.dist(one, two) >= 0.95 * apart
    for row in (figure.axes[1], figure.axes[3]):
        assert {text.get_text() for text in row.texts} == titles


def _is_marker(line, axes) -> bool:
    return len(line.get_xdata()) == 1 and line.get_transform() == axes.transData


def test_figure_6_says_how_many_heads_and_rows_it_shows(board, tmp_path, monkeypatch):
    figure = drawn(figure6, recording(turns=5), board, tmp_path, monkeypatch)
    maps = [axes for axes in figure.axes if axes.images]
    said = " ".join(text.get_text() for text in sorted(figure.texts, key=lambda text: -text.get_position()[1]))
    assert f"of 4 the {len(maps)} that give it most" in said and len(maps) == 2
    assert f"at most {MOST_ROWS} of a turn" in said


def test_every_budget_of_a_study_is_within_its_axes(tmp_path, monkeypatch):
    board = read_board(load_study(study_config(methods=SWEPT), "study.json"))
    figure = drawn(figure4, fake_scores(board), board, tmp_path, monkeypatch)
    shares = {line.share for line in board.lines if line.share is not None and not line.baseline}
    assert len(shares) == 4
    for axes in figure.axes:
        low, high = axes.get_xlim()
        assert all(low < share < high for share in shares)
        labels = [tick.get_text() for tick in axes.get_xticklabels()]
        assert labels == ["1/64", "1/32", "1/16", "1/8", "1/4", "1/2", "1"]


@pytest.mark.parametrize("share", [1.0, 0.7, 1 / 3, 1 / 512])
def test_a_single_budget_of_any_size_has_a_tick(share, board, scores, tmp_path, monkeypatch):
    alone = figure4.frame(scores, board)
    alone = alone[alone["method"] == "snapkv"].assign(share=share)
    monkeypatch.setattr(figure4, "frame", lambda *_: alone)
    for axes in drawn(figure4, scores, board, tmp_path, monkeypatch).axes:
        low, high = axes.get_xlim()
        assert low < share < high and any(low < tick < high for tick in axes.get_xticks())
