"""Predicting on tar files and lists: the same answers as on files, in parts, without holding what was read."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from command_line import Cli, environment
from fakes import PlantedEncoder, Windowed, draw_files
from pyarrow import parquet
from trees import make_shards, message, png, tar, write

from zsprompt.data.inputs import find_sources
from zsprompt.data.tars import TarMember
from zsprompt.errors import DataError
from zsprompt.evaluation import predict as prediction
from zsprompt.evaluation.predict import predict, predict_in_parts
from zsprompt.store import EmbeddingStore
from zsprompt.strategies import Thresholded, Thresholds, TopAll

SETS = [("cat",), ("dog", "car"), (), ("person", "sofa"), ("sofa",), ("cycle",), ("carrot", "cat"), ("motorcycle",)]
WORDS = ["cat", "dog", "person", "sofa", "car"]


@pytest.fixture
def given_ways(tmp_path: Path) -> dict[str, Path]:
    """The same eight images as a folder, a tar file and three lists."""
    refs = draw_files(tmp_path / "photos", SETS)
    names = [f"photos/{ref.id}" for ref in refs]
    parquet.write_table(pa.table({"image": names, "junk": [1.5] * 8}), tmp_path / "list.parquet")
    return {
        "folder": tmp_path / "photos",
        "tar": tar(tmp_path / "photos.tar", [(ref.id, ref.read()) for ref in refs]),
        "csv": write(tmp_path / "list.csv", "image,note\n" + "".join(f'{name},"a, b"\n' for name in names)),
        "jsonl": write(tmp_path / "list.jsonl", "".join(json.dumps({"path": name}) + "\n" for name in names)),
        "parquet": tmp_path / "list.parquet",
    }


@pytest.mark.parametrize("way", ["tar", "csv", "jsonl", "parquet"])
def test_every_way_gives_the_folders_answers(given_ways: dict[str, Path], store: EmbeddingStore, way: str) -> None:
    expected = predict(given_ways["folder"], WORDS, store)
    found = predict(given_ways[way], WORDS, store)
    np.testing.assert_array_equal(found.scores, expected.scores)
    np.testing.assert_array_equal(found.decisions, expected.decisions)
    assert [Path(image).name for image in found.images] == [Path(image).name for image in expected.images]


@pytest.mark.parametrize("part", [1, 3, 8, 100])
def test_the_size_of_parts_changes_nothing(
    given_ways: dict[str, Path], store: EmbeddingStore, part: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = predict(list(given_ways.values()), WORDS, store, strategy=TopAll())
    assert len(expected.images) == 40
    monkeypatch.setattr(prediction, "PART", part)
    parts = list(predict_in_parts(list(given_ways.values()), WORDS, store, strategy=TopAll()))
    assert len(parts) == -(-40 // part)
    found = predict(list(given_ways.values()), WORDS, store, strategy=TopAll())
    np.testing.assert_array_equal(found.scores, expected.scores)
    np.testing.assert_array_equal(found.decisions, expected.decisions)
    assert (found.images, found.bad, found.remarks, found.overflowed) == (
        expected.images,
        expected.bad,
        expected.remarks,
        expected.overflowed,
    )


@pytest.mark.parametrize("part", [1, 3, 100])
def test_windows_and_images_of_parts_are_joined(
    given_ways: dict[str, Path], store: EmbeddingStore, part: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction, "PART", part)
    found = predict(given_ways["tar"], WORDS, store, strategy=Windowed())
    assert found.windows is not None
    assert (found.windows.grids.shape, found.windows.best.shape) == ((8, 4), (8, 5))
    assert tuple(ref.id for ref in found.refs) == found.images
    assert all(isinstance(ref, TarMember) for ref in found.refs)
    for n in range(8):
        assert found.boxes(n) == {label: found.windows.box(n, WORDS.index(label)) for label, _ in found.present(n)}
    assert found.boxes(0) == {"cat": (0.0, 0.0, 7 / 16, 7 / 16)}
    assert predict(given_ways["tar"], WORDS, store).boxes(0) == {}


def test_thresholds_keep_the_windows(given_ways: dict[str, Path], store: EmbeddingStore) -> None:
    thresholds = Thresholds(tuple(WORDS), (-1.0,) * 5, "global", True, {}, {})
    found = predict(given_ways["folder"], WORDS, store, strategy=Thresholded(Windowed(), thresholds))
    assert found.windows is not None
    assert list(found.boxes(3)) == WORDS


def test_bad_images_and_other_files_are_counted_over_all_parts(
    tmp_path: Path, store: EmbeddingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction, "PART", 2)
    members = [
        ("a.png", png()),
        ("b.png", b"broken"),
        ("c.txt", b"no image"),
        ("d.png", png(["dog"], 1)),
        ("e.png", b""),
    ]
    path = tar(tmp_path / "x.tar", members)
    lost = write(tmp_path / "x.csv", "image\ngone.png\n")
    answer = predict([path, lost], WORDS, store)
    assert [image.rsplit("/", 1)[1] for image in answer.images] == ["a.png", "d.png"]
    assert dict(answer.bad).keys() == {f"{path}/b.png", f"{path}/e.png", "gone.png"}
    assert [(remark.kind, remark.names) for remark in answer.remarks] == [("other-file", (f"{path}/c.txt",))]


def test_a_tar_is_recognised_without_being_read_again(
    tmp_path: Path, encoder: PlantedEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zsprompt.data.images._SETTLED_SECONDS", 0.0)
    path = tar(tmp_path / "x.tar", [(f"{n}.png", png(noise=n)) for n in range(5)])
    with EmbeddingStore(encoder, cache=tmp_path / "cache") as store:
        first = predict(path, WORDS, store)
    monkeypatch.setattr(TarMember, "read", None)  # would fail if it were called
    with EmbeddingStore(encoder, cache=tmp_path / "cache") as store:
        again = predict(path, WORDS, store)
        assert (store.counts.images_encoded, store.counts.images_cached) == (0, 5)
    np.testing.assert_array_equal(first.scores, again.scores)


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("x.tar", b"no tar", "expected a tar file"),
        ("x.tar.gz", b"x", "unpack it to .tar first"),
        ("x.csv", b"image,cat\na\n", "line 2: expected 2 columns"),
        ("x.jsonl", b"{", "line 1: expected a JSON object"),
        ("x.parquet", b"PAR1", "expected a Parquet file"),
    ],
)
def test_a_fault_shows_before_anything_is_encoded(
    tmp_path: Path, store: EmbeddingStore, encoder: PlantedEncoder, name: str, content: bytes, part: str
) -> None:
    draw_files(tmp_path / "photos", SETS)
    path = write(tmp_path / name, content)
    text = message(DataError, lambda: predict([tmp_path / "photos", path], WORDS, store))
    assert part in text
    assert str(path) in text
    assert encoder.image_batches == []


@pytest.mark.parametrize("rows", [1, 3])
def test_a_list_that_changes_while_it_is_read_is_an_error(tmp_path: Path, store: EmbeddingStore, rows: int) -> None:
    draw_files(tmp_path, SETS[:5])
    path = write(tmp_path / "x.jsonl", "".join(f'{{"image": "{n:04}.png"}}\n' for n in range(5)))
    counted = find_sources([path])
    kept = path.read_bytes().splitlines(keepends=True)[:rows]
    write(path, b"".join(kept))
    reason = message(DataError, lambda: predict(counted, WORDS, store))
    assert reason == f"expected 5 images as counted before, found {rows}; did a list change meanwhile?"


def test_missing_and_empty_ones(tmp_path: Path) -> None:
    for name in ("x.tar", "x.csv", "x.parquet"):
        assert "found none" in message(DataError, lambda name=name: find_sources([tmp_path / name]))
    path = tar(tmp_path / "x.tar", [("a.txt", b"x")])
    assert "left out 1 file that is not an image" in message(DataError, lambda: find_sources([path]))
    os.mkfifo(tmp_path / "pipe.csv")
    assert "found a pipe or device" in message(DataError, lambda: find_sources([tmp_path / "pipe.csv"]))
    (tmp_path / "folder.tar").mkdir()
    draw_files(tmp_path / "folder.tar", SETS[:1])
    assert find_sources([tmp_path / "folder.tar"]).count == 1


def test_a_caption_csv_without_labels_is_a_list_too(tmp_path: Path, store: EmbeddingStore) -> None:
    """The source's test.csv, its quotes as faulty as in train.csv; images are in data/ next to it."""
    draw_files(tmp_path / "data", SETS[:3])
    path = write(tmp_path / "test.csv", 'ImageID,Caption\n0000.png,a 6" cat\n0001.png,"a dog\n0002.png,a "thing"\n')
    answer = predict(path, WORDS, store)
    assert (answer.images, answer.bad) == (("0000.png", "0001.png", "0002.png"), ())
    broken = write(tmp_path / "bad.csv", "ImageID,Caption\nstray\n0000.png,a cat\n")
    assert "line 2: expected an image id and a comma" in message(DataError, lambda: predict(broken, WORDS, store))


