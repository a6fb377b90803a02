"""Figure 7: categories over budgets, multi-turn (paper, appendix)."""

from functools import partial

from scbench.artifacts.sweep import CATEGORY_TITLES, Panel, sweep_frame, write_sweep

PANELS = tuple(Panel("multi_turn", column, title) for column, title in CATEGORY_TITLES.items())

frame = partial(sweep_frame, panels=PANELS)
write = partial(write_sweep, panels=PANELS)
