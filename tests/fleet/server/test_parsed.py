"""What was parsed of a document is taken for its state only while the document is the one that was parsed."""

from sanderling_fleet.core.parsed import REVISION, Parsed, new_revision
from sanderling_fleet.store import Document


def document(name, revision):
    return Document("state", name, 1, "", "", 0.0, 0.0, {REVISION: revision})


def test_a_state_is_taken_for_its_own_revision_only():
    states, first = Parsed(2), document("a", new_revision())
    assert states.of(first) is None
    assert states.keep(first, "one") == "one"
    again = document("a", first.body[REVISION])
    assert states.of(again) == "one", "the same, read anew"
    assert states.of(document("b", first.body[REVISION])) is None
    lost = document("a", new_revision())
    states.keep(lost, "written in a transaction that did not happen")
    assert states.of(first) is None


def test_the_states_used_last_are_kept():
    states = Parsed(2)
    documents = [document(name, new_revision()) for name in "abc"]
    for item in documents:
        states.keep(item, item.document_id)
    assert [states.of(item) for item in documents] == [None, "b", "c"]
