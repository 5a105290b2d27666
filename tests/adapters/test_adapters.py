"""Adapters: kinds and their table, the fitted ones against scikit-learn, files whole and damaged, and whose labels."""

from __future__ import annotations

import copy
import json
import os
import pickle
import struct
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from adapter_world import (
    DIM,
    SMALL,
    WIDE,
    WORDS,
    Rows,
    directions,
    every_kind,
    fitted,
    probabilities,
    sizes_of,
    trained,
    world,
)
from command_line import ROOT, environment
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zsprompt._utils.arrays import Floats
from zsprompt._utils.specs import construct, restored
from zsprompt.adapters import (
    ADAPTERS,
    Examples,
    Kind,
    Schedule,
    Sizes,
    Trained,
    available_adapters,
    fit,
    load_adapter,
    load_kind,
    name_of,
    save_adapter,
    spec_of,
)
from zsprompt.adapters.adapter_file import FILE
from zsprompt.adapters.forward import answer
from zsprompt.adapters.kinds.fc import FcSpec
from zsprompt.adapters.kinds.forest import ForestSpec
from zsprompt.adapters.kinds.knn import KnnSpec
from zsprompt.adapters.kinds.linear_probe import LinearProbeSpec
from zsprompt.adapters.kinds.mld import MldSpec
from zsprompt.adapters.tensors import read_arrays, write_arrays
from zsprompt.errors import AdapterError, OutputError, TrainingError, UsageError
from zsprompt.prompts import load_prompts
from zsprompt.store import Images

pytestmark = pytest.mark.usefixtures("one_thread")

# -- a small world with known answers ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A decoder's file."""
    path = tmp_path_factory.mktemp("adapter") / FILE
    save_adapter(trained(MldSpec(heads=2, feed_forward=4)), path)
    return path


# -- the table ---------------------------------------------------------------------------------------------------------


def test_every_kind_is_listed_with_a_sentence_and_its_fields() -> None:
    listed = available_adapters()
    assert list(listed) == list(ADAPTERS)
    for name, about in listed.items():
        assert about[0].isupper()
        assert "Fields: " in about
        assert all(part.name in about for part in fields(ADAPTERS[name]))


@every_kind
def test_a_kind_is_what_its_specification_makes(kind: Kind) -> None:
    assert load_kind(spec_of(kind)) == kind
    assert name_of(kind) in ADAPTERS
    assert hash(kind) == hash(load_kind(spec_of(kind)))


