"""The public names: there, documented, and hidden by no module."""

from __future__ import annotations

import pytest
from command_line import ROOT

import zsprompt
import zsprompt.testing

PACKAGE = ROOT / "zsprompt"


@pytest.mark.parametrize("name", zsprompt.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    thing = getattr(zsprompt, name)
    assert name == "__version__" or thing.__doc__
    assert name in dir(zsprompt)


def test_no_public_name_is_hidden_by_a_module() -> None:
    """Importing zsprompt.NAME would put the module where the function was."""
    modules = {path.stem for path in PACKAGE.iterdir() if not path.name.startswith("_")}
    assert not modules & set(zsprompt.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        zsprompt.nonsense  # noqa: B018


@pytest.mark.parametrize("name", zsprompt.testing.__all__)
def test_every_name_for_tests_is_there_and_documented(name: str) -> None:
    thing = getattr(zsprompt.testing, name)
    assert name == "LABELS" or thing.__doc__


def test_every_error_of_the_package_stands_in_the_tree() -> None:
    """The docstring of zsprompt.errors draws the tree, children below their parents."""
    from zsprompt import errors

    drawn = [line.lstrip("│├└─ ").split()[0] for line in (errors.__doc__ or "").splitlines()[2:] if line.strip()]
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert sorted(drawn) == sorted(kind.__name__ for kind in kinds)


@pytest.mark.parametrize("kind", ["strategies", "encoders", "datasets"])
def test_the_groups_of_entry_points_are_those_that_the_docs_name(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import EntryPoint

    from zsprompt.data import available_datasets
    from zsprompt.encoders import available_models
    from zsprompt.strategies import available_strategies

    def entry_points(group: str) -> list[EntryPoint]:
        return [EntryPoint("mine", "my_module:mine", group)] if group == f"zsprompt.{kind}" else []

    monkeypatch.setattr("zsprompt._utils.registry.entry_points", entry_points)
    available = {"strategies": available_strategies, "encoders": available_models, "datasets": available_datasets}
    assert available[kind]()["mine"] == "installed: my_module:mine"
    assert f"`zsprompt.{kind}`" in (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
