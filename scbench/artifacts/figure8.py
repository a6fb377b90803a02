"""Figure 8: categories over budgets, multi-request (paper, appendix)."""

from functools import partial

from scbench.artifacts.sweep import CATEGORY_TITLES, Panel, sweep_frame, write_sweep

PANELS = tuple(Panel("multi_request", column, title) for column, title in CATEGORY_TITLES.items())

frame = partial(sweep_frame, panels=PANELS)
write = partial(write_sweep, panels=PANELS)
