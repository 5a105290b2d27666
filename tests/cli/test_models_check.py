"""`zsprompt models check`: the table, the verdict, JSON, and weights that are not what their name says."""

from __future__ import annotations

import json

import pytest
from command_line import Cli

from zsprompt.encoders.published import comparison


def test_the_right_weights(cli: Cli) -> None:
    done = cli("models", "check", "published:Published")
    assert done.returncode == 0
    assert done.stdout.splitlines()[2].split() == ["a", "diagram", "0.2555", "0.9928", "0.9928", "1.00000"]
    assert done.stdout.splitlines()[-1] == "cosine to the published vector of the image: 1.00000"
    assert done.stderr == "published:Published gives the published vectors of OpenAI's ViT-B/32, up to rounding\n"


def test_another_model_has_its_own_probabilities(cli: Cli) -> None:
    done = cli("models", "check", "tiny")
    assert done.returncode == 0
    assert "cosine to the published" not in done.stdout.replace("\n", " ")
    assert done.stderr == "tiny is not OpenAI's ViT-B/32, the only model with published vectors here\n"


def test_an_image_that_is_nearer_to_another_text(cli: Cli) -> None:
    done = cli("models", "check", "fakes:PlantedEncoder")
    assert done.returncode == 0
    assert "the image is a diagram, but it is not nearest to that text" in done.stderr


def test_a_name_of_the_published_model_with_other_weights(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "_PUBLISHED_MODELS", ("published:OtherImage",))
    done = cli("models", "check", "published:OtherImage")
    assert done.returncode == 1
    assert "a diagram" in done.stdout
    assert done.stderr.splitlines()[-1] == (
        "error: expected the published vectors from published:OtherImage, found another for the image: "
        "the image tower's weights or the preprocessing are wrong"
    )


def test_json(cli: Cli) -> None:
    done = cli("models", "check", "published:Published", "--json")
    facts = json.loads(done.stdout)
    assert facts["same_as_published"]
    assert facts["finds_diagram"]
    assert facts["probabilities"] == pytest.approx(facts["published_probabilities"], abs=1e-6)
    assert not done.stderr


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("tinny",), "unknown model"),
        (("tiny", "--device", "tpu"), "unknown device"),
        (("tiny", "--device", "cpu,batch_size=3"), "batch_size"),
        (("tiny", "--device", "cpu,precision=int4"), "precision"),
        (("nowhere/file.pt",), "expected an OpenAI CLIP checkpoint"),
    ],
)
def test_refusals_are_one_line(cli: Cli, args: tuple[str, ...], message: str) -> None:
    done = cli("models", "check", *args)
    assert done.returncode == 1
    assert not done.stdout
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert message in done.stderr
