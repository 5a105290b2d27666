"""Adapters: kinds and their table, kinds without epochs against scikit-learn, files, and labels."""

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
from zsprompt._utils.file_kinds import ADAPTER
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
    """The file of a decoder."""
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
def test_a_specification_gives_its_kind(kind: Kind) -> None:
    assert load_kind(spec_of(kind)) == kind
    assert name_of(kind) in ADAPTERS
    assert hash(kind) == hash(load_kind(spec_of(kind)))


@pytest.mark.parametrize("name", ADAPTERS)
def test_a_kind_with_default_fields_has_only_a_name(name: str) -> None:
    assert spec_of(load_kind(name)) == name


@pytest.mark.parametrize(
    ("text", "message"),
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
def test_invalid_specifications_are_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        load_kind(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
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
def test_invalid_sizes_are_refused_before_anything_is_created(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_kind(text).check(Sizes(DIM, DIM, len(WORDS), 2))


@given(st.sampled_from(sorted(ADAPTERS)), st.data())
def test_fields_survive_a_round_trip_through_text_and_json(name: str, data: st.DataObject) -> None:
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
    with pytest.raises(ValueError, match="unknown key 'more'"):
        restored(MldSpec, kept | {"more": 1})


@pytest.mark.parametrize("changes", [{"dim": 0}, {"features": -1}, {"labels": 0}, {"captions": -1}, {"dim": 2**40}])
def test_invalid_sizes_are_refused(changes: dict[str, int]) -> None:
    with pytest.raises(UsageError, match=next(iter(changes))):
        replace(Sizes(4, 4, 2), **changes)


def test_kinds_and_files_do_not_import_torch() -> None:
    code = "import sys, zsprompt.adapters; assert not {'torch', 'sklearn', 'pandas'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, env=environment())


# -- every kind learns -------------------------------------------------------------------------------------------------


QUICK = ("linear-probe", "mld", "fusion", "knn")


@pytest.mark.parametrize(
    "kind", [pytest.param(SMALL[name], id=name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in SMALL]
)
def test_every_kind_learns_the_planted_labels(kind: Kind) -> None:
    judged = world(80, seed=1)
    rate = 1e-3 if kind == SMALL["fusion,mutan"] else 4e-3  # products of two inputs need a lower rate
    schedule = Schedule(epochs=16, batch_size=8, lr=rate, weight_decay=0, loss="bce", patience=4, seed=3)
    result = fit(kind, sizes_of(judged), world(160), directions(), schedule, validation=judged)
    chance = (judged.targets == 1).mean()
    assert chance < 0.45
    assert result.mAP is not None
    assert result.mAP > 0.9
    if result.history:
        assert result.mAP == max(epoch.mAP or 0 for epoch in result.history)
        assert min(epoch.loss for epoch in result.history[1:]) < result.history[0].loss


@pytest.mark.parametrize("kind", [SMALL["mld,spatial"], SMALL["ml-decoder"], SMALL["dm-decoder"]], ids=repr)
def test_tokens_can_have_another_width_than_texts(kind: Kind) -> None:
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
    """[N, C] from the arrays of scikit-learn, one per label; a label with one class lacks a column."""
    pairs = zip(columns if isinstance(columns, list) else [columns], classes, strict=True)
    return np.stack(
        [c[:, list(present).index(1)] if 1 in present else np.zeros(len(c)) for c, present in pairs], axis=1
    )


@pytest.mark.parametrize("inputs", ["image", "captions", "both"])
@pytest.mark.parametrize("k", [1, 4, 20, 60])
def test_neighbours_equal_scikit_learn(inputs: Any, k: int) -> None:
    from sklearn.neighbors import KNeighborsClassifier

    training, asked = world(60), world(50, seed=1)
    kind = KnnSpec(k=k, inputs=inputs)
    result = probabilities(kind.answer(kind.fit(training, 0), asked.images))
    other = KNeighborsClassifier(k, metric="cosine", algorithm="brute").fit(
        joined(training.images, inputs), training.targets
    )
    expected = shares_of(other.predict_proba(joined(asked.images, inputs)), other.classes_)
    np.testing.assert_allclose(result, expected, atol=2e-4)


def test_nearer_neighbours_break_ties_and_half_of_the_votes_is_a_no() -> None:
    angles = np.radians([0, 10, 80, 90])
    training = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    targets = np.array([[1], [0], [0], [1]], dtype=np.int8)
    kind = KnnSpec(k=2)
    weights = kind.fit(Examples(Images(training), targets), 0)
    at = np.radians([0, 3, 87, 45])
    scores = kind.answer(weights, Images(np.stack([np.cos(at), np.sin(at)], axis=1).astype(np.float32)))[:, 0]
    assert np.array_equal(scores > 0, [False, False, False, False])  # one of two votes, or none
    assert scores[0] > scores[1] > scores[3]


def test_neighbours_ignore_votes_without_a_target() -> None:
    training = np.eye(4, dtype=np.float32)
    targets = np.array([[1, -1], [-1, -1], [0, 1], [1, 0]], dtype=np.int8)
    kind = KnnSpec(k=4)
    answer = probabilities(kind.answer(kind.fit(Examples(Images(training), targets), 0), Images(training)))
    np.testing.assert_allclose(answer, np.tile([2 / 3, 1 / 2], (4, 1)), atol=1e-3)


def test_neighbours_in_blocks_and_without_images(monkeypatch: pytest.MonkeyPatch) -> None:
    kind, views = KnnSpec(k=3), world(30, seed=1).images
    weights = kind.fit(world(40), 0)
    whole = kind.answer(weights, views)
    monkeypatch.setattr("zsprompt.adapters.kinds.knn._CELLS", 100)
    np.testing.assert_allclose(kind.answer(weights, views), whole, atol=1e-6)
    assert kind.answer(weights, Images(views.vectors[:0])).shape == (0, len(WORDS))


def test_fewer_images_than_neighbours_are_refused() -> None:
    with pytest.raises(TrainingError, match=r"k = 20 training images, found 10; lower k"):
        KnnSpec().fit(world(10), 0)


def grown(kind: ForestSpec, examples: Examples, seed: int) -> Any:
    """The same forest in scikit-learn."""
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(kind.trees, max_depth=kind.depth, random_state=seed)
    present = (examples.targets == 1).astype(int)
    return forest.fit(joined(examples.images, kind.inputs), present if present.shape[1] > 1 else present.ravel())


@pytest.mark.parametrize("inputs", ["image", "captions", "both"])
@pytest.mark.parametrize("depth", [1, 3, 16])
def test_forests_equal_scikit_learn(inputs: Any, depth: int) -> None:
    training, asked = world(60, noise=2), world(50, seed=1, noise=2)
    kind = ForestSpec(trees=7, depth=depth, inputs=inputs)
    result = probabilities(kind.answer(kind.fit(training, 5), asked.images))
    other = grown(kind, training, 5)
    expected = shares_of(other.predict_proba(joined(asked.images, inputs)), other.classes_)
    np.testing.assert_allclose(result, np.clip(expected, 1e-4, 1 - 1e-4), atol=1e-6)


def test_forests_of_one_label_and_of_constant_labels() -> None:
    training = world(40)
    one = replace(training, targets=training.targets[:, :1])
    kind = ForestSpec(trees=5, depth=4)
    result = probabilities(kind.answer(kind.fit(one, 0), training.images))
    expected = grown(kind, one, 0).predict_proba(training.images.vectors)[:, 1]
    np.testing.assert_allclose(result[:, 0], np.clip(expected, 1e-4, 1 - 1e-4), atol=1e-6)
    constant = training.targets.copy()
    constant[:, 1], constant[:, 2], constant[3, 4] = 1, 0, -1
    answer = probabilities(kind.answer(kind.fit(replace(training, targets=constant), 0), training.images))
    assert (answer[:, 1] > 0.99).all()
    assert (answer[:, 2] < 0.01).all()
    assert kind.answer(kind.fit(training, 0), Images(training.images.vectors[:0])).shape == (0, len(WORDS))


def test_kinds_without_epochs_that_read_captions_refuse_images_without() -> None:
    bare = Examples(Images(world().images.vectors), world().targets)
    for kind in (KnnSpec(inputs="both"), ForestSpec(inputs="captions")):
        with pytest.raises(UsageError, match="inputs=image"):
            kind.fit(bare, 0)


# -- files -------------------------------------------------------------------------------------------------------------


@every_kind
def test_a_file_restores_the_adapter(kind: Kind, tmp_path: Path) -> None:
    made, views = trained(kind), world(9, seed=4).images
    save_adapter(made, tmp_path / FILE)
    for place in (tmp_path, tmp_path / FILE, str(tmp_path)):
        result = load_adapter(place)
    assert result.kind == kind
    assert result.weights.keys() == made.weights.keys()
    for name, value in made.weights.items():
        assert (result.weights[name].dtype, result.weights[name].shape) == (value.dtype, value.shape)
        assert result.weights[name].tobytes() == value.tobytes()
    same = ("sizes", "labels", "model", "fingerprint", "facts", "captions", "digest")
    assert [getattr(result, part) for part in same] == [getattr(made, part) for part in same]
    assert repr(result) == repr(made)
    assert np.array_equal(result.answer(views, WORDS, directions()), made.answer(views, WORDS, directions()))


@pytest.mark.parametrize("kind", [SMALL["knn"], SMALL["forest"], SMALL["mld"]], ids=repr)
@pytest.mark.parametrize("number", [np.int64, np.float64])
def test_targets_of_another_type_give_the_same_adapter(kind: Kind, number: type, tmp_path: Path) -> None:
    examples = world()
    save_adapter(trained(kind, replace(examples, targets=examples.targets.astype(number))), tmp_path / FILE)
    assert load_adapter(tmp_path).digest == trained(kind).digest


@pytest.mark.parametrize("name", ["photo", "ensemble", "describe-coco", "seed-code", "adds"])
def test_a_file_restores_the_label_texts(name: str, tmp_path: Path) -> None:
    prompts = load_prompts(name)
    save_adapter(replace(trained(FcSpec()), prompts=prompts), tmp_path / FILE)
    result = load_adapter(tmp_path).prompts
    assert result.ensemble(WORDS) == prompts.ensemble(WORDS)
    assert (result.name, result.digest) == (prompts.name, prompts.digest)


def test_labels_and_names_in_any_script_survive(tmp_path: Path) -> None:
    labels = ("кот", "犬", 'o"w{l}', "\udcff", "e\u0301")
    save_adapter(replace(trained(FcSpec()), labels=labels, model="модель/№1"), tmp_path / FILE)
    result = load_adapter(tmp_path)
    assert (result.labels, result.model) == (labels, "модель/№1")


def test_the_digest_distinguishes_adapters() -> None:
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


def test_an_unwritable_path_is_refused_in_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    made = trained(FcSpec())
    with pytest.raises(OutputError, match="cannot write"):
        save_adapter(made, tmp_path / "nowhere" / FILE)
    (tmp_path / FILE).mkdir()
    with pytest.raises(OutputError, match="cannot write"):
        save_adapter(made, tmp_path / FILE)
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


@pytest.mark.slow
def test_a_full_disk_is_reported_in_one_line_and_keeps_the_old_file(file: Path, tmp_path: Path) -> None:
    """A limit on the file size stands for a full disk."""
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
    """A pickle of this object creates a file when it is loaded."""

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
    with pytest.raises(AdapterError, match=r"expected an adapter in .*adapter\.pt, found") as error:
        load_adapter(path)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500
    assert not (tmp_path / "caught").exists()


@pytest.mark.parametrize("name", ["missing", "a\0b", "x" * 5000, ".", "loop", "pipe", "missing/deeper"])
def test_paths_without_a_file_are_refused_in_one_line(name: str, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(AdapterError, match="expected an adapter") as caught:
        load_adapter(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_truncated_file_is_refused(file: Path, tmp_path: Path) -> None:
    whole, path = file.read_bytes(), tmp_path / FILE
    for length in sorted({*range(0, 40), *range(0, len(whole), 97), *range(len(whole) - 40, len(whole))}):
        path.write_bytes(whole[:length])
        with pytest.raises(AdapterError, match="adapter in"):
            load_adapter(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(AdapterError, match="damaged"):
        load_adapter(path)


def read_or_refused(path: Path) -> Trained | None:
    """The content of a file; None if it is refused in one line."""
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
def test_any_changed_byte_is_detected(file: Path, place: float, put: bytes, header: bool) -> None:
    whole = bytearray(file.read_bytes())
    reach = 8 + int.from_bytes(whole[:8], "little") if header else len(whole)
    start = int(place * reach)
    whole[start : start + len(put)] = put[: len(whole) - start]
    path = file.with_name("damaged")
    path.write_bytes(whole)
    result = read_or_refused(path)
    assert result is None or same(result, load_adapter(file))


def test_every_flipped_bit_of_the_weights_is_detected(file: Path) -> None:
    whole, path = file.read_bytes(), file.with_name("turned")
    start = 8 + int.from_bytes(whole[:8], "little")
    for place in range(start, len(whole), 61):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(AdapterError, match="checksum"):
            load_adapter(path)


def rewritten(file: Path, change: Any) -> Path:
    """The file with a header or weights that were changed on purpose; its checksum is right."""
    arrays, facts = read_arrays(file, "adapter")
    facts = copy.deepcopy(facts)
    path = file.with_name("rewritten")
    write_arrays(path, ADAPTER, change(arrays, facts) or arrays, facts, force=True)
    return path


def put(*keys: str, value: object) -> Any:
    def change(arrays: dict[str, Any], facts: dict[str, Any]) -> None:
        place = facts
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("version", value=2), "format 1 or older in .* found 2, written by zsprompt .*; use that version"),
        (put("version", value="1"), "format 1 or older"),
        (put("adapter", value="transformer"), "unknown kind 'transformer'; known: fc"),
        (put("adapter", value=["mld"]), "expected 'adapter' to be a text, found"),
        (put("adapter", value="fc"), "damaged header in .*: unknown key 'blocks'; expected one of start"),
        (put("fields", "heads", value=3), "divide the width"),
        (put("fields", "heads", value=0), "heads of 1"),
        (put("fields", "heads", value=None), "expected 'heads' to be a whole number, found None; train it again"),
        (put("fields", "heads", value=2.0), "expected 'heads' to be a whole number, found 2.0"),
        (put("fields", "blocks", value=True), "expected 'blocks' to be a whole number, found True"),
        (put("fields", "blocks", value=10**30), "blocks of 1"),
        (put("fields", "blocks", value=2), "weights of the sizes in the header"),
        (put("fields", "feed_forward", value=8), "weights of the sizes in the header"),
        (put("fields", "read_out", value="max"), "expected 'read_out' to be one of .*, found 'max'"),
        (put("fields", "tokens", value="all"), "expected 'tokens' to be one of .*, found 'all'"),
        (put("fields", "dropout", value=float("nan")), "dropout"),
        (put("fields", value=[]), r"expected 'fields' to be a section, found \[\]"),
        (put("sizes", "dim", value=32), "weights of the sizes in the header"),
        (put("sizes", "dim", value=-16), "dim of 1"),
        (put("sizes", "dim", value=10**400), "dim of 1"),
        (put("sizes", "features", value=12), "weights of the sizes in the header"),
        (put("sizes", "labels", value=6), "expected 'labels' to be 6 labels, found 5"),
        (put("sizes", "more", value=6), "unknown key 'more'"),
        (put("labels", value=[]), r"expected 'labels' to be a list of different texts, found \[\]"),
        (put("labels", value=list(WORDS[:4])), "expected 'labels' to be 5 labels, found 4"),
        (put("labels", value=["cat"] * 5), "expected 'labels' to be a list of different texts, found"),
        (
            put("labels", value=["cat", "dog", "owl", "hat", " "]),
            r"expected 'labels\[4\]' to be a text that is not blank",
        ),
        (
            put("labels", value=["cat", "dog", "owl", "hat", 5]),
            r"expected 'labels\[4\]' to be a text that is not blank",
        ),
        (put("labels", value="abcde"), "expected 'labels' to be a list of different texts"),
        (put("prompts", "templates", value="{label}"), "expected 'prompts.templates' to be a list of texts"),
        (put("prompts", "described", value={"cat": []}), "expected 'prompts.described.cat' to be a list of texts"),
        (put("prompts", "described", value={"cat": "a cat"}), "expected 'prompts.described.cat' to be a list"),
        (put("prompts", value=None), "expected 'prompts' to be a section"),
        (put("captions", value="ab"), "expected 'captions' to be a list of texts, found 'ab'"),
        (put("facts", value=5), "expected 'facts' to be a section, found 5"),
        (put("facts", "data", value=[1]), r"expected 'facts.data' to be a section, found \[1\]"),
        (put("facts", "recipe", value="x"), "expected 'facts.recipe' to be a section, found 'x'"),
    ],
)
def test_invalid_headers_are_refused_with_the_reason(change: Any, message: str, file: Path) -> None:
    with pytest.raises(AdapterError, match=message) as caught:
        load_adapter(rewritten(file, change))
    assert "\n" not in str(caught.value)


NASTY: list[Any] = [
    *(None, True, False, -1, 0, 1, 2, 3.5, 10**30, -(10**400), 1e308, float("nan"), float("inf")),
    *("", "x", "1", "\ud800", [], {}, [1], ["x"], {"x": 1}, [[[[]]]], {"a": {"b": {}}}),
]


def leaves(value: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every position in a JSON tree."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [way, *(place for key, part in inside for place in leaves(part, (*way, key)))]


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_invalid_header_raises_another_error(file: Path, data: st.DataObject) -> None:
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
    write_arrays(path, ADAPTER, arrays, facts, force=True)
    result = read_or_refused(path)
    if result is not None:
        assert result.answer(world(3).images, result.labels, directions()).shape == (3, len(WORDS))
        assert repr(result)


def whole(name: str, value: Any) -> Any:
    return lambda arrays, facts: arrays | {name: value}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (whole("read_out.bias", np.array([np.nan], np.float32)), "finite weights"),
        (whole("read_out.bias", np.array([np.inf], np.float32)), "finite weights"),
        (whole("read_out.bias", np.zeros(2, np.float32)), "sizes in the header"),
        (whole("read_out.bias", np.zeros((), np.float32)), "sizes in the header"),
        (whole("read_out.bias", np.zeros(1, np.float64)), "sizes in the header"),
        (whole("read_out.bias", np.zeros(1, np.int64)), "sizes in the header"),
        (whole("more", np.zeros(1, np.float32)), "sizes in the header"),
        (lambda arrays, facts: {k: v for k, v in arrays.items() if k != "read_out.bias"}, "sizes in the header"),
        (lambda arrays, facts: {"none": np.zeros(1, np.float32)}, "sizes in the header"),
    ],
)
def test_invalid_weights_are_refused(change: Any, message: str, file: Path) -> None:
    with pytest.raises(AdapterError, match=message):
        load_adapter(rewritten(file, change))


FITTED = {"knn": KnnSpec(k=5), "forest": ForestSpec(trees=3, depth=3)}


@pytest.mark.parametrize("name", FITTED)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_invalid_arrays_of_kinds_without_epochs_are_refused_or_give_scores(
    name: str, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    made = trained(FITTED[name], world(12))
    weights: dict[str, Any] = dict(made.weights)
    for _ in range(data.draw(st.integers(1, 2))):
        part = data.draw(st.sampled_from(sorted(weights)))
        value = np.array(weights[part])
        how = data.draw(st.sampled_from(["type", "cut", "flat", "number", "gone", "none", "axis"]))
        if how == "type":
            with np.errstate(invalid="ignore"):  # NaN has no integer
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
            info = np.iinfo(value.dtype) if value.dtype.kind in "iu" else None
            extremes = sorted({info.min, max(-1, info.min), 0, 1, info.max}) if info else [0, 1, 1e4, np.nan]
            value.flat[data.draw(st.integers(0, value.size - 1))] = data.draw(st.sampled_from(extremes))
            weights[part] = value
    path = tmp_path_factory.getbasetemp() / f"strange-{name}"
    save_adapter(replace(made, weights=weights), path)
    result = read_or_refused(path)
    if result is not None:
        answer = result.answer(world(4).images, WORDS, directions())
        assert answer.shape == (4, len(WORDS))
        assert np.isfinite(answer).all()


# -- labels ------------------------------------------------------------------------------------------------------------

BOUND = [name for name, kind in SMALL.items() if kind.bound]
FREE = [name for name, kind in SMALL.items() if not kind.bound]


def test_which_kinds_are_bound_to_their_labels() -> None:
    assert {name.partition(",")[0] for name in BOUND} == {"fc", "linear-probe", "fusion", "knn", "forest", "ml-decoder"}
    assert {name.partition(",")[0] for name in FREE} == {"mld", "ml-decoder", "dm-decoder"}


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("order", [[4, 3, 2, 1, 0], [2, 0, 3, 1, 4]])
def test_labels_in_another_order_give_columns_in_that_order(name: str, order: list[int]) -> None:
    made, views = trained(SMALL[name]), world(20, seed=2).images
    plain = made.answer(views, WORDS, directions())
    result = made.answer(views, [WORDS[c] for c in order], directions()[order])
    np.testing.assert_allclose(result, plain[:, order], atol=1e-5)
    assert np.abs(plain - plain[:, order]).max() > 1e-4  # distinguishes the orders


@pytest.mark.parametrize("name", BOUND)
def test_other_labels_are_refused_with_the_difference(name: str) -> None:
    made, views = trained(SMALL[name]), world(3).images
    kind = name_of(made.kind)
    for labels, message in (
        (("cat", "dog", "owl", "hat"), "no sea"),
        ((*WORDS, "fox"), "also fox"),
        (("cat", "dog", "owl", "hat", "fox"), "also fox and no sea"),
        ((*WORDS, "cat"), "one twice"),
        (("Cat", *WORDS[1:]), "also Cat and no cat"),
    ):
        with pytest.raises(AdapterError, match=f"5 labels that this {kind} adapter was trained with, found {message};"):
            made.answer(views, labels, directions(len(labels)))


@pytest.mark.parametrize("name", FREE)
def test_kinds_that_read_label_texts_take_any_labels(name: str) -> None:
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
def test_no_images_give_no_scores_and_many_give_the_same_as_one(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    made, views = trained(kind), world(12, seed=2).images
    together = made.answer(views, WORDS, directions())
    assert together.dtype == np.float32
    none = Images(views.vectors[:0], Rows(views.tokens.array[:0]), views.captions[:0])  # type: ignore[union-attr,index]
    assert made.answer(none, WORDS, directions()).shape == (0, len(WORDS))
    monkeypatch.setattr("zsprompt.adapters.forward._AT_ONCE", 5)
    np.testing.assert_allclose(made.answer(views, WORDS, directions()), together, atol=1e-5)


def test_scores_neither_change_nor_use_the_random_state_of_the_caller() -> None:
    import torch

    made, views = trained(SMALL["mld"]), world(5).images
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = made.answer(views, WORDS, directions())
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert np.array_equal(made.answer(views, WORDS, directions()), one)  # no dropout either


def test_a_network_that_reads_captions_refuses_images_without() -> None:
    bare = Images(world(3).images.vectors)
    with pytest.raises(UsageError, match="2 captions per image, found none"):
        trained(SMALL["fusion"]).answer(bare, WORDS, directions())
    with pytest.raises(UsageError, match="tokens=pooled"):
        trained(SMALL["ml-decoder"]).answer(bare, WORDS, directions())


# starting at the cosines


COSINE = [kind for name, kind in SMALL.items() if name.endswith("cosine")]


@pytest.mark.parametrize("kind", COSINE, ids=lambda kind: type(kind).__name__)
def test_a_start_at_the_cosines_ranks_like_them_and_favours_no_label(kind: Any) -> None:
    import torch

    examples, texts = world(), directions()
    network = kind.network(sizes_of(examples)).eval()
    network.begin(*map(torch.from_numpy, (examples.images.vectors, texts, examples.targets)))
    result = answer(kind, network, examples.images, texts, "cpu")
    cosines = examples.images.vectors @ texts.T
    slope, offset = network.slope.item(), network.offset.item()
    assert slope > 1
    np.testing.assert_allclose(result, slope * cosines + offset, rtol=1e-4, atol=1e-4)


def test_the_start_has_the_log_odds_of_two_normal_distributions() -> None:
    import torch

    from zsprompt.adapters.networks import FromCosine

    random = np.random.default_rng(0)
    targets = (random.random((4000, 1)) < 0.2).astype(np.int8)
    cosines = np.where(targets == 1, random.normal(0.3, 0.05, (4000, 1)), random.normal(0.2, 0.05, (4000, 1)))
    vectors = np.hstack([cosines, np.sqrt(1 - cosines**2)]).astype(np.float32)
    network = FromCosine(torch.nn.Identity(), [])
    network.begin(*map(torch.from_numpy, (vectors, np.array([[1, 0]], dtype=np.float32), targets)))
    # equal variances: slope (0.3 − 0.2) / 0.05², and even odds of 1 to 4 in the middle between the means
    assert network.slope.item() == pytest.approx(40, rel=0.1)
    assert network.slope.item() * 0.25 + network.offset.item() == pytest.approx(np.log(0.2 / 0.8), abs=0.15)


def test_cosines_are_not_rounded_under_autocast() -> None:
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


def test_ignored_targets_do_not_affect_the_start_and_an_opposite_text_starts_flat() -> None:
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
def test_a_network_that_starts_at_the_cosines_learns_in_all_parts(kind: Any) -> None:
    import torch

    examples = world(120)
    before = kind.network(sizes_of(examples)).state_dict()
    done = fitted(kind, examples, epochs=6, lr=1e-3)
    assert done.history[-1].loss < done.history[0].loss
    assert any(not np.array_equal(done.weights[name], value.numpy()) for name, value in before.items())
    assert set(done.weights) == set(before)
    assert isinstance(before["slope"], torch.Tensor)


def test_a_mean_read_out_cannot_start_at_the_cosines() -> None:
    with pytest.raises(UsageError, match="expected read_out=linear with start=cosine"):
        MldSpec(read_out="mean", start="cosine").check(Sizes(16, 16, 3))
