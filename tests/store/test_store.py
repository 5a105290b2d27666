"""The store: each input is encoded once, and wrong entries are never used."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from fakes import LABELS, PlantedEncoder, draw, draw_files
from hypothesis import given, settings
from hypothesis import strategies as st

from zsprompt._utils.byte_cache import ByteCache
from zsprompt.data.images import ImageFile
from zsprompt.errors import ModelError, UsageError
from zsprompt.store import EmbeddingStore

SETS = [("cat",), ("dog", "car"), (), ("person",), ("sofa",), ("cycle",), ("carrot", "cat")]


def fresh(folder: Path, **options: object) -> tuple[EmbeddingStore, PlantedEncoder]:
    """A store on `folder` with a new encoder."""
    encoder = PlantedEncoder(fingerprint=options.pop("fingerprint", "planted/1"))
    return EmbeddingStore(encoder, cache=folder, **options), encoder


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files just written by the test count as settled."""
    monkeypatch.setattr("zsprompt.data.images._SETTLED_SECONDS", 0.0)


# -- texts -------------------------------------------------------------------------------------------------------


def test_equal_texts_are_embedded_once_and_rows_keep_their_order(tmp_path: Path) -> None:
    store, encoder = fresh(tmp_path / "c")
    texts = ["dog", "cat", "dog", "a cat and a dog", "cat"]
    vectors = store.texts(texts)
    assert sorted(encoder.texts_seen) == ["a cat and a dog", "cat", "dog"]
    assert np.array_equal(vectors[0], vectors[2])
    np.testing.assert_array_equal(vectors, np.concatenate([PlantedEncoder().encode_texts([t]) for t in texts]))
    assert (store.counts.texts_encoded, store.counts.texts_cached) == (3, 0)


def test_a_warm_store_gives_the_same_bits_and_encodes_nothing(tmp_path: Path) -> None:
    cold = fresh(tmp_path / "c")[0].texts(["dog", "cat", "straße 🦆", ""])
    store, encoder = fresh(tmp_path / "c")
    assert store.texts(["dog", "cat", "straße 🦆", ""]).tobytes() == cold.tobytes()
    assert encoder.texts_seen == []
    assert (store.counts.texts_encoded, store.counts.texts_cached) == (0, 4)


def test_reading_the_cache_in_blocks_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"{word} {n}" for n in range(4) for word in ("cat", "dog")]
    cold = fresh(tmp_path / "c")[0].texts(texts)
    monkeypatch.setattr("zsprompt.store.cached_embeddings._READ_BLOCK", 3)
    store, encoder = fresh(tmp_path / "c")
    assert store.texts(texts).tobytes() == cold.tobytes()
    assert encoder.texts_seen == []


def test_texts_are_encoded_in_batches_with_common_prefixes(tmp_path: Path) -> None:
    store, encoder = fresh(tmp_path / "c", batch_size=3)
    store.texts(["dog, cat", "a cat", "dog", "sofa", "a car", "dog, car", "a cat, a car"])
    assert encoder.text_batches == [["a car", "a cat", "a cat, a car"], ["dog", "dog, car", "dog, cat"], ["sofa"]]


def test_the_encoder_has_a_preferred_number_of_texts(tmp_path: Path) -> None:
    store, encoder = fresh(tmp_path / "c")
    store.texts([f"dog {n}" for n in range(130)])
    assert [len(batch) for batch in encoder.text_batches] == [64, 64, 2]
    encoder = PlantedEncoder()
    encoder.text_batch = 100
    EmbeddingStore(encoder, cache=None).texts([f"dog {n}" for n in range(130)])
    assert [len(batch) for batch in encoder.text_batches] == [100, 30]


def test_unfamiliar_words_are_reported_once(tmp_path: Path) -> None:
    store, encoder = fresh(tmp_path / "c")
    encoder.unfamiliar = lambda texts: [text for text in texts if text == "quokka"]
    store.texts(["dog", "quokka"])
    store.texts(["quokka"])
    assert store.take_unfamiliar() == ("quokka",)
    assert store.take_unfamiliar() == ()


def test_texts_not_kept_touch_no_cache(tmp_path: Path) -> None:
    store, encoder = fresh(tmp_path / "c")
    store.texts(["dog"], keep=False)
    store.texts(["dog"], keep=False)
    assert encoder.texts_seen == ["dog", "dog"]
    assert store.counts.texts_not_kept == 2
    assert ByteCache(tmp_path / "c").info().entries == 0


@pytest.mark.parametrize("keep", [True, False])
def test_no_texts(tmp_path: Path, keep: bool) -> None:
    assert fresh(tmp_path / "c")[0].texts([], keep=keep).shape == (0, 256)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(max_size=20), max_size=12), st.integers(1, 5))
def test_any_texts_in_any_batches_equal_one_by_one(texts: list[str], batch_size: int) -> None:
    store = EmbeddingStore(PlantedEncoder(), cache=None, batch_size=batch_size)
    expected = [PlantedEncoder().encode_texts([text])[0] for text in texts]
    np.testing.assert_array_equal(store.texts(texts), np.array(expected).reshape(len(texts), 256))


