"""The documentation's pictures: each is made by a test, used by a page, described, and small."""

import re
from pathlib import Path

import pytest
from support.docs_pictures import FOLDER, PICTURES, SIZE_MAX, file_of

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]


def test_every_picture_comes_from_the_browser_tests() -> None:
    assert {file.name for file in FOLDER.iterdir()} == {file_of(one).name for one in PICTURES}


@pytest.mark.parametrize("picture", PICTURES)
def test_a_picture_is_small_and_a_page_shows_it_with_a_description(picture: str) -> None:
    assert file_of(picture).stat().st_size <= SIZE_MAX
    shown = re.compile(rf"!\[[^\]]{{20,}}\]\([^)]*pictures/{picture}\.webp\)", re.DOTALL)
    assert any(shown.search(page.read_text()) for page in PAGES)