@pytest.mark.parametrize("name", ADAPTERS)
def test_a_kind_as_it_comes_is_named_by_its_name_alone(name: str) -> None:
    assert spec_of(load_kind(name)) == name


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "unknown adapter"),
        ("mdl", "Did you mean 'mld'"),
        ("mld,", "field=value"),
        ("mld,blocks", "field=value"),
        ("mld,blocks=2,blocks=3", "twice"),
        ("mld,depth=2", "unknown field of Mld"),
        ("mld,bound=1", "unknown field of Mld"),
        ("mld,schedule=1", "unknown field of Mld"),
        ("mld,blocks=2.5", "whole number"),
        ("mld,blocks=" + "9" * 5000, "whole number"),
        ("mld,read_out=max", "unknown value of read_out"),
        ("mld,tokens=all", "unknown value of tokens"),
        ("fusion,hidden=none", "whole number"),
        ("fc,dim=3", "unknown field of Fc"),
    ],
)
def test_wrong_specifications_are_refused_in_one_line(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as found:
        load_kind(text)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mld,blocks=0", "blocks of 1"),
        ("mld,blocks=65536", "blocks of 1"),
        ("mld,heads=0", "heads of 1"),
        ("mld,heads=3", "divide the width 16"),
        ("mld,feed_forward=-4", "feed_forward of 1"),
        ("mld,dropout=1", "dropout"),
        ("mld,dropout=nan", "dropout"),
        ("mld,dropout=-0.1", "dropout"),
        ("ml-decoder,groups=6", "1 to 5 groups"),
        ("ml-decoder,groups=0", "1 to 5 groups"),
        ("ml-decoder,width=12", "divide the width 12"),
        ("dm-decoder,heads=32", "divide the width 16"),
        ("fusion,layers=4", "2 or 3 layers"),
        ("fusion,hidden=33", "even hidden width"),
        ("fusion,mode=mutan,inputs=image", "inputs=both"),
        ("knn,k=0", "k of at least 1"),
        ("forest,trees=0", "trees of 1"),
        ("forest,depth=65", "depth of 1"),
    ],
)
def test_sizes_that_cannot_be_are_refused_before_anything_is_made(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        load_kind(text).check(Sizes(DIM, DIM, len(WORDS), 2))


@given(st.sampled_from(sorted(ADAPTERS)), st.data())
def test_fields_survive_being_text_and_being_json(name: str, data: st.DataObject) -> None:
    values: dict[str, Any] = {}
    for part in fields(ADAPTERS[name]):
        default = part.default
        if isinstance(default, float):
            values[part.name] = data.draw(st.floats(0, 0.9))
        elif isinstance(default, int) or default is None:
            values[part.name] = data.draw(st.integers(1, 10**6))
    kind = construct(ADAPTERS[name], {field: str(value) for field, value in values.items()})
    assert load_kind(spec_of(kind)) == kind
    kept = json.loads(json.dumps({part.name: getattr(kind, part.name) for part in fields(kind)}))
    assert restored(ADAPTERS[name], kept) == kind


@pytest.mark.parametrize(
    ("field", "value"),
    [("blocks", True), ("blocks", 2.0), ("blocks", None), ("dropout", "0.1"), ("tokens", ["pooled"])],
)
def test_fields_of_another_type_in_json_are_refused(field: str, value: object) -> None:
    kept = {part.name: part.default for part in fields(MldSpec)}
    with pytest.raises(ValueError, match=field):
        restored(MldSpec, kept | {field: value})
    with pytest.raises(ValueError, match="names"):
        restored(MldSpec, kept | {"more": 1})


@pytest.mark.parametrize("changes", [{"dim": 0}, {"features": -1}, {"labels": 0}, {"captions": -1}, {"dim": 2**40}])
def test_sizes_are_numbers_that_can_be(changes: dict[str, int]) -> None:
    with pytest.raises(UsageError, match=next(iter(changes))):
        replace(Sizes(4, 4, 2), **changes)


def test_kinds_and_files_load_no_torch() -> None:
    code = "import sys, zsprompt.adapters; assert not {'torch', 'sklearn', 'pandas'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, env=environment())


# -- every kind learns -------------------------------------------------------------------------------------------------


@every_kind
def test_every_kind_learns_what_is_planted(kind: Kind) -> None:
    judged = world(80, seed=1)
    rate = 1e-3 if kind == SMALL["fusion,mutan"] else 4e-3  # products of two inputs move twice
    schedule = Schedule(epochs=16, batch_size=8, lr=rate, weight_decay=0, loss="bce", patience=4, seed=3)
    found = fit(kind, sizes_of(judged), world(160), directions(), schedule, validation=judged)
    chance = (judged.targets == 1).mean()
    assert chance < 0.45
    assert found.mAP is not None
    assert found.mAP > 0.9
    if found.history:
        assert found.mAP == max(epoch.mAP or 0 for epoch in found.history)
        assert min(epoch.loss for epoch in found.history[1:]) < found.history[0].loss


@pytest.mark.parametrize("kind", [SMALL["mld,spatial"], SMALL["ml-decoder"], SMALL["dm-decoder"]], ids=repr)
def test_tokens_may_be_of_another_width_than_texts(kind: Kind) -> None:
    examples = world(40, wide=WIDE)
    made = trained(kind, examples)
    answer = made.answer(examples.images, WORDS, directions())
    assert answer.shape == (40, len(WORDS))
    assert np.isfinite(answer).all()


# -- neighbours and forests against scikit-learn -----------------------------------------------------------------------


def joined(views: Images, inputs: str) -> Floats:
    assert views.captions is not None
    flat = views.captions.reshape(len(views), -1)
    return {"image": views.vectors, "captions": flat, "both": np.concatenate([views.vectors, flat], axis=1)}[inputs]


def shares_of(columns: Any, classes: Any) -> np.ndarray:
    """[N, C] of scikit-learn's one array a label; a label with one class has no column for the other."""
    found = zip(columns if isinstance(columns, list) else [columns], classes, strict=True)
    return np.stack([c[:, list(own).index(1)] if 1 in own else np.zeros(len(c)) for c, own in found], axis=1)


@pytest.mark.parametrize("inputs", ["image", "captions", "both"])
@pytest.mark.parametrize("k", [1, 4, 20, 60])
def test_neighbours_equal_scikit_learns(inputs: Any, k: int) -> None:
    from sklearn.neighbors import KNeighborsClassifier

    known, asked = world(60), world(50, seed=1)
    kind = KnnSpec(k=k, inputs=inputs)
    found = probabilities(kind.answer(kind.fit(known, 0), asked.images))
    other = KNeighborsClassifier(k, metric="cosine", algorithm="brute").fit(joined(known.images, inputs), known.targets)
    expected = shares_of(other.predict_proba(joined(asked.images, inputs)), other.classes_)
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_of_equal_votes_the_nearer_ones_rank_higher_and_half_of_them_is_no_yes() -> None:
    angles = np.radians([0, 10, 80, 90])
    known = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    targets = np.array([[1], [0], [0], [1]], dtype=np.int8)
    kind = KnnSpec(k=2)
    weights = kind.fit(Examples(Images(known), targets), 0)
    at = np.radians([0, 3, 87, 45])
    scores = kind.answer(weights, Images(np.stack([np.cos(at), np.sin(at)], axis=1).astype(np.float32)))[:, 0]
    assert np.array_equal(scores > 0, [False, False, False, False])  # one of two votes, or none
    assert scores[0] > scores[1] > scores[3]


def test_neighbours_count_only_votes_that_are_known() -> None:
    known = np.eye(4, dtype=np.float32)
    targets = np.array([[1, -1], [-1, -1], [0, 1], [1, 0]], dtype=np.int8)
    kind = KnnSpec(k=4)
    answer = probabilities(kind.answer(kind.fit(Examples(Images(known), targets), 0), Images(known)))
    np.testing.assert_allclose(answer, np.tile([2 / 3, 1 / 2], (4, 1)), atol=1e-3)


def test_neighbours_in_blocks_and_of_no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    kind, views = KnnSpec(k=3), world(30, seed=1).images
    weights = kind.fit(world(40), 0)
    whole = kind.answer(weights, views)
    monkeypatch.setattr("zsprompt.adapters.kinds.knn._CELLS", 100)
    np.testing.assert_allclose(kind.answer(weights, views), whole, atol=1e-6)
    assert kind.answer(weights, Images(views.vectors[:0])).shape == (0, len(WORDS))


def test_fewer_pictures_than_neighbours_are_refused() -> None:
    with pytest.raises(TrainingError, match=r"k = 20 training images, found 10; lower k"):
        KnnSpec().fit(world(10), 0)


def grown(kind: ForestSpec, examples: Examples, seed: int) -> Any:
    """The same forest by scikit-learn."""
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(kind.trees, max_depth=kind.depth, random_state=seed)
    present = (examples.targets == 1).astype(int)
    return forest.fit(joined(examples.images, kind.inputs), present if present.shape[1] > 1 else present.ravel())


@pytest.mark.parametrize("inputs", ["image", "captions", "both"])
@pytest.mark.parametrize("depth", [1, 3, 16])
def test_forests_equal_scikit_learns(inputs: Any, depth: int) -> None:
    known, asked = world(60, noise=2), world(50, seed=1, noise=2)
    kind = ForestSpec(trees=7, depth=depth, inputs=inputs)
    found = probabilities(kind.answer(kind.fit(known, 5), asked.images))
    other = grown(kind, known, 5)
    expected = shares_of(other.predict_proba(joined(asked.images, inputs)), other.classes_)
    np.testing.assert_allclose(found, np.clip(expected, 1e-4, 1 - 1e-4), atol=1e-6)


def test_forests_of_one_label_and_of_labels_that_all_or_none_have() -> None:
    known = world(40)
    one = replace(known, targets=known.targets[:, :1])
    kind = ForestSpec(trees=5, depth=4)
    found = probabilities(kind.answer(kind.fit(one, 0), known.images))
    expected = grown(kind, one, 0).predict_proba(known.images.vectors)[:, 1]
    np.testing.assert_allclose(found[:, 0], np.clip(expected, 1e-4, 1 - 1e-4), atol=1e-6)
    constant = known.targets.copy()
    constant[:, 1], constant[:, 2], constant[3, 4] = 1, 0, -1
    answer = probabilities(kind.answer(kind.fit(replace(known, targets=constant), 0), known.images))
    assert (answer[:, 1] > 0.99).all()
    assert (answer[:, 2] < 0.01).all()
    assert kind.answer(kind.fit(known, 0), Images(known.images.vectors[:0])).shape == (0, len(WORDS))


def test_fitted_kinds_that_read_captions_refuse_pictures_without() -> None:
    bare = Examples(Images(world().images.vectors), world().targets)
    for kind in (KnnSpec(inputs="both"), ForestSpec(inputs="captions")):
        with pytest.raises(UsageError, match="inputs=image"):
            kind.fit(bare, 0)


# -- files -------------------------------------------------------------------------------------------------------------


@every_kind
def test_a_file_gives_back_the_very_adapter(kind: Kind, tmp_path: Path) -> None:
    made, views = trained(kind), world(9, seed=4).images
    save_adapter(made, tmp_path / FILE)
    for place in (tmp_path, tmp_path / FILE, str(tmp_path)):
        found = load_adapter(place)
    assert found.kind == kind
    assert found.weights.keys() == made.weights.keys()
    for name, value in made.weights.items():
        assert (found.weights[name].dtype, found.weights[name].shape) == (value.dtype, value.shape)
        assert found.weights[name].tobytes() == value.tobytes()
    same = ("sizes", "labels", "model", "fingerprint", "facts", "captions", "digest")
    assert [getattr(found, part) for part in same] == [getattr(made, part) for part in same]
    assert repr(found) == repr(made)
    assert np.array_equal(found.answer(views, WORDS, directions()), made.answer(views, WORDS, directions()))


@pytest.mark.parametrize("kind", [SMALL["knn"], SMALL["forest"], SMALL["mld"]], ids=repr)
@pytest.mark.parametrize("number", [np.int64, np.float64])
def test_targets_of_another_type_give_the_same_adapter(kind: Kind, number: type, tmp_path: Path) -> None:
    examples = world()
    save_adapter(trained(kind, replace(examples, targets=examples.targets.astype(number))), tmp_path / FILE)
    assert load_adapter(tmp_path).digest == trained(kind).digest


@pytest.mark.parametrize("name", ["photo", "ensemble", "describe-coco", "seed-code", "adds"])
def test_label_texts_after_the_file_are_those_before(name: str, tmp_path: Path) -> None:
    prompts = load_prompts(name)
    save_adapter(replace(trained(FcSpec()), prompts=prompts), tmp_path / FILE)
    found = load_adapter(tmp_path).prompts
    assert found.ensemble(WORDS) == prompts.ensemble(WORDS)
    assert (found.name, found.digest) == (prompts.name, prompts.digest)


def test_labels_and_names_of_any_letters_survive(tmp_path: Path) -> None:
    labels = ("кот", "犬", 'o"w{l}', "\udcff", "e\u0301")
    save_adapter(replace(trained(FcSpec()), labels=labels, model="модель/№1"), tmp_path / FILE)
    found = load_adapter(tmp_path)
    assert (found.labels, found.model) == (labels, "модель/№1")


def test_the_digest_tells_adapters_apart() -> None:
    made = trained(FcSpec())
    other = dict(made.weights)
    other["bias"] = np.nextafter(other["bias"], np.float32(9))
    changes: list[dict[str, Any]] = [
        {"weights": other},
        {"labels": WORDS[::-1]},
        {"fingerprint": "planted/2"},
        {"kind": LinearProbeSpec()},
    ]
    digests = {replace(made, **change).digest for change in changes} | {made.digest}
    assert len(digests) == 1 + len(changes)
    assert made.digest in repr(made)


def test_an_unwritable_place_is_one_line_and_nothing_is_left(tmp_path: Path) -> None:
    made = trained(FcSpec())
    with pytest.raises(OutputError, match="cannot write"):
        save_adapter(made, tmp_path / "nowhere" / FILE)
    (tmp_path / FILE).mkdir()
    with pytest.raises(OutputError, match="cannot write"):
        save_adapter(made, tmp_path / FILE)
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_the_old_file_stays(file: Path, tmp_path: Path) -> None:
    """The limit on a file's size stands for the disk's end."""
    (tmp_path / FILE).write_bytes(file.read_bytes())
    code = (
        "import resource, sys; from zsprompt.adapters import load_adapter, save_adapter; from pathlib import Path\n"
        "found = load_adapter(sys.argv[1]); resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
        "from zsprompt.errors import OutputError\n"
        "try: save_adapter(found, Path(sys.argv[1]))\n"
        "except OutputError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / FILE)], capture_output=True, text=True, cwd=ROOT, env=environment()
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("cannot write ")
    assert done.stdout.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    assert (tmp_path / FILE).read_bytes() == file.read_bytes()


class Trap:
    """A pickle of this makes a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def foreign(folder: Path) -> dict[str, bytes]:
    from safetensors.numpy import save

    return {
        "nothing": b"",
        "one byte": b"\x00",
        "page": b"<!doctype html><html><title>404</title></html>" * 9,
        "text": b"a text\n" * 100,
        "pickle": pickle.dumps(Trap(folder / "caught")),
        "zip": b"PK\x03\x04" + bytes(100),
        "length alone": struct.pack("<Q", 2**63),
        "no JSON": struct.pack("<Q", 4) + b"{{{{",
        "plain tensors": save({"weight": np.zeros((2, 2), np.float32)}),
        "another's": save({"weight": np.zeros((2, 2), np.float32)}, {"format": "pt"}),
        "own key, no JSON": save({"a": np.zeros(1)}, {"zsprompt": "{"}),
        "own key, a list": save({"a": np.zeros(1)}, {"zsprompt": "[]"}),
        "own key, deep": save({"a": np.zeros(1)}, {"zsprompt": "[" * 100_000}),
        "own key, endless number": save({"a": np.zeros(1)}, {"zsprompt": "1" * 10_000}),
        "no checksum": save({"a": np.zeros(1)}, {"zsprompt": '{"format": "zsprompt adapter", "version": 1}'}),
        "a checkpoint": save({"a": np.zeros(1)}, {"zsprompt": '{"format": "zsprompt checkpoint"}'}),
    }


@pytest.mark.parametrize("name", foreign(Path("x")))
def test_foreign_files_are_refused_in_one_line_and_never_unpickled(name: str, tmp_path: Path) -> None:
    path = tmp_path / "adapter.pt"
    path.write_bytes(foreign(tmp_path)[name])
    with pytest.raises(AdapterError, match=r"expected an adapter in .*adapter\.pt, found") as found:
        load_adapter(path)
    assert "\n" not in str(found.value)
    assert len(str(found.value)) < 500
    assert not (tmp_path / "caught").exists()


@pytest.mark.parametrize("name", ["missing", "a\0b", "x" * 5000, ".", "loop", "pipe", "missing/deeper"])
def test_places_without_a_file_are_refused_in_one_line(name: str, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(AdapterError, match="expected an adapter") as found:
        load_adapter(tmp_path / name)
    assert "\n" not in str(found.value)


def test_a_file_cut_anywhere_is_refused(file: Path, tmp_path: Path) -> None:
    whole, path = file.read_bytes(), tmp_path / FILE
    for length in sorted({*range(0, 40), *range(0, len(whole), 97), *range(len(whole) - 40, len(whole))}):
        path.write_bytes(whole[:length])
        with pytest.raises(AdapterError, match="adapter in"):
            load_adapter(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(AdapterError, match="damaged"):
        load_adapter(path)


def read_or_refused(path: Path) -> Trained | None:
    """What a file holds; None where it is refused, in one line."""
    try:
        return load_adapter(path)
    except AdapterError as error:
        if "\n" in str(error):
            raise AssertionError("expected one line") from error
        return None


def same(one: Trained, two: Trained) -> bool:
    parts = ("kind", "sizes", "labels", "prompts", "model", "fingerprint", "facts", "captions", "digest")
    return all(getattr(one, part) == getattr(two, part) for part in parts)


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), put=st.binary(min_size=1, max_size=12), header=st.booleans())
def test_bytes_that_change_anywhere_are_noticed(file: Path, place: float, put: bytes, header: bool) -> None:
    whole = bytearray(file.read_bytes())
    reach = 8 + int.from_bytes(whole[:8], "little") if header else len(whole)
    start = int(place * reach)
    whole[start : start + len(put)] = put[: len(whole) - start]
    path = file.with_name("damaged")
    path.write_bytes(whole)
    found = read_or_refused(path)
    assert found is None or same(found, load_adapter(file))


def test_every_single_bit_of_the_weights_is_watched(file: Path) -> None:
    whole, path = file.read_bytes(), file.with_name("turned")
    start = 8 + int.from_bytes(whole[:8], "little")
    for place in range(start, len(whole), 61):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(AdapterError, match="checksum"):
            load_adapter(path)


def rewritten(file: Path, change: Any) -> Path:
    """The file with a header, or weights, that somebody changed on purpose: its checksum is right."""
    arrays, facts = read_arrays(file, "adapter")
    facts = copy.deepcopy(facts)
    path = file.with_name("rewritten")
    write_arrays(path, change(arrays, facts) or arrays, facts)
    return path


def put(*keys: str, value: object) -> Any:
    def change(arrays: dict[str, Any], facts: dict[str, Any]) -> None:
        place = facts
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (put("version", value=2), "format 1 or older in .* found 2, written by zsprompt .*; use that version"),
        (put("version", value="1"), "format 1 or older"),
        (put("adapter", value="transformer"), "unknown kind 'transformer'; known: fc"),
        (put("adapter", value=["mld"]), "damage"),
        (put("adapter", value="fc"), "damage at the names of the fields"),
        (put("fields", "heads", value=3), "divide the width"),
        (put("fields", "heads", value=0), "heads of 1"),
        (put("fields", "heads", value=None), "damage at heads"),
        (put("fields", "heads", value=2.0), "damage at heads"),
        (put("fields", "blocks", value=True), "damage at blocks"),
        (put("fields", "blocks", value=10**30), "blocks of 1"),
        (put("fields", "blocks", value=2), "weights of the sizes its header says"),
        (put("fields", "feed_forward", value=8), "weights of the sizes its header says"),
        (put("fields", "read_out", value="max"), "damage at read_out"),
        (put("fields", "tokens", value="all"), "damage at tokens"),
        (put("fields", "dropout", value=float("nan")), "dropout"),
        (put("fields", value=[]), "damage"),
        (put("sizes", "dim", value=32), "weights of the sizes its header says"),
        (put("sizes", "dim", value=-16), "dim of 1"),
        (put("sizes", "dim", value=10**400), "dim of 1"),
        (put("sizes", "features", value=12), "weights of the sizes its header says"),
        (put("sizes", "labels", value=6), "damage at labels"),
        (put("sizes", "more", value=6), "damage"),
        (put("labels", value=[]), "damage at labels"),
        (put("labels", value=list(WORDS[:4])), "damage at labels"),
        (put("labels", value=["cat"] * 5), "damage at labels"),
        (put("labels", value=["cat", "dog", "owl", "hat", " "]), "damage at labels"),
        (put("labels", value=["cat", "dog", "owl", "hat", 5]), "damage at labels"),
        (put("labels", value="abcde"), "damage at labels"),
        (put("prompts", "templates", value="{label}"), "damage at templates"),
        (put("prompts", "described", value={"cat": []}), "damage at described"),
        (put("prompts", "described", value={"cat": "a cat"}), "damage at described"),
        (put("prompts", value=None), "damage"),
        (put("captions", value="ab"), "damage at captions"),
        (put("facts", value=5), "damage"),
        (put("facts", "data", value=[1]), "damage at data"),
        (put("facts", "recipe", value="x"), "damage at recipe"),
    ],
)
def test_headers_of_another_making_are_refused_naming_what_is_wrong(change: Any, said: str, file: Path) -> None:
    with pytest.raises(AdapterError, match=said) as found:
        load_adapter(rewritten(file, change))
    assert "\n" not in str(found.value)


NASTY: list[Any] = [
    *(None, True, False, -1, 0, 1, 2, 3.5, 10**30, -(10**400), 1e308, float("nan"), float("inf")),
    *("", "x", "1", "\ud800", [], {}, [1], ["x"], {"x": 1}, [[[[]]]], {"a": {"b": {}}}),
]


def leaves(value: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a tree of JSON."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [way, *(place for key, part in inside for place in leaves(part, (*way, key)))]


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_header_however_strange_leads_to_another_error(file: Path, data: st.DataObject) -> None:
    arrays, facts = read_arrays(file, "adapter")
    facts = copy.deepcopy(facts)
    for _ in range(data.draw(st.integers(1, 3))):
        way = data.draw(st.sampled_from(leaves(facts)[1:]))
        place: Any = facts
        for key in way[:-1]:
            place = place[key]
        if isinstance(place, dict) and data.draw(st.booleans()) and len(place) > 1:
            del place[way[-1]]
        else:
            place[way[-1]] = copy.deepcopy(data.draw(st.sampled_from(NASTY)))
    facts["format"] = "zsprompt adapter"
    path = file.with_name("strange")
    write_arrays(path, arrays, facts)
    found = read_or_refused(path)
    if found is not None:
        assert found.answer(world(3).images, found.labels, directions()).shape == (3, len(WORDS))
        assert repr(found)


def whole(name: str, value: Any) -> Any:
    return lambda arrays, facts: arrays | {name: value}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (whole("read_out.bias", np.array([np.nan], np.float32)), "finite weights"),
        (whole("read_out.bias", np.array([np.inf], np.float32)), "finite weights"),
        (whole("read_out.bias", np.zeros(2, np.float32)), "sizes its header says"),
        (whole("read_out.bias", np.zeros((), np.float32)), "sizes its header says"),
        (whole("read_out.bias", np.zeros(1, np.float64)), "sizes its header says"),
        (whole("read_out.bias", np.zeros(1, np.int64)), "sizes its header says"),
        (whole("more", np.zeros(1, np.float32)), "sizes its header says"),
        (lambda arrays, facts: {k: v for k, v in arrays.items() if k != "read_out.bias"}, "sizes its header says"),
        (lambda arrays, facts: {"none": np.zeros(1, np.float32)}, "sizes its header says"),
    ],
)
def test_weights_of_another_making_are_refused(change: Any, said: str, file: Path) -> None:
    with pytest.raises(AdapterError, match=said):
        load_adapter(rewritten(file, change))


FITTED = {"knn": KnnSpec(k=5), "forest": ForestSpec(trees=3, depth=3)}


@pytest.mark.parametrize("name", FITTED)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_arrays_of_fitted_kinds_however_strange_are_refused_or_answer(
    name: str, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    made = trained(FITTED[name], world(12))
    weights: dict[str, Any] = dict(made.weights)
    for _ in range(data.draw(st.integers(1, 2))):
        part = data.draw(st.sampled_from(sorted(weights)))
        value = np.array(weights[part])
        how = data.draw(st.sampled_from(["type", "cut", "flat", "number", "gone", "none", "axis"]))
        if how == "type":
            weights[part] = value.astype(data.draw(st.sampled_from(["f8", "f2", "i1", "u8", "i8", "bool"])))
        elif how == "cut":
            weights[part] = value[: data.draw(st.integers(0, len(value)))] if value.ndim else value
        elif how == "flat":
            weights[part] = value.ravel()
        elif how == "axis":
            weights[part] = value[None]
        elif how == "none":
            weights[part] = np.zeros((), value.dtype)
        elif how == "gone" and len(weights) > 1:
            del weights[part]
        elif value.size:
            info = np.iinfo(value.dtype) if value.dtype.kind == "i" else None
            extremes = [info.min, -1, 0, 1, info.max] if info else [0, 1, 1e4, np.nan]
            value.flat[data.draw(st.integers(0, value.size - 1))] = data.draw(st.sampled_from(extremes))
            weights[part] = value
    path = tmp_path_factory.getbasetemp() / f"strange-{name}"
    save_adapter(replace(made, weights=weights), path)
    found = read_or_refused(path)
    if found is not None:
        answer = found.answer(world(4).images, WORDS, directions())
        assert answer.shape == (4, len(WORDS))
        assert np.isfinite(answer).all()


# -- whose labels ------------------------------------------------------------------------------------------------------

BOUND = [name for name, kind in SMALL.items() if kind.bound]
FREE = [name for name, kind in SMALL.items() if not kind.bound]


def test_which_kinds_are_for_their_own_labels() -> None:
    assert {name.partition(",")[0] for name in BOUND} == {"fc", "linear-probe", "fusion", "knn", "forest", "ml-decoder"}
    assert {name.partition(",")[0] for name in FREE} == {"mld", "ml-decoder", "dm-decoder"}


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("order", [[4, 3, 2, 1, 0], [2, 0, 3, 1, 4]])
def test_labels_in_another_order_give_columns_in_that_order(name: str, order: list[int]) -> None:
    made, views = trained(SMALL[name]), world(20, seed=2).images
    plain = made.answer(views, WORDS, directions())
    found = made.answer(views, [WORDS[c] for c in order], directions()[order])
    np.testing.assert_allclose(found, plain[:, order], atol=1e-5)
    assert np.abs(plain - plain[:, order]).max() > 1e-4  # or the order could not be told


@pytest.mark.parametrize("name", BOUND)
def test_other_labels_are_refused_naming_the_difference(name: str) -> None:
    made, views = trained(SMALL[name]), world(3).images
    kind = name_of(made.kind)
    for labels, said in (
        (("cat", "dog", "owl", "hat"), "no sea"),
        ((*WORDS, "fox"), "also fox"),
        (("cat", "dog", "owl", "hat", "fox"), "also fox and no sea"),
        ((*WORDS, "cat"), "one twice"),
        (("Cat", *WORDS[1:]), "also Cat and no cat"),
    ):
        with pytest.raises(AdapterError, match=f"5 labels that this {kind} adapter was trained with, found {said};"):
            made.answer(views, labels, directions(len(labels)))


@pytest.mark.parametrize("name", FREE)
def test_any_labels_are_answered_for_by_kinds_that_read_their_texts(name: str) -> None:
    made, views = trained(SMALL[name]), world(6).images
    for count in (1, 2, 9):
        answer = made.answer(views, [f"thing {c}" for c in range(count)], directions(count))
        assert answer.shape == (6, count)
        assert np.isfinite(answer).all()


@every_kind
def test_vectors_of_another_width_are_refused(kind: Kind) -> None:
    with pytest.raises(AdapterError, match="vectors of 16 numbers, found 8; use model planted"):
        trained(kind).answer(Images(np.zeros((2, 8), np.float32)), WORDS, directions(dim=8))


@every_kind
def test_no_pictures_get_no_answer_and_many_the_same_as_alone(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    made, views = trained(kind), world(12, seed=2).images
    together = made.answer(views, WORDS, directions())
    assert together.dtype == np.float32
    none = Images(views.vectors[:0], Rows(views.tokens.array[:0]), views.captions[:0])  # type: ignore[union-attr,index]
    assert made.answer(none, WORDS, directions()).shape == (0, len(WORDS))
    monkeypatch.setattr("zsprompt.adapters.forward._AT_ONCE", 5)
    np.testing.assert_allclose(made.answer(views, WORDS, directions()), together, atol=1e-5)


def test_answers_do_not_move_the_callers_random_numbers_or_depend_on_them() -> None:
    import torch

    made, views = trained(SMALL["mld"]), world(5).images
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = made.answer(views, WORDS, directions())
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert np.array_equal(made.answer(views, WORDS, directions()), one)  # no dropout either


def test_a_network_that_reads_captions_refuses_pictures_without() -> None:
    bare = Images(world(3).images.vectors)
    with pytest.raises(UsageError, match="2 captions a picture, found none"):
        trained(SMALL["fusion"]).answer(bare, WORDS, directions())
    with pytest.raises(UsageError, match="tokens=pooled"):
        trained(SMALL["ml-decoder"]).answer(bare, WORDS, directions())


# beginning at the cosines


COSINE = [kind for name, kind in SMALL.items() if name.endswith("cosine")]


@pytest.mark.parametrize("kind", COSINE, ids=lambda kind: type(kind).__name__)
def test_a_start_at_the_cosines_ranks_as_they_do_and_no_label_is_favoured(kind: Any) -> None:
    import torch

    examples, texts = world(), directions()
    network = kind.network(sizes_of(examples)).eval()
    network.begin(*map(torch.from_numpy, (examples.images.vectors, texts, examples.targets)))
    found = answer(kind, network, examples.images, texts, "cpu")
    cosines = examples.images.vectors @ texts.T
    slope, offset = network.slope.item(), network.offset.item()
    assert slope > 1
    np.testing.assert_allclose(found, slope * cosines + offset, rtol=1e-4, atol=1e-4)


def test_the_start_has_the_log_odds_of_two_normal_distributions() -> None:
    import torch

    from zsprompt.adapters.networks import FromCosine

    random = np.random.default_rng(0)
    targets = (random.random((4000, 1)) < 0.2).astype(np.int8)
    cosines = np.where(targets == 1, random.normal(0.3, 0.05, (4000, 1)), random.normal(0.2, 0.05, (4000, 1)))
    vectors = np.hstack([cosines, np.sqrt(1 - cosines**2)]).astype(np.float32)
    network = FromCosine(torch.nn.Identity(), [])
    network.begin(*map(torch.from_numpy, (vectors, np.array([[1, 0]], dtype=np.float32), targets)))
    # equal widths: slope (0.3 − 0.2) / 0.05², and even odds of 1 to 4 in the middle between the means
    assert network.slope.item() == pytest.approx(40, rel=0.1)
    assert network.slope.item() * 0.25 + network.offset.item() == pytest.approx(np.log(0.2 / 0.8), abs=0.15)


def test_cosines_are_not_rounded_where_products_are() -> None:
    import torch

    from zsprompt.adapters.networks import FromCosine

    class Nothing(torch.nn.Module):
        def forward(self, features: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
            return torch.zeros(len(features), len(texts))

    examples, texts = world(), torch.from_numpy(directions())
    vectors = torch.from_numpy(examples.images.vectors)
    network = FromCosine(Nothing(), [])
    network.begin(vectors, texts, torch.from_numpy(examples.targets))
    plain = network(vectors, vectors, texts)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(network(vectors, vectors, texts), plain)


def test_left_out_targets_move_no_start_and_a_turned_text_begins_flat() -> None:
    import torch

    from zsprompt.adapters.networks import FromCosine

    examples, texts = world(), directions()
    starts = []
    for fill in (None, -1):
        vectors, targets = examples.images.vectors, examples.targets
        if fill is not None:
            vectors = np.concatenate([vectors, -vectors[:5]])
            targets = np.concatenate([targets, np.full((5, targets.shape[1]), fill, dtype=np.int8)])
        network = FromCosine(torch.nn.Identity(), [])
        network.begin(*map(torch.from_numpy, (vectors, texts, targets)))
        starts.append((network.slope.item(), network.offset.item()))
    assert starts[0] == pytest.approx(starts[1], rel=1e-6)
    network.begin(*map(torch.from_numpy, (examples.images.vectors, -texts, examples.targets)))
    assert network.slope.item() == 1


@pytest.mark.parametrize("kind", COSINE, ids=lambda kind: type(kind).__name__)
def test_what_starts_at_the_cosines_learns_and_every_part_of_it_moves(kind: Any) -> None:
    import torch

    examples = world(120)
    before = kind.network(sizes_of(examples)).state_dict()
    done = fitted(kind, examples, epochs=6, lr=1e-3)
    assert done.history[-1].loss < done.history[0].loss
    assert any(not np.array_equal(done.weights[name], value.numpy()) for name, value in before.items())
    assert set(done.weights) == set(before)
    assert isinstance(before["slope"], torch.Tensor)


def test_a_mean_has_no_weights_that_could_begin_at_nothing() -> None:
    with pytest.raises(UsageError, match="expected read_out=linear with start=cosine"):
        MldSpec(read_out="mean", start="cosine").check(Sizes(16, 16, 3))
