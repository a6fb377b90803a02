"""Whether rows are computed alike whatever stands beside them is tried out, and a model that fails is found out."""

import pytest
import torch

from scbench.engines.alike import MOST, PARAMETERS, rows_alike

VOCABULARY = 50
TABLE = torch.randn(VOCABULARY, 7, generator=torch.Generator().manual_seed(0))


def forward(spoil):
    """A model of one product, whose rows come out as `spoil` has it: rows [T, 7] and places [T] -> rows."""

    def run(store, ids, position, rows):
        found = TABLE[torch.tensor(ids)] * (1 + torch.tensor(position)[:, None])
        return spoil(found, torch.arange(len(ids))[:, None])[list(rows)]

    return run


def test_rows_that_depend_on_themselves_alone_are_alike():
    assert rows_alike(forward(lambda rows, place: rows), VOCABULARY) == MOST


@pytest.mark.parametrize(
    "spoil",
    [
        lambda rows, place: rows if len(rows) > 16 else rows.nextafter(rows + 1),
        lambda rows, place: rows if len(rows) != 112 else rows.nextafter(rows + 1),
        lambda rows, place: torch.where(place % 16 == 15, rows.nextafter(rows + 1), rows),
        lambda rows, place: rows + rows.sum(0) * 1e-6,
    ],
    ids=["few rows", "one size", "place", "neighbours"],
)
def test_one_bit_that_depends_on_others_is_found(spoil):
    assert rows_alike(forward(spoil), VOCABULARY) == 0


def test_models_that_are_not_small_are_not_tried(engine, monkeypatch):
    monkeypatch.delitem(engine.__dict__, "rows_alike", raising=False)
    monkeypatch.setattr(engine.model, "num_parameters", lambda: PARAMETERS + 1)
    assert engine.rows_alike == 0
    del engine.__dict__["rows_alike"]