def test_another_fingerprint_is_another_embedding(tmp_path: Path) -> None:
    fresh(tmp_path / "c")[0].texts(["dog"])
    store, encoder = fresh(tmp_path / "c", fingerprint="planted/2")
    store.texts(["dog"])
    assert encoder.texts_seen == ["dog"]


# -- images ----------------------------------------------------------------------------------------------------


def test_images_equal_one_by_one_whatever_batches_and_workers(tmp_path: Path) -> None:
    refs = draw_files(tmp_path / "p", SETS)
    expected = np.concatenate([PlantedEncoder().encode_images([draw(s, noise=i)]) for i, s in enumerate(SETS)])
    for batch_size, workers in ((1, 1), (2, 3), (64, 8)):
        store = EmbeddingStore(PlantedEncoder(), cache=None, batch_size=batch_size, workers=workers)
        np.testing.assert_array_equal(store.images(refs).vectors, expected)


def test_a_warm_store_reads_no_pixels(tmp_path: Path, settled: None, monkeypatch: pytest.MonkeyPatch) -> None:
    refs = draw_files(tmp_path / "p", SETS)
    cold = fresh(tmp_path / "c")[0].images(refs)

    def no_reading(self: ImageFile) -> bytes:
        raise AssertionError(f"{self.id} was read")

    monkeypatch.setattr(ImageFile, "read", no_reading)
    store, encoder = fresh(tmp_path / "c")
    warm = store.images(refs)
    assert warm.vectors.tobytes() == cold.vectors.tobytes()
    assert encoder.image_batches == []
    assert (store.counts.images_encoded, store.counts.images_cached) == (0, len(SETS))


def test_a_moved_or_copied_image_is_recognised_by_its_content(tmp_path: Path) -> None:
    refs = draw_files(tmp_path / "p", SETS)
    fresh(tmp_path / "c")[0].images(refs)
    shutil.move(tmp_path / "p", tmp_path / "q")
    store, encoder = fresh(tmp_path / "c")
    moved = [ImageFile(ref.id, tmp_path / "q" / ref.id) for ref in refs]
    store.images(moved)
    assert encoder.image_batches == []


def test_another_model_uses_the_shortcut_but_encodes_anew(tmp_path: Path, settled: None) -> None:
    refs = draw_files(tmp_path / "p", SETS)
    fresh(tmp_path / "c")[0].images(refs)
    store, encoder = fresh(tmp_path / "c", fingerprint="planted/2")
    store.images(refs)
    assert sum(encoder.image_batches) == len(SETS)


