"""Figure 4: the average over budgets, in both modes (paper, Section 4)."""

from functools import partial

from scbench.artifacts.sweep import Panel, sweep_frame, write_sweep

PANELS = (
    Panel("multi_turn", "average", "Multi-turn"),
    Panel("multi_request", "average", "Multi-request"),
)

frame = partial(sweep_frame, panels=PANELS)
write = partial(write_sweep, panels=PANELS)
