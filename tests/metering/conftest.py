"""What most tests of metering need."""

import pytest

from tests.fakes.meters import TickingClock


@pytest.fixture
def clock() -> TickingClock:
    """A clock that goes on when told so."""
    return TickingClock()
