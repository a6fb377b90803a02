"""The published protocol as it is measured against: the answers of ours, at the cost of the published one."""

import pytest

from scbench.engines.authors_protocol import TOKEN_BY_TOKEN, Work, run_session
from scbench.errors import UserError
from scbench.methods import METHODS, make
from tests.conformance.asking import CONTEXT, answers, requests_for
from tests.conformance.models import encoded

ABLE = [name for name in METHODS if not METHODS[name].assembles]


@pytest.mark.parametrize("name", ABLE)
def test_both_protocols_answer_alike(engine, name):
    session = encoded(limits=(6, 3, 5))
    ours = answers(engine, session, requests_for([name]))
    for mode in session:
        theirs = run_session(engine, session[mode], make(name, {}, CONTEXT), Work())
        assert theirs == [output.token_ids for output in ours[f"{name} {mode}"]]


@pytest.mark.parametrize("name", ["full", *TOKEN_BY_TOKEN])
def test_work_is_counted(engine, name):
    session = encoded(limits=(4, 1, 3), stop=frozenset())
    later = {mode: sum(map(len, session[mode].queries)) for mode in session}
    later["multi_turn"] += len(session["multi_turn"].answers[0]) + len(session["multi_turn"].answers[1])
    for mode, follow_ups in (("multi_turn", 2), ("multi_request", 3)):
        work = Work()
        run_session(engine, session[mode], make(name, {}, CONTEXT), work)
        passes = later[mode] if name in TOKEN_BY_TOKEN else follow_ups
        assert work == Work(len(session[mode].first) + later[mode], 1 + passes, 3 + 0 + 2)


def test_what_it_cannot_run_is_refused(engine):
    with pytest.raises(UserError, match=r"cacheblend: .*prefixes alone"):
        run_session(engine, encoded()["multi_turn"], make("cacheblend", {}, CONTEXT), Work())