def test_shards_of_samples_are_predicted_image_by_image(tmp_path: Path, store: EmbeddingStore) -> None:
    make_shards(tmp_path)
    answer = predict(sorted(tmp_path.glob("*.tar")), WORDS, store)
    assert (len(answer.images), [remark.groups for remark in answer.remarks]) == (3, [((".json", 3), (".txt", 3))])


@pytest.mark.slow
def test_a_list_of_any_length_needs_little_memory(tmp_path: Path) -> None:
    """20,000 rows or members are counted and named without keeping them."""
    many = 20_000
    names = [f"folder/image-{n:08}.jpg" for n in range(many)]
    paths = [
        write(tmp_path / "x.csv", "image,cat\n" + "".join(f"{name},1\n" for name in names)),
        tmp_path / "x.parquet",
        write(tmp_path / "x.tar", _tar_of(names)),
    ]
    parquet.write_table(pa.table({"image": names}), paths[1], row_group_size=2_000)
    # in a process of its own: here Python's table of interned names, which pathlib adds to, may double meanwhile
    done = subprocess.run(
        [sys.executable, "-c", WALK, *map(str, paths)], capture_output=True, text=True, check=True, env=environment()
    )
    *walked, peak = done.stdout.split()
    assert walked[::2] == [str(many)] * 3
    assert all(last.endswith(names[-1]) for last in walked[1::2])
    assert int(peak) < 6_000_000  # of which pathlib keeps four


