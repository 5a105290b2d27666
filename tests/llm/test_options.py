"""Which LLM to ask, as one text."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zsprompt.errors import LLMError, UnknownName, UsageError
from zsprompt.llm.options import LlmOptions, captions_from, llm_text, open_writer, parse_llm
from zsprompt.llm.server import PRESETS
from zsprompt.prompts import load_bank

NAMES = st.text(st.sampled_from("abc-._:/@19 "), max_size=12).map(str.strip)
COUNTS = st.none() | st.integers(0, 10**9)
RATES = st.none() | st.floats(0, 1e6, allow_nan=False)


@given(
    options=st.builds(
        LlmOptions,
        url=NAMES | st.sampled_from(sorted(PRESETS)),
        model=NAMES,
        timeout=RATES,
        max_calls=COUNTS,
        max_tokens=COUNTS,
        concurrency=COUNTS,
        requests_per_minute=RATES,
        tokens_per_minute=RATES,
        answer_tokens=COUNTS,
        offline=st.booleans(),
    )
)
@settings(max_examples=300, deadline=None)
def test_options_come_back_from_their_text(options: LlmOptions) -> None:
    assert parse_llm(llm_text(options)) == options


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("", LlmOptions()),
        ("gpt-4o-mini", LlmOptions(model="gpt-4o-mini")),
        ("qwen", LlmOptions(url="qwen")),
        ("qwen:qwen-plus", LlmOptions(url="qwen", model="qwen-plus")),
        ("qwen-cn:qwen-plus,max_calls=500", LlmOptions(url="qwen-cn", model="qwen-plus", max_calls=500)),
        ("local:qwen2.5vl:7b", LlmOptions(url="local", model="qwen2.5vl:7b")),
        ("qwen2.5vl:7b", LlmOptions(model="qwen2.5vl:7b")),
        ("local,model=llava:7b", LlmOptions(url="local", model="llava:7b")),
        ("url=http://host:8000/v1,model=a", LlmOptions(url="http://host:8000/v1", model="a")),
        ("offline=yes", LlmOptions(offline=True)),
        ("a,offline=no,timeout=2.5", LlmOptions(model="a", timeout=2.5)),
        (" a , max_tokens = none ", LlmOptions(model="a")),
    ],
)
def test_a_text_is_a_server_a_model_and_fields(text: str, options: LlmOptions) -> None:
    assert parse_llm(text) == options
    assert options.names_a_server == bool(options.url or options.model)


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("a,b", UsageError, "expected field=value in 'a,b', found 'b'"),
        ("a,model=b", UsageError, "expected one model for the LLM, found 'a' and 'b'"),
        ("qwen:a,url=b", UsageError, "expected one url for the LLM, found 'qwen' and 'b'"),
        ("a,max_calls=1,max_calls=2", UsageError, "expected each field once, found max_calls twice"),
        ("a,max_calls=few", UsageError, "expected max_calls to be a whole number or none, found 'few'"),
        ("a,max_calls=-1", UsageError, "expected max_calls of at least 0 for the LLM, found -1"),
        ("a,max_tokens=-5", UsageError, "expected max_tokens of at least 0 for the LLM, found -5"),
        ("a,offline=perhaps", UsageError, "expected offline to be yes or no, found 'perhaps'"),
        ("a,maxcalls=1", UnknownName, "Did you mean 'max_calls'?"),
    ],
)
def test_a_text_that_cannot_be_meant_is_one_line(text: str, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as caught:
        parse_llm(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


MISSPELT = {
    "openai": "opanai openia opena opnai open-ai OpenAI oepnai",
    "local": "locla lcoal loacl Local",
    "qwen": "qewn qwne gwen quen qwenn Qwen",
    "qwen-cn": "qwen-ch qwen_cn qwencn",
}
MODELS = (
    "openhermes openchat openthinker opencoder orca llava mistral gemma phi command-r dolphin vicuna zephyr solar "
    "falcon moondream granite tinyllama codellama wizardlm yi smollm codeqwen qwen-vl qwen-coder qwen-plus qwen-max "
    "qwen-turbo deepseek-chat grok glm llama mixtral kimi claude gpt qwen2 qwen3 qwen2.5vl llama3.2-vision"
).split()
"""Names of models that servers offer."""


@pytest.mark.parametrize("tail", ["", ":x", ":x,max_calls=3"])
@pytest.mark.parametrize(
    ("server", "typed"), [(name, one) for name, words in MISSPELT.items() for one in words.split()]
)
def test_a_misspelt_server_is_no_local_model(server: str, typed: str, tail: str) -> None:
    with pytest.raises(UnknownName, match=f"unknown LLM server '{typed}'. Did you mean 'qwen|Did you mean '{server}'"):
        parse_llm(f"{typed}{tail}")


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_no_misspelt_server(name: str) -> None:
    assert parse_llm(name) == LlmOptions(model=name)
    assert parse_llm(f"{name}:7b") == LlmOptions(model=f"{name}:7b")


def test_a_model_that_looks_like_a_server_is_named_in_full() -> None:
    assert parse_llm("url=http://host/v1,model=opanai:x") == LlmOptions(url="http://host/v1", model="opanai:x")
    assert parse_llm("opanai:x,url=http://host/v1") == LlmOptions(url="http://host/v1", model="opanai:x")
    assert parse_llm("local:opanai:x") == LlmOptions(url="local", model="opanai:x")


def test_a_writer_has_the_options_of_the_text(tmp_path: Path) -> None:
    writer = open_writer(parse_llm("local:llava,max_calls=3,max_tokens=9"), cache=tmp_path)
    assert writer is not None
    assert writer.client.server.model == "llava"
    assert (writer.budget.calls, writer.budget.tokens, writer.offline) == (3, 9, False)
    offline = open_writer(parse_llm("local:llava,offline=yes"), cache=tmp_path)
    assert offline is not None
    assert offline.offline


def test_nobody_named_is_nobody_asked() -> None:
    assert open_writer(LlmOptions()) is None
    assert open_writer(LlmOptions(offline=True)) is None
    with pytest.raises(LLMError, match="expected a model"):
        open_writer(LlmOptions(url="local"))


def test_the_environment_names_what_the_text_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZSPROMPT_LLM_MODEL", "llava")
    writer = open_writer(parse_llm("local,max_calls=3"), cache=tmp_path)
    assert writer is not None
    assert (writer.client.server.model, writer.budget.calls) == ("llava", 3)


def test_captions_come_from_a_bank_a_server_or_both(tmp_path: Path) -> None:
    bank, writer = load_bank("scenes"), open_writer(parse_llm("local:llava"), cache=tmp_path)
    assert captions_from(None, None) is None
    for given_bank in ("scenes", bank):
        alone = captions_from(given_bank, None)
        assert alone is not None
        assert (len(alone.bank.captions), alone.writer) == (len(bank.captions), None)
    both = captions_from("scenes", writer)
    assert both is not None
    assert (len(both.bank.captions), both.writer) == (len(bank.captions), writer)
