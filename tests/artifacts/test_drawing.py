import colorsys
import itertools
import math

import matplotlib
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from scbench.artifacts.drawing import (
    NOTE_COLUMNS,
    add_axes,
    name_beside,
    names_height,
    names_width,
    only_words,
    pens,
    save,
    separate,
    sidestep,
    style,
    wrap,
    write_figure,
)
from scbench.artifacts.stamp import Stamp

STAMP = Stamp("figure3", "mini", "strict", "20 sessions a task", "0123456789abcdef" * 4)
CLASSES = [
    ("full", "baseline"),
    ("a", "linear"),
    ("b", "linear"),
    ("s", "sublinear"),
    ("t", "sublinear"),
    ("u", "unstated"),
    ("z", "floor"),
]

percents = st.lists(st.floats(0, 100), min_size=1, max_size=12)


@given(percents)
def test_separated_labels_keep_their_distance_their_order_and_their_bounds(values):
    places = separate(values, 6, 2, 98)
    assert all(2 - 1e-9 <= place <= 98 + 1e-9 for place in places)
    order = sorted(range(len(values)), key=lambda index: values[index])
    for low, high in itertools.pairwise(order):
        assert places[high] - places[low] >= 6 - 1e-9


@given(st.lists(st.floats(0, 100), min_size=20, max_size=60))
def test_too_many_labels_share_the_room_evenly(values):
    places = sorted(separate(values, 6, 0, 100))
    assert places[0] == pytest.approx(0) and places[-1] == pytest.approx(100)


def test_labels_far_apart_stay_where_they_are():
    assert separate([80, 10, 40], 6, 2, 98) == [80, 10, 40]


def test_close_labels_spread_around_their_middle():
    assert separate([50, 50], 6, 2, 98) == [47, 53]


def test_no_two_methods_are_drawn_alike():
    names = [(f"m{number}", "linear") for number in range(8)] + [(f"s{number}", "sublinear") for number in range(4)]
    drawn = pens(names)
    assert len({(pen.color, pen.marker) for pen in drawn.values()}) == len({pen.color for pen in drawn.values()}) == 12


@given(st.lists(st.sampled_from(["linear", "sublinear"]), max_size=24))
def test_no_two_of_a_long_study_are_drawn_alike(classes):
    drawn = pens((f"m{number}", kind) for number, kind in enumerate(["baseline", *classes]))
    assert len({(pen.color, pen.marker) for pen in drawn.values()}) == len(drawn)


def test_classes_differ_in_hue_and_in_line_style():
    drawn = pens(CLASSES)
    warm = {name: colorsys.rgb_to_hls(*to_rgb(pen.color))[0] for name, pen in drawn.items()}
    assert all(0.4 < warm[name] < 0.8 for name in ("a", "b"))
    assert all(warm[name] < 0.15 or warm[name] > 0.9 for name in ("s", "t"))
    assert len(set(to_rgb(drawn["u"].color))) == 1
    assert len({drawn[name].linestyle for name in ("a", "s", "u", "z")}) == 4
    assert drawn["a"].linestyle == drawn["b"].linestyle != drawn["s"].linestyle == drawn["t"].linestyle


def test_a_pen_does_not_depend_on_methods_of_the_other_class():
    both, alone = pens(CLASSES), pens([entry for entry in CLASSES if entry[1] != "sublinear"])
    assert both["b"].color == alone["b"].color


def figure() -> Figure:
    drawing = Figure(figsize=(2, 1))
    add_axes(drawing, 0.3, 0.2, 1.5, 0.7).plot([1, 2], [3, 4])
    return drawing


def test_saved_twice_the_bytes_are_the_same(tmp_path, monkeypatch):
    first = save(figure(), STAMP, tmp_path / "one")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    second = save(figure(), STAMP, tmp_path / "two")
    assert [path.suffix for path in first] == [".pdf", ".png"]
    for one, two in zip(first, second, strict=True):
        assert one.read_bytes() == two.read_bytes()


def test_the_stamp_is_in_the_metadata_and_no_date_is(tmp_path):
    pdf, png = (path.read_bytes() for path in save(figure(), STAMP, tmp_path / "one"))
    for data in (pdf, png):
        assert b"lineage " + STAMP.lineage.encode() in data
        assert STAMP.line.encode() in data
    assert b"CreationDate" not in pdf and b"ModDate" not in pdf
    assert b"Software" not in png and b"tIME" not in png


