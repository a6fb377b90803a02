import colorsys
import itertools

import matplotlib
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from scbench.artifacts.drawing import add_axes, pens, save, separate, style, wrap
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
    lines = wrap(sentences)
    assert all(len(line) <= 140 for line in lines)
    assert " ".join(lines).split() == " ".join(sentences).split()
