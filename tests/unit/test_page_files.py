"""The files of the pages for people are read once; an asset's address changes with its content."""

from pathlib import Path

import pytest
from jinja2 import UndefinedError

from payd.transport.page_files import Assets, templates_of, texts_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A package with one text, one template and two assets."""
    for name, content in {
        "en.json": '{"hello": "Good day, {name}"}',
        "templates/page.html": "{{ t['hello'].format(name=name) }} {{ assets_version }}",
        "templates/wrong.html": "{{ t['no such text'] }}",
        "assets/a.css": "body {}",
        "assets/b.js": "let one;",
    }.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(content, encoding="utf-8")
    return tmp_path


def test_a_template_sees_the_texts_the_version_and_names_of_its_package(folder: Path) -> None:
    assets = Assets.of(folder)
    page = templates_of(folder, assets, name="<b>").get_template("page.html").render()
    assert page == f"Good day, &lt;b&gt; {assets.version}"


def test_a_text_that_does_not_exist_is_a_fault_and_not_an_empty_place(folder: Path) -> None:
    template = templates_of(folder, Assets.of(folder)).get_template("wrong.html")
    with pytest.raises(UndefinedError):
        template.render()


def test_an_asset_may_be_kept_because_its_version_changes_with_it(folder: Path) -> None:
    before = Assets.of(folder)
    assert before.files["a.css"].headers["Content-Type"] == "text/css; charset=utf-8"
    assert "immutable" in before.files["b.js"].headers["Cache-Control"]
    (folder / "assets" / "b.js").write_text("let two;", encoding="utf-8")
    assert Assets.of(folder).version != before.version


def test_texts_cannot_be_changed_by_a_page(folder: Path) -> None:
    with pytest.raises(TypeError):
        texts_of(folder)["hello"] = "Bye"  # type: ignore[index]
