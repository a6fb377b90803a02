"""Figure 10: accuracy turn by turn in the mixed tasks, whose turns change between two kinds of question (appendix)."""

from functools import partial

from scbench.artifacts.turnfigure import turn_frame, write_turns

PANELS = {"multi": "Multi-tasking"}

frame = partial(turn_frame, panels=PANELS)
write = partial(write_turns, panels=PANELS)
