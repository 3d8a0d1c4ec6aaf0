"""The planted model that tests of predictions share: they read it and write elsewhere."""

import pytest

from tests.predict.planted import artefact


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    return artefact(tmp_path_factory.mktemp("model") / "exported")
