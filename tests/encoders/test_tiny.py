"""The small CLIP that zsprompt includes."""

from __future__ import annotations

import re
import shutil
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from command_line import Cli

import zsprompt as zs
from zsprompt.data.scenes.captions import vocabulary
from zsprompt.encoders.clip import tiny
from zsprompt.errors import ModelError
from zsprompt.prompts import available_prompts, neutral_words

pytest.importorskip("torch")


@pytest.fixture(scope="module")
def encoder() -> tiny.Tiny:
    return tiny.load_tiny(device="cpu")


def test_it_is_small_and_clips_own_architecture(encoder: tiny.Tiny) -> None:
    size = files("zsprompt.encoders.clip").joinpath("tiny.safetensors").stat().st_size
    assert size <= 6_000_000
    assert type(encoder.towers.model).__name__ == "CLIP"
    assert encoder.towers.model.transformer.width // encoder.towers.model.transformer.resblocks[0].attn.num_heads == 64
    assert encoder.context_length == 77


def test_it_was_trained_on_every_word_of_captions_prompts_and_neutral_words(encoder: tiny.Tiny) -> None:
    assert len(encoder.words) >= 1500
    assert encoder.unfamiliar(sorted(vocabulary())) == []
    assert encoder.unfamiliar(neutral_words()) == []
    for name in available_prompts():
        prompts = zs.load_prompts(name)
        if prompts.described:
            continue  # written for photographs; test_captions covers those written for tiny
        assert encoder.unfamiliar([text for texts in prompts.ensemble(["dog"]) for text in texts]) == []


def test_a_word_it_never_saw_is_named_and_still_embedded(encoder: tiny.Tiny) -> None:
    assert encoder.unfamiliar(["a quokka and a dog", "quokka", "Zebras!", "double-decker"]) == ["quokka", "zebras"]
    vectors = encoder.encode_texts(["quokka", "a photo of a quokka", "dog"])
    assert np.isfinite(vectors).all()
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_what_it_reaches_on_the_test_images() -> None:
    data = zs.load_dataset("scenes", split="test:300")
    with zs.EmbeddingStore(zs.load_encoder("tiny"), cache=None) as store:
        result = zs.run(zs.load_strategy("normalised:per-label"), data, store, resamples=10)
    assert result.mAP > LEAST
    assert result.warnings == () or "trained" not in " ".join(result.warnings)


LEAST = 0.75


def test_colours_and_variants_mean_something(encoder: tiny.Tiny) -> None:
    """Among images of a car, a caption with a colour scores higher on cars of that colour."""
    from zsprompt.data.scenes.world import KINDS, compose, paint

    scenes = [scene for scene in (compose(f"planted {i}") for i in range(3000)) if len(scene.things) == 1]
    cars = [s for s in scenes if s.kinds == ("car",)][:60]
    images = encoder.encode_images([paint(scene) for scene in cars])
    assert len(KINDS) >= 16
    for words, is_so in (("a red car", "red"), ("a blue car", "blue")):
        scores = images @ encoder.encode_texts([words])[0]
        so = np.array([scene.things[0].colour == is_so for scene in cars])
        assert scores[so].mean() > scores[~so].mean()


@pytest.mark.parametrize("content", [b"", b"no safetensors", None])
def test_a_damaged_file_is_one_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "tiny.safetensors"
    with files("zsprompt.encoders.clip").joinpath("tiny.safetensors").open("rb") as whole, path.open("wb") as copy:
        shutil.copyfileobj(whole, copy)
    path.write_bytes(path.read_bytes()[:100_000] if content is None else content)
    with pytest.raises(ModelError, match="install zsprompt again"):
        tiny._read(path, "cpu")


@pytest.mark.slow
def test_scenes_bring_it_and_the_command_line_names_unknown_words(cli: Cli, tmp_path: Path) -> None:
    done = cli("run", "--strategy", "top-all", "--dataset", "scenes,limit=40")
    assert done.returncode == 0, done.stderr
    assert "model tiny" in done.stdout
    assert "never trained" not in done.stderr
    zs.load_dataset("scenes").images[0]
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "a.ppm").write_bytes(zs.load_dataset("scenes").images[0].read())
    unfamiliar = cli("predict", tmp_path / "p", "--labels", "dog, quokka", "--model", "tiny")
    assert unfamiliar.returncode == 0
    assert re.search("model tiny was never trained on these words, .*: quokka", unfamiliar.stderr)
