"""En.Sum: summaries, recomputed from the text of a session."""

import itertools
import re

import pytest

from scbench.tasks import papers
from tests.tasks.documented import SUM, blocks_of, build, slot, texts, turns_of


def documents_of(session):
    """Number -> what a reader finds in the document: method, problem, data or the document that has them, finding."""
    found = {}
    for block in blocks_of(session):
        title, body = block.split("\nAbstract. ")
        number, method = re.fullmatch(r"Doc (\d+): (\w+ \w+)", title).groups()
        body = re.sub(r" ?The pass key of the [a-z ]+ is \d+\. Remember it\.", "", body).strip()
        found[number] = {
            "method": method,
            "sentences": body.count("."),
            "problem": re.search(rf"{method} (?:targets|was built for) (\w+ \w+)\.", body)[1],
            "data": re.search(rf"Doc {number} uses (\w+ \w+) data\.|$", body)[1],
            "same": re.search(rf"Doc {number} uses the same data as Doc (\d+)\.|$", body)[1],
            "finding": re.search(rf"{method} ((?:{'|'.join(papers.EFFECTS)}) \w+ \w+)\.", body)[1],
        }
    return found


@pytest.mark.parametrize("name", SUM)
def test_a_summary_follows_from_the_text(name):
    pointers = 0
    for index in range(30):
        session = build(name, index, tokens=2048, turns=16)
        documents = documents_of(session)
        assert list(documents) == [str(number) for number in range(1, len(documents) + 1)]
        assert len({document["method"] for document in documents.values()}) == len(documents)
        for turn in turns_of(session, "en_sum"):
            number = re.fullmatch(r"Please summarize Doc (\d+)\.", turn.query)[1]
            document = documents[number]
            source = documents[document["same"]] if document["same"] else document
            pointers += source is not document
            assert turn.golds == (
                f"This paper proposes {document['method']} for {document['problem']} "
                f"with {source['data']} data and {document['finding']}.",
            )
            assert 15 <= len(turn.golds[0].split()) <= 25
    assert pointers > 20


@pytest.mark.parametrize("name", SUM)
def test_documents_have_four_to_eight_sentences_and_point_at_distant_data(name):
    for index, tokens in itertools.product(range(15), (256, 1024, 4096)):
        documents = documents_of(build(name, index, tokens=tokens, turns=2))
        for number, document in documents.items():
            assert 4 <= document["sentences"] <= 8
            assert (document["data"] is None) != (document["same"] is None)
            if document["same"]:
                assert int(document["same"]) <= int(number) // 2
                assert documents[document["same"]]["data"]


@pytest.mark.parametrize("name", SUM)
def test_the_evidence_of_a_summary_holds_every_word_of_it(name):
    for index in range(20):
        session = build(name, index, turns=8)
        for turn in turns_of(session, "en_sum"):
            number = re.search(r"\d+", turn.query)[0]
            evidence = texts(session, turn)
            assert evidence[0].startswith(f"Doc {number}:")
            assert len(evidence) == 4 + ("same data" in evidence[2])
            frame = set("This paper proposes for with data and".split())
            assert set(turn.golds[0].rstrip(".").split()) - frame <= set(re.findall(r"\w+", " ".join(evidence)))
            assert all(text == text.strip() and text.endswith(".") for text in evidence)


def test_summary_targets_lie_one_in_each_slot():
    for index, order in itertools.product(range(20), ("published", "balanced")):
        session = build("en_sum", index, order=order)
        places = [int(re.search(r"\d+", turn.query)[0]) - 1 for turn in session.turns]
        slots = [slot(place, len(blocks_of(session)), 5) for place in places]
        assert (slots if order == "published" else sorted(slots)) == [0, 1, 2, 3, 4]


def test_documents_are_shortened_before_turns_are_refused():
    few = len(blocks_of(build("en_sum", tokens=512, turns=1)))
    many = build("en_sum", tokens=512, turns=few + 2)
    assert len(blocks_of(many)) >= few + 2
