import threading

import pytest

from greenpose.training.step import ahead


@pytest.mark.parametrize("threads", [0, 1, 3])
@pytest.mark.parametrize("count", [0, 1, 2, 10])
def test_everything_comes_once_and_in_order(threads, count):
    assert list(ahead(lambda number: number**2, range(count), threads=threads)) == [n**2 for n in range(count)]


def test_no_more_than_the_threads_are_made_ahead():
    taken = []

    def items():
        for number in range(10):
            taken.append(number)
            yield number

    stream = ahead(lambda number: number, items(), threads=2)
    assert next(stream) == 0
    assert taken == [0, 1, 2]
    assert next(stream) == 1
    assert taken == [0, 1, 2, 3]
    stream.close()


def test_without_threads_nothing_is_made_before_it_is_asked_for_nor_elsewhere():
    made = []
    stream = ahead(lambda _: made.append(threading.current_thread()), range(3), threads=0)
    assert made == []
    next(stream)
    assert made == [threading.current_thread()]


@pytest.mark.parametrize("threads", [0, 2])
def test_what_cannot_be_made_fails_in_its_turn(threads):
    stream = ahead(lambda number: 1 // (2 - number), range(5), threads=threads)
    assert [next(stream), next(stream)] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(stream)