def test_a_changed_image_is_noticed_even_with_its_old_times_and_size(tmp_path: Path, settled: None) -> None:
    (ref,) = draw_files(tmp_path / "p", [("cat",)])
    before = fresh(tmp_path / "c")[0].images([ref]).vectors
    stat = ref.path.stat()
    draw(("dog",)).save(ref.path)
    with ref.path.open("ab") as file:
        file.write(b"\0" * max(0, stat.st_size - ref.path.stat().st_size))
    os.utime(ref.path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    after = fresh(tmp_path / "c")[0].images([ref]).vectors
    assert not np.array_equal(before, after)


def test_an_image_just_written_gets_no_shortcut(tmp_path: Path) -> None:
    """Two changes within one tick of the file system's clock look like one, so the file is read again."""
    refs = draw_files(tmp_path / "p", [("cat",)])
    fresh(tmp_path / "c")[0].images(refs)
    assert ByteCache(tmp_path / "c").info().entries == 1


def test_duplicates_are_encoded_once(tmp_path: Path) -> None:
    refs = draw_files(tmp_path / "p", [("cat",), ("dog",)])
    copies = []
    for n in range(5):
        path = tmp_path / "p" / f"copy{n}.png"
        shutil.copy(refs[n % 2].path, path)
        copies.append(ImageFile(path.name, path))
    for batch_size in (1, 2, 64):
        store = EmbeddingStore(PlantedEncoder(), cache=None, batch_size=batch_size)
        result = store.images([*refs, *copies, *refs])
        assert store.encoder.image_batches.count(0) == 0
        assert sum(store.encoder.image_batches) == 2
        assert np.array_equal(result.vectors[[2, 4, 6]], result.vectors[[0, 0, 0]])
        assert (store.counts.images_encoded, store.counts.images_cached) == (2, 7)


def test_copies_are_recognised_by_their_stat_next_time(tmp_path: Path, settled: None) -> None:
    (ref,) = draw_files(tmp_path / "p", [("cat",)])
    shutil.copy(ref.path, tmp_path / "p" / "copy.png")
    refs = [ref, ImageFile("copy", tmp_path / "p" / "copy.png")]
    fresh(tmp_path / "c")[0].images(refs)
    assert ByteCache(tmp_path / "c").info().entries == 3  # one embedding, two files


def test_unreadable_images_are_named_and_the_others_keep_their_rows(tmp_path: Path) -> None:
    refs = draw_files(tmp_path / "p", SETS)
    refs[2].path.write_bytes(b"")
    refs[4].path.write_bytes(b"no image")
    refs[5].path.unlink()
    store = EmbeddingStore(PlantedEncoder(), cache=None, batch_size=2)
    result = store.images(refs)
    assert result.kept.tolist() == [0, 1, 3, 6]
    assert dict(result.bad) == {
        2: "empty file",
        4: "not an image in a known format",
        5: "No such file or directory",
    }
    good = [0, 1, 3, 6]
    np.testing.assert_array_equal(result.vectors, PlantedEncoder().encode_images([draw(SETS[i]) for i in good]))


def test_no_images(tmp_path: Path) -> None:
    result = fresh(tmp_path / "c")[0].images([])
    assert (result.vectors.shape, result.kept.shape, result.bad) == ((0, 256), (0,), ())


def test_few_decoded_images_wait_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the number of images, reading is at most two batches ahead of the model, and two more are decoded."""
    refs = draw_files(tmp_path / "p", [("cat",)] * 60)
    encoder, read = PlantedEncoder(), []
    original, encode = ImageFile.read, encoder.encode_images

    def counting(self: ImageFile) -> bytes:
        read.append(self.id)
        return original(self)

    ahead = []
    monkeypatch.setattr(ImageFile, "read", counting)
    monkeypatch.setattr(encoder, "encode_images", lambda images: ahead.append(len(read)) or encode(images))
    EmbeddingStore(encoder, cache=None, batch_size=4, workers=2).images(refs)
    assert len(ahead) == 15
    assert max(n - 4 * i for i, n in enumerate(ahead)) <= 5 * 4 + 4


# -- a damaged cache ---------------------------------------------------------------------------------------------


def test_a_damaged_entry_is_noticed_and_computed_again(tmp_path: Path) -> None:
    expected = fresh(tmp_path / "c")[0].texts(["dog", "cat"])
    cache = ByteCache(tmp_path / "c")
    for key in list(cache._disk):
        stored = bytearray(cache._disk.get(key))
        stored[100] ^= 1
        cache._disk.set(key, bytes(stored))
    store, encoder = fresh(tmp_path / "c")
    assert store.texts(["dog", "cat"]).tobytes() == expected.tobytes()
    assert sorted(encoder.texts_seen) == ["cat", "dog"]
    store, encoder = fresh(tmp_path / "c")
    store.texts(["dog", "cat"])
    assert encoder.texts_seen == []


def test_an_entry_of_another_width_is_not_used(tmp_path: Path) -> None:
    store, _ = fresh(tmp_path / "c")
    store._cached.put({store._cached.text_key("dog"): bytes(12)})
    assert store.texts(["dog"]).shape == (1, 256)


# -- a faulty encoder --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda texts: np.full((len(texts), 256), np.nan, np.float32), "not finite"),
        (lambda texts: np.zeros((len(texts) + 1, 256), np.float32), "shape"),
        (lambda texts: (_ for _ in ()).throw(RuntimeError("out of\nmemory")), "batch_size=B"),
        (lambda texts: {}["typo"], "typo"),
        (lambda texts: "no vectors", "failed on a batch"),
    ],
    ids=["NaN", "shape", "memory", "bug", "text"],
)
def test_a_failing_encoder_is_one_line_and_stores_nothing(tmp_path: Path, answer, message: str) -> None:
    store, encoder = fresh(tmp_path / "c")
    encoder.encode_texts = answer
    with pytest.raises(ModelError, match=message) as caught:
        store.texts(["dog"])
    assert "\n" not in str(caught.value)
    assert ByteCache(tmp_path / "c").info().entries == 0


def test_an_encoder_that_cannot_prepare_is_one_line(tmp_path: Path) -> None:
    store, encoder = fresh(tmp_path / "c")
    encoder.prepare = lambda image: image.no_such_method()
    with pytest.raises(ModelError, match="failed to prepare an image"):
        store.images(draw_files(tmp_path / "p", [("cat",)]))


def test_an_encoder_that_fails_midway_keeps_finished_batches(tmp_path: Path) -> None:
    refs = draw_files(tmp_path / "p", SETS)
    store, encoder = fresh(tmp_path / "c", batch_size=2)
    encode, done = encoder.encode_images, []

    def failing(images):
        if len(done) == 2:
            raise RuntimeError("the power went out")
        done.append(1)
        return encode(images)

    encoder.encode_images = failing
    with pytest.raises(ModelError, match="power"):
        store.images(refs)
    store, encoder = fresh(tmp_path / "c", batch_size=2)
    store.images(refs)
    assert sum(encoder.image_batches) == len(SETS) - 4


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"batch_size": 10**9}, {"workers": 0}], ids=repr)
def test_sizes_below_one_are_refused(options: dict) -> None:
    with pytest.raises(UsageError, match="at least 1"):
        EmbeddingStore(PlantedEncoder(), cache=None, **options)


def test_the_default_folder_is_the_environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZSPROMPT_CACHE", str(tmp_path / "mine"))
    with EmbeddingStore(PlantedEncoder()) as store:
        store.texts(list(LABELS))
    assert ByteCache(tmp_path / "mine").info().entries == len(LABELS)
