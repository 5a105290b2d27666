"""Layouts as people's tools write them: read with the right labels, or refused with the remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import Cli
from layouts import LAYOUTS, Layout, scene_of
from trees import message, present

from zsprompt.data import load_dataset
from zsprompt.data.images import decode
from zsprompt.errors import DataError


def written(layout: Layout, tmp_path: Path) -> Path:
    if layout.missing:
        pytest.skip(f"{layout.tool} is not installed")
    return layout.write(tmp_path)


@pytest.mark.filterwarnings("ignore")  # the tools have warnings of their own
@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: f"{layout.tool}: {layout.title}")
def test_a_layout_is_read_right_or_its_remedy_is_named(layout: Layout, tmp_path: Path) -> None:
    root = written(layout, tmp_path)
    if layout.refusal:
        assert layout.refusal in message(DataError, lambda: load_dataset(layout.dataset, root=root))
        return
    data = load_dataset(layout.dataset, root=root, split=layout.split)
    assert {scene_of(image.id): set(present(data, n)) for n, image in enumerate(data.images)} == layout.expected
    assert len(data.images) == len(layout.expected)
    assert all(decode(image.read()).size for image in data.images)
    assert {remark.kind for remark in data.remarks} >= set(layout.remarks)


PLAIN = [layout for layout in LAYOUTS if not layout.modules]


@pytest.mark.parametrize("layout", PLAIN, ids=lambda layout: f"{layout.tool}: {layout.title}")
def test_data_check_names_every_remark_and_fetches_nothing(layout: Layout, tmp_path: Path, cli: Cli) -> None:
    root = written(layout, tmp_path)
    done = cli("data", "check", layout.dataset, "--root", root)
    printed = " ".join((done.stdout + done.stderr).split())
    assert "fetch" not in printed
    if layout.refusal:
        assert (done.returncode, layout.refusal in printed) == (1, True)
        return
    assert done.returncode == 0, done.stderr
    remarks = load_dataset(layout.dataset, root=root).remarks
    assert {remark.kind for remark in remarks} >= set(layout.remarks)
    for remark in remarks:
        assert remark.sentence in printed