WALK = """
import sys, tracemalloc
from collections import deque
from pathlib import Path
from zsprompt.data.inputs import find_sources
find_sources([Path(sys.argv[2])])  # imports pyarrow
tracemalloc.start()
for path in map(Path, sys.argv[1:]):
    sources = find_sources([path])
    (last,) = deque(sources, maxlen=1)
    print(sources.count, last.id)
print(tracemalloc.get_traced_memory()[1])
"""


def _tar_of(names: list[str]) -> bytes:
    """A tar file of one-byte files, made by hand: tarfile keeps what it writes."""
    import tarfile

    body = b"x".ljust(512, b"\0")
    blocks = []
    for name in names:
        info = tarfile.TarInfo(name)
        info.size = 1
        blocks += [info.tobuf(tarfile.USTAR_FORMAT), body]
    return b"".join(blocks) + bytes(1024)


# -- the commands


def test_predict_on_a_tar_and_a_list_in_the_command(given_ways: dict[str, Path], cli: Cli, tmp_path: Path) -> None:
    labels = ("--labels", ",".join(WORDS), "--model", "fakes:PlantedEncoder")
    done = cli("predict", given_ways["tar"], given_ways["parquet"], *labels, "--out", "labels.csv")
    assert done.returncode == 0, done.stderr
    with (tmp_path / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 16
    assert rows[6]["labels"] == rows[14]["labels"] == "cat"
    assert rows[0]["image"] == f"{given_ways['tar']}/0000.png"
    assert "16 images, 5 labels, model planted; scores in labels.csv" in done.stderr


def test_labels_that_the_model_misses_are_named(given_ways: dict[str, Path], cli: Cli) -> None:
    command = ("predict", given_ways["tar"], "--model", "fakes:ForgetfulPlanted", "--labels")
    assert "misses these labels on most images that show them, so their absence means little: cat" in (
        cli(*command, "cat, dog").stderr
    )
    assert "misses" not in cli(*command, "dog").stderr


def test_sample_and_seed_in_the_command(given_ways: dict[str, Path], cli: Cli) -> None:
    write(
        given_ways["folder"] / "labels.csv",
        "image,labels\n" + "".join(f"{n:04}.png,{'|'.join(s)}\n" for n, s in enumerate(SETS)),
    )
    run = ("run", "--strategy", "per-label", "--dataset", "folder", "--root", given_ways["folder"])
    model = ("--model", "fakes:PlantedEncoder", "--json")
    done = cli(*run, *model, "--sample", "4,seed=3")
    result = json.loads(done.stdout)
    assert (result["images"], result["recipe"]["split"]) == (4, "all[sample 4, seed 3]")
    assert json.loads(cli(*run, *model, "--sample", 4).stdout)["recipe"]["split"] == "all[sample 4, seed 0]"
    both = cli(*run, *model, "--limit", 4, "--sample", 4)
    assert (both.returncode, both.stdout, both.stderr.count("\n")) == (1, "", 2)  # the first names the new spelling
    assert "either limit (the first N images) or sample" in both.stderr
    alone = cli(*run, *model, "--dataset", "folder,seed=4")
    assert alone.stderr.splitlines()[1:] == ["error: expected sample with seed, found seed alone"]


def test_notes_of_a_data_set_stand_in_its_result(cli: Cli, tmp_path: Path) -> None:
    from trees import make_coco

    make_coco(tmp_path / "coco")
    run = ("run", "--strategy", "per-label", "--dataset", "coco", "--root", tmp_path / "coco")
    done = cli(*run, "--model", "fakes:PlantedEncoder", "--json")
    assert any("3 of the 4 images in instances_val2014.json" in text for text in json.loads(done.stdout)["warnings"])
    assert "3 of the 4 images in instances_val2014.json have an object" in done.stderr
