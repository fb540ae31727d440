"""Fixtures shared by all tests."""

import os
from pathlib import Path

import hypothesis
import pytest

ROOT = Path(__file__).parents[1]

# no test fails by being slow
hypothesis.settings.register_profile("maskmill", deadline=None)
hypothesis.settings.load_profile("maskmill")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real data sets: MASKMILL_TEST_DATA, or shared/data beside the checkout; skips where absent."""
    folder = Path(os.environ.get("MASKMILL_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real data not found at {folder}; set MASKMILL_TEST_DATA")
    return folder