def test_the_readers_own_matplotlib_settings_do_not_show(tmp_path):
    with style():
        save(figure(), STAMP, tmp_path / "one")
    with matplotlib.rc_context({"lines.linewidth": 9, "font.size": 30, "axes.facecolor": "red"}), style():
        save(figure(), STAMP, tmp_path / "two")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_footers_are_wrapped_and_lose_no_word():
    sentences = ["word " * 100, "short"]
    lines = wrap(sentences, 4)
    assert all(len(line) <= 4 * NOTE_COLUMNS for line in lines)
    assert " ".join(lines).split() == " ".join(sentences).split()


def log_axes() -> tuple[Figure, matplotlib.axes.Axes]:
    drawing = Figure(figsize=(3, 3))
    axes = add_axes(drawing, 0.5, 0.5, 2, 2)
    axes.set(xscale="log", xlim=(0.1, 2), ylim=(0, 100))
    return drawing, axes


def in_points(axes, x, y):
    return [tuple(axes.transData.transform(point) * 72 / axes.figure.dpi) for point in zip(x, y, strict=True)]


@given(st.lists(st.tuples(st.floats(0.12, 1.8), st.floats(0, 100)), max_size=25))
def test_markers_that_stepped_aside_do_not_cover_each_other_and_keep_their_height(points):
    _, axes = log_axes()
    x, y = [point[0] for point in points], [point[1] for point in points]
    moved = in_points(axes, sidestep(axes, x, y, 4.0), y)
    for (left, up), (other, height) in itertools.combinations(moved, 2):
        assert math.hypot(left - other, up - height) >= 0.97 * 4.0
    far = [math.dist(one, two) for one, two in itertools.combinations(in_points(axes, x, y), 2)]
    if min(far, default=9) > 4.0:
        assert sidestep(axes, x, y, 4.0) == x


def test_a_marker_without_a_free_place_stays_and_one_that_is_missing_takes_none():
    _, axes = log_axes()
    assert sidestep(axes, [0.5, 0.5, 0.5], [50, 50, 50], 4.0, room=3) == [0.5, 0.5, 0.5]
    moved = sidestep(axes, [0.5, math.nan, 0.5], [50, 50, math.nan], 4.0)
    assert moved[0] == moved[2] == 0.5 and math.isnan(moved[1])


@pytest.mark.parametrize("heights", [[50.0] * 12, [0.0, 100.0, math.nan], list(range(0, 90, 9))], ids=str)
def test_names_beside_axes_do_not_overlap_and_end_where_they_said(heights):
    titles = {f"m{number}": f"A method, {number}" for number in range(len(heights))}
    drawn = pens((name, "linear") for name in titles)
    with style():
        width = names_width(titles.values())
        figure = Figure(figsize=(2 + width, 3))
        axes = add_axes(figure, 0.5, 0.5, 1.5, names_height(len(titles), least=1))
        axes.set(ylim=(0, 100), xlim=(0, 1))
        name_beside(axes, {name: (0.5, height) for name, height in zip(titles, heights, strict=True)}, drawn, titles)
        boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) == len(heights)
    assert all(box.x1 <= figure.bbox.x1 for box in boxes)
    for one, two in itertools.combinations(boxes, 2):
        assert one.y0 >= two.y1 - 1 or two.y0 >= one.y1 - 1
    leaders = [line for line in axes.lines if len(line.get_xdata()) == 2]
    assert len(leaders) == sum(not math.isnan(height) for height in heights)


def test_a_figure_is_written_with_its_twin_in_our_style(tmp_path):
    frame = pd.DataFrame({"score": [0.123456]})
    with matplotlib.rc_context({"font.size": 30}):
        paths = write_figure(lambda: only_words("Nothing was measured.", STAMP), frame, STAMP, tmp_path / "one.pdf")
    assert [path.name for path in paths] == ["one.pdf", "one.png", "one.csv"]
    assert paths[2].read_text() == "score\n0.1235\n"
    with style():
        assert only_words("Nothing was measured.", STAMP).get_size_inches()[1] < 0.6
