"""Who may learn from whom: what does not fit a network is refused, in the words of an experiment's file."""

import pytest

from greenpose.config import Edge, Wiring
from greenpose.errors import ConfigError, GreenPoseError


def edge(teacher, student):
    return Edge(teacher=teacher, student=student)


def test_the_final_exit_alone_sees_the_labels_by_default():
    wiring = Wiring(exits=(3, 4), edges=(edge(4, 3),))
    assert (wiring.final, wiring.labelled) == (4, (4,))


def test_all_faults_are_reported_together():
    with pytest.raises(ConfigError) as caught:
        Wiring(exits=(2, 3), edges=(edge(1, 4), edge(2, 2), edge(3, 2), edge(3, 2)), supervised=(3, 4, 3))
    assert caught.value.faults == (
        "wiring.teach[0]: exit 1 does not exist; this network has exits 2, 3",
        "wiring.teach[0]: exit 4 does not exist; this network has exits 2, 3",
        "wiring.teach[1]: exit 2 cannot teach itself",
        "wiring.teach[3]: 3->2 is named twice",
        "wiring.supervise[1]: exit 4 does not exist; this network has exits 2, 3",
        "wiring.supervise[2]: exit 3 is named twice",
    )


@pytest.mark.parametrize(
    ("edges", "supervised", "idle"),
    [((), None, 2), ((edge(2, 3),), None, 2), ((edge(2, 3),), (2,), None), ((), (2,), 3)],
)
def test_an_exit_that_learns_from_nobody_is_refused(edges, supervised, idle):
    if idle is None:
        Wiring(exits=(2, 3), edges=edges, supervised=supervised)
        return
    with pytest.raises(
        GreenPoseError, match=f"wiring: exit {idle} learns nothing; supervise it or let an exit teach it"
    ):
        Wiring(exits=(2, 3), edges=edges, supervised=supervised)


@pytest.mark.parametrize(
    ("edges", "supervised", "depth", "exits", "kept", "labelled"),
    [
        ((edge(4, 2), edge(4, 3)), (2, 3, 4), 3, (2, 3), (), (2, 3)),
        ((edge(3, 2), edge(4, 3)), (4,), 3, (2, 3), (edge(3, 2),), (3,)),
        ((edge(3, 2), edge(4, 3)), (4,), 2, (2,), (), (2,)),
        ((edge(4, 2), edge(4, 3)), (4,), 3, (3,), (), (3,)),
        ((edge(4, 2), edge(4, 3)), (4,), 4, (2, 3, 4), (edge(4, 2), edge(4, 3)), (4,)),
        ((edge(4, 1), edge(1, 2), edge(2, 3)), (4,), 3, (3,), (), (3,)),
    ],
)
def test_as_far_as_an_exit_that_one_sees_the_labels_and_those_taught_from_beyond_wait(
    edges, supervised, depth, exits, kept, labelled
):
    shallow = Wiring(
        exits=tuple(sorted({4, *(one for each in edges for one in each)})), edges=edges, supervised=supervised
    ).up_to(depth)
    assert (shallow.exits, shallow.edges, shallow.labelled) == (exits, kept, labelled)


def test_without_exits_there_is_nothing_to_wire():
    with pytest.raises(GreenPoseError, match="no exits"):
        Wiring(exits=())
