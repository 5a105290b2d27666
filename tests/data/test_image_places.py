"""Where the images of a list are: no name is ever read as the image of another."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from trees import save_image, write

from zsprompt.data import load_dataset
from zsprompt.data.image_lists import ImagePlace
from zsprompt.data.image_lists.places import _FORMS
from zsprompt.data.images import ImageFile, ImageRef
from zsprompt.data.inputs import find_sources
from zsprompt.errors import DataError

FIRST = 25
"""More names than those that decide where the images are."""

FORMS = {
    "with / for \\": ("a\\{}.png", "a/{}.png", "a/1.png"),
    "with the folder they name last": ("C:\\old\\a\\{}.png", "a/{}.png", "D:\\new\\a\\1.png"),
    "by file name alone": ("C:\\old\\a\\{}.png", "{}.png", "C:\\old\\b\\1.png"),
    "by the path that Label Studio serves": (
        "http://host/data/local-files/?d=in/the/a/{}.png",
        "in/the/a/{}.png",
        "http://other/data/local-files/?d=in/the/a/1.png",
    ),
    "by file name without Label Studio's prefix": (
        "/data/upload/3/0f0f0f0f-{}.png",
        "{}.png",
        "/data/upload/3/1f1f1f1f-1.png",
    ),
}
"""Form -> names in the list, their files, and another name for the first file."""


def listed(root: Path, name: str, file: str, *more: str, header: str = "image,labels", cell: str = "cat") -> Path:
    for n in range(1, FIRST + 1):
        save_image(root / file.format(n), noise=n)
    names = [*(name.format(n) for n in range(1, FIRST + 1)), *more]
    return write(root / "table.csv", "\n".join([header, *(f"{one},{cell}" for one in names), ""]))


def paths(images: Iterable[ImageRef]) -> list[Path]:
    return [image.path for image in images if isinstance(image, ImageFile)]


def test_every_form_is_here() -> None:
    assert {"", *FORMS} == set(_FORMS)


@pytest.mark.parametrize("form", FORMS)
def test_each_form_finds_its_images(tmp_path: Path, form: str) -> None:
    name, file, _ = FORMS[form]
    path = listed(tmp_path, name, file)
    data = load_dataset("list", root=path)
    expected = [tmp_path / file.format(n) for n in range(1, FIRST + 1)]
    assert paths(data.images) == expected
    assert paths(find_sources([path])) == expected


@pytest.mark.parametrize("form", FORMS)
def test_two_names_of_one_file_are_refused_with_both_rows(tmp_path: Path, form: str) -> None:
    name, file, other = FORMS[form]
    path = listed(tmp_path, name, file, other)
    for read in (lambda: load_dataset("list", root=path), lambda: list(find_sources([path]))):
        with pytest.raises(DataError) as caught:
            read()
        assert f"{path}, line 27: expected another file than for line 2" in str(caught.value)
        assert repr(name.format(1)) in str(caught.value)
        assert repr(other) in str(caught.value)


def test_a_name_with_and_one_without_the_suffix(tmp_path: Path) -> None:
    path = listed(tmp_path, "{}", "{}.png", "1.png")
    with pytest.raises(DataError, match=r"line 27: expected another file than for line 2"):
        load_dataset("list", root=path)


def test_the_form_that_keeps_all_names_apart_comes_first(tmp_path: Path) -> None:
    """The file names alone are there too, but are those of two folders."""
    path = listed(tmp_path, "C:\\old\\a\\{}.png", "{}.png", "C:\\old\\b\\1.png")
    for folder, count in (("a", 20), ("b", 1)):
        for n in range(1, count + 1):
            save_image(tmp_path / "photos" / folder / f"{n}.png", noise=n + 50)
    data = load_dataset("list", root=path)
    found = paths(data.images)
    assert found[0] == tmp_path / "photos" / "a" / "1.png"
    assert found[-1] == tmp_path / "photos" / "b" / "1.png"


def test_a_form_that_keeps_names_apart_but_finds_few_is_not_taken(tmp_path: Path) -> None:
    path = listed(tmp_path, "C:\\old\\a\\{}.png", "{}.png", "C:\\old\\b\\1.png")
    for n in range(1, 4):
        save_image(tmp_path / "photos" / "a" / f"{n}.png", noise=n + 50)
    with pytest.raises(DataError, match=r"line 27: expected another file than for line 2"):
        load_dataset("list", root=path)


def test_rows_of_boxes_may_repeat_a_changed_name(tmp_path: Path) -> None:
    path = listed(
        tmp_path, "C:\\old\\a\\{}.png", "{}.png", "C:\\old\\a\\1.png", header="image,class,xmin", cell="cat,3"
    )
    assert len(load_dataset("list", root=path).images) == FIRST


def test_the_suffix_that_names_lack_is_said(tmp_path: Path) -> None:
    (remark,) = load_dataset("list", root=listed(tmp_path, "{}", "images/{}.png")).remarks
    assert remark.sentence == (
        "guessed where the images are: in images/ next to table.csv, with .png added to each name"
    )


def test_a_place_says_how_names_are_read() -> None:
    assert ImagePlace(Path("x"), "by file name alone").path("C:\\a\\b.png") == Path("x/b.png")
