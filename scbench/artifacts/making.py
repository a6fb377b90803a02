"""From the files of a study to an artifact with its sidecars."""

from collections.abc import Sequence
from pathlib import Path

from scbench.artifacts import artifact
from scbench.artifacts.identity import board_of, identity
from scbench.artifacts.registered import read_registry
from scbench.artifacts.stamp import make_stamp
from scbench.errors import UserError
from scbench.provenance import lineage, record
from scbench.store import writing
from scbench.study import read_study

NEEDED = {
    "scores": ("--scores",),
    "answers": ("--scores",),
    "histories": ("--scores",),
    "asked": ("--scores",),
    "sessions": ("--sessions", "--tokenizer"),
    "attention": ("--attention",),
    "registry": (),
}


def make(
    name: str,
    kind: str,
    config: Path,
    out: Path,
    *,
    scores: Sequence[Path] = (),
    sessions: Sequence[Path] = (),
    tokenizer: Path | None = None,
    attention: Path | None = None,
) -> list[Path]:
    """Write the artifact `name` beside `out`, every file with its sidecar, and return the files.

    config: the resolved study. scores: score files, for an artifact drawn from scores; sessions and tokenizer: session
    files and the tokenizer.json of the study's first model, for one that describes the sessions;
    attention: what scripts.record_attention wrote. What the artifact does not need is refused: it would stand in no
    sidecar.
    Raises UserError for whatever a user can mend.
    """
    wanted = artifact(name, kind)
    wanted.files(out)
    given = {"--scores": bool(scores), "--sessions": bool(sessions)}
    given |= {"--tokenizer": tokenizer is not None, "--attention": attention is not None}
    needed = NEEDED[wanted.needs]
    for option, present in given.items():
        if present and option not in needed:
            raise UserError(f"{option}: {name} is not made from it; give {' and '.join(needed) or '--config'} alone")
        if not present and option in needed:
            raise UserError(f"{option}: {name} is made from it and it is missing; name the files of the study")
    study = read_study(config)
    board = board_of(wanted, study)
    if wanted.needs == "registry":
        inputs, source = [], read_registry(study)
    elif wanted.needs == "scores":
        from scbench.artifacts.scored import read_scores

        inputs = list(scores)
        source = read_scores(inputs, board)
    elif wanted.needs == "answers":
        from scbench.artifacts.answered import read_answers

        inputs = list(scores)
        source = read_answers(inputs, board)
    elif wanted.needs == "histories":
        from scbench.artifacts.histories import read_histories

        inputs = list(scores)
        source = read_histories(inputs, study)
    elif wanted.needs == "asked":
        from scbench.artifacts.asked import read_asked

        inputs = list(scores)
        source = read_asked(inputs, study)
    elif wanted.needs == "attention":
        from scbench.artifacts.watched import read_attention

        inputs, source = [attention], read_attention(attention)
    else:
        from scbench.artifacts.sized import read_sizes

        inputs = [*sessions, tokenizer]
        source = read_sizes(sessions, tokenizer, board)
    decided = identity(wanted, study)
    stamp = make_stamp(name, board, lineage(decided, inputs))
    module = wanted.load()
    frame = module.frame(source, board)
    with writing(out):
        written = module.write(frame, board, stamp, out)
        record(written, inputs, decided, libraries=wanted.libraries)
    return written
