"""Figure 9: accuracy turn by turn in string retrieval, semantic retrieval and global information (paper, appendix)."""

from functools import partial

from scbench.artifacts.turnfigure import turn_frame, write_turns

PANELS = {"string": "String retrieval", "semantic": "Semantic retrieval", "global": "Global information"}

frame = partial(turn_frame, panels=PANELS)
write = partial(write_turns, panels=PANELS)
