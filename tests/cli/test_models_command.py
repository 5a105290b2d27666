"""`zsprompt models list`, as people call it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import hub_cache
import pytest
from command_line import Cli, one_line, run_here

from zsprompt.cli import models
from zsprompt.encoders.catalogue import known_models

LAION = "open_clip:ViT-B-32/laion2b_s34b_b79k"
SOURCE = "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, with the folder of the hub's cache."""
    for name in ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home" / ".cache" / "huggingface" / "hub"


@pytest.fixture
def with_laion(home: Path, tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "open_clip_model.safetensors").write_bytes(b"x")
    hub_cache.put(home, SOURCE, tmp_path / "weights")


def names(done: Any) -> list[str]:
    """The models of a table."""
    assert done.returncode == 0, done.stderr
    return [line.split()[0] for line in done.stdout.splitlines()[1:]]


def test_all_models_are_listed(cli: Cli) -> None:
    done = cli("models", "list")
    assert names(done) == [model.name for model in known_models()]
    assert done.stderr.startswith(f"{len(known_models())} models, ")
    assert max(map(len, done.stdout.splitlines())) > 100  # a pipe has no width


def test_a_row_says_what_matters(cli: Cli) -> None:
    header, row = cli("models", "list", "ViT-B-16-SigLIP2/webli").stdout.splitlines()
    assert header.split() == "--model family pixels tokens D parameters download licence here".split()
    assert row.split() == "open_clip:ViT-B-16-SigLIP2/webli SigLIP 2 224 64 768 375 M 1.5 GB Apache-2.0".split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["google/SIGLIP2-base-patch16-224"], ["open_clip:ViT-B-16-SigLIP2/webli"]),
        (["pe-core-t"], ["open_clip:PE-Core-T-16-384/meta"]),
        (["--family", "tiny"], ["tiny"]),
        (
            ["336", "--family", "clipa"],
            [
                f"open_clip:ViT-{size}-14-CLIPA-336/{tag}"
                for size, tag in (("L", "datacomp1b"), ("H", "laion2b"), ("H", "datacomp1b"), ("bigG", "datacomp1b"))
            ],
        ),
    ],
    ids=str,
)
def test_a_text_and_a_family_choose(words: list[str], expected: list[str], cli: Cli) -> None:
    assert names(cli("models", "list", *words)) == expected


@pytest.mark.usefixtures("with_laion")
def test_what_is_cached(cli: Cli, home: Path) -> None:
    rows = cli("models", "list", "laion2b", "--family", "LAION").stdout.splitlines()
    assert [row.split()[0] for row in rows if row.endswith(" cached")] == [LAION]
    listed = names(cli("models", "list", "--cached"))
    assert [name for name in listed if name != "conse"] == ["tiny", LAION]
    facts = json.loads(cli("models", "list", "open_clip:", "--cached", "--json").stdout)
    assert facts["folders"] == [str(home.parent.parent / "clip"), str(home)]
    (model,) = facts["models"]
    assert (model["name"], model["cached"], model["source"], model["extra"]) == (LAION, True, SOURCE, "open-clip")


def test_nothing_is_cached(cli: Cli) -> None:
    done = cli("models", "list", "siglip", "--cached")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("0 models, ")
    assert json.loads(cli("models", "list", "siglip", "--cached", "--json").stdout)["models"] == []


def test_json_has_all_that_is_known(cli: Cli) -> None:
    (model,) = json.loads(cli("models", "list", "ViT-B/32", "--family", "OpenAI", "--json").stdout)["models"][:1]
    assert model["name"] == "ViT-B/32"
    assert model["source"].startswith("https://openaipublic.azureedge.net/clip/models/40d36571")
    kinds = {key: type(value) for key, value in model.items()}
    assert kinds == {
        **{"name": str, "family": str, "image_size": int, "context": int, "dim": int, "parameters": float},
        **{"download_mb": int, "licence": str, "source": str, "tokenizer": str, "aliases": list},
        **{"extra": type(None), "cached": bool},
    }
    assert model["aliases"] == ["hf:openai/clip-vit-base-patch32"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["siglp"], "found none; closest: open_clip:ViT-B-16-SigLIP/webli, "),
        (["zzzzzz"], "found none; `zsprompt models list` shows all"),
        (["--family", "siglip3"], "unknown family 'siglip3'. Did you mean 'SigLIP"),
        (
            ["convnext", "--family", "siglip"],
            "expected models with 'convnext' of family SigLIP, found some of ConvNeXt",
        ),
        ([""], "expected a value for TEXT, found an empty text"),
    ],
    ids=str,
)
def test_a_refusal_is_one_line(words: list[str], said: str, cli: Cli) -> None:
    done = cli("models", "list", *words)
    assert (done.returncode, done.stdout) == (1, "")
    assert said in one_line(done.stderr)


def test_without_open_clip_a_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    done = run_here("models", "list", "siglip2", cwd=tmp_path, env={})
    assert len(names(done)) == 15
    assert "models named open_clip: need pip install 'zsprompt[open-clip]'" in done.stderr
    assert "open-clip" not in run_here("models", "list", "--family", "tiny", cwd=tmp_path, env={}).stderr


@pytest.mark.parametrize("width", [30, 72, 80, 400])
def test_a_terminal_of_any_width(width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No line is broken inside a name or a fact."""
    monkeypatch.setattr(models, "_width", lambda: width)
    done = run_here("models", "list", "--family", "MobileCLIP2", cwd=tmp_path, env={})
    lines = done.stdout.splitlines()
    if width == 400:
        assert len(lines) == 1 + 6
        return
    assert [line for line in lines if not line.startswith(" ")] == [
        model.name for model in known_models() if model.family == "MobileCLIP2"
    ]
    assert all(len(line) <= width or not line.startswith(" ") for line in lines)
    text = " ".join(line.strip() for line in lines[:10])
    assert "MobileCLIP2, 224 pixels, 77 tokens, D 512, 150 M parameters, 599 MB to download, Apple AMLR" in text


def test_a_wrong_model_of_a_run_ends_with_near_names(cli: Cli) -> None:
    done = cli("run", "--strategy", "per-label", "--dataset", "scenes,limit=4", "--model", "siglip2-base")
    assert done.returncode == 1
    message = one_line(done.stderr)
    assert "open_clip:ViT-B-16-SigLIP2/webli" in message
    assert message.endswith("see zsprompt models list TEXT\n")
