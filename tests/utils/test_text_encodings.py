"""Text files that cannot be read: one line with the likely encoding and the remedy, from every reader."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import ROOT
from trees import MAKERS

from zsprompt._utils.files import read_text
from zsprompt.data import load_dataset
from zsprompt.data.caption_csv import read_captions
from zsprompt.data.datasets.image_captions import read_image_captions
from zsprompt.data.image_lists import read_rows
from zsprompt.errors import ZspromptError
from zsprompt.evaluation.result_files import load_result
from zsprompt.experiments.ablation import read_plan
from zsprompt.prompts import load_bank, load_prompts
from zsprompt.prompts.label_text import read_labels
from zsprompt.report.of_ablation import ablation_report
from zsprompt.strategies import load_thresholds

TEXT = "hund\nkäfer\n"
LATIN, UTF_16 = TEXT.encode("latin-1"), TEXT.encode("utf-16")
UTF_16_WITHOUT_MARK = TEXT.replace("ä", "a").encode("utf-16-le")

READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "labels": ("words.txt", lambda path: read_labels(f"@{path}")),
    "thresholds": ("t.json", load_thresholds),
    "prompts": ("p.toml", load_prompts),
    "plan": ("plan.toml", read_plan),
    "caption bank": ("bank.jsonl", load_bank),
    "result": ("result.json", lambda path: load_result(path.parent)),
    "ablation": ("ablation.json", lambda path: ablation_report(path.parent)),
    "csv list": ("x.csv", lambda path: list(read_rows(path))),
    "json lines": ("x.jsonl", lambda path: list(read_rows(path))),
    "caption csv": ("c.csv", read_captions),
    "image captions": ("i.csv", read_image_captions),
}
"""Every reader of one file, with a name that it takes."""

READ_UTF_16 = ("csv list", "image captions")
"""Readers of CSV files, which Excel writes in UTF-16; its byte-order mark leaves no doubt."""

WHOLE = ("labels", "thresholds", "prompts", "plan", "caption bank", "result", "ablation")
"""Readers of small files, which are read as a whole."""

TEXT_FILES = (".txt", ".csv", ".tsv", ".json", ".jsonl")


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(ZspromptError) as caught:
        call()
    return str(caught.value)


def assert_readable(text: str) -> None:
    assert "\n" not in text
    for raw in ("Errno", "codec", "0xff in position", "utf-8-sig", "Error:"):
        assert raw not in text


@pytest.mark.parametrize("reader", READERS)
def test_a_latin_1_file_says_so(reader: str, tmp_path: Path) -> None:
    name, read = READERS[reader]
    (tmp_path / name).write_bytes(LATIN)
    text = refusal(lambda: read(tmp_path / name))
    assert_readable(text)
    assert "expected UTF-8, found byte 0xe4, as in Latin-1 (Windows-1252)" in text
    assert f"iconv -f WINDOWS-1252 -t UTF-8 {name} > new-{name}" in text


@pytest.mark.parametrize("reader", READ_UTF_16)
def test_a_csv_in_utf_16_is_read(reader: str, tmp_path: Path) -> None:
    name, read = READERS[reader]
    text = "image\tcaption\nkäfer.png\tein Käfer\n"
    (tmp_path / name).write_text(text, encoding="utf-8")
    expected = read(tmp_path / name)
    (tmp_path / name).write_text(text, encoding="utf-16")
    assert read(tmp_path / name) == expected


@pytest.mark.parametrize("reader", [reader for reader in READERS if reader not in READ_UTF_16])
def test_a_utf_16_file_says_so(reader: str, tmp_path: Path) -> None:
    name, read = READERS[reader]
    (tmp_path / name).write_bytes(UTF_16)
    text = refusal(lambda: read(tmp_path / name))
    assert_readable(text)
    assert "as in UTF-16; save it as UTF-8, or convert it: iconv -f UTF-16 -t UTF-8" in text


@pytest.mark.parametrize("reader", WHOLE)
def test_utf_16_without_a_mark_is_recognised(reader: str, tmp_path: Path) -> None:
    name, read = READERS[reader]
    (tmp_path / name).write_bytes(UTF_16_WITHOUT_MARK)
    text = refusal(lambda: read(tmp_path / name))
    assert_readable(text)
    assert "found a zero byte, as in UTF-16" in text


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("what", ["missing", "folder"])
def test_a_file_that_is_missing_or_a_folder_is_one_plain_line(reader: str, what: str, tmp_path: Path) -> None:
    name, read = READERS[reader]
    if what == "folder":
        (tmp_path / name).mkdir()
    assert_readable(refusal(lambda: read(tmp_path / name)))


@pytest.mark.parametrize(
    ("dataset", "content"),
    [
        pytest.param(name, content, id=f"{encoding}-{name}")
        for name in MAKERS
        for encoding, content in (("latin-1", LATIN), ("utf-16", UTF_16))
        if name != "scenes" and (name, content) != ("folder", UTF_16)  # which is a CSV
    ],
)
def test_a_data_set_names_the_encoding_of_its_files(dataset: str, content: bytes, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    MAKERS[dataset](root)
    if dataset in ("image-folders", "shards"):
        (root / "classes.txt").write_text("", encoding="utf-8")
    named = 0
    for path in [path for path in sorted(root.rglob("*")) if path.suffix in TEXT_FILES]:
        before = path.read_bytes()
        path.write_bytes(content)
        try:
            load_dataset(dataset, root=root)
        except ZspromptError as error:
            assert_readable(str(error))
            named += "as in Latin-1 (Windows-1252)" in str(error) or "as in UTF-16" in str(error)
        path.write_bytes(before)
    assert named


def test_the_hint_converts_the_file(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_bytes(LATIN)
    text = refusal(lambda: read_labels(f"@{path}"))
    encoding = text.partition("iconv -f ")[2].split()[0]
    path.write_bytes(path.read_bytes().decode(encoding).encode("utf-8"))
    assert read_labels(f"@{path}") == ("hund", "käfer")


def test_a_file_of_zero_bytes_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"a\0b\0")
    with pytest.raises(ValueError, match="zero byte"):
        read_text(tmp_path / "x")


def handlers() -> list[tuple[Path, ast.ExceptHandler]]:
    every = []
    for path in sorted((ROOT / "zsprompt").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ExceptHandler) and node.name and node.type is not None:
                every.append((path, node))
    return every


def test_no_message_holds_the_raw_text_of_a_failed_read() -> None:
    """Messages take `read_fault`, or `strerror` first: the text of an OSError begins with "[Errno 2]"."""
    for path, handler in handlers():
        caught = {node.id for node in ast.walk(handler.type) if isinstance(node, ast.Name)}  # type: ignore[arg-type]
        if not caught & {"OSError", "UnicodeDecodeError", "FileNotFoundError", "PermissionError"}:
            continue
        for node in ast.walk(handler):
            if isinstance(node, ast.FormattedValue):
                raw = (handler.name, f"str({handler.name})")
                assert ast.unparse(node.value) not in raw, f"{path}, line {node.lineno}"
