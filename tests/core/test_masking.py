"""The mask over what looks like a key: keys go, prose stays, and what the process knows by heart goes everywhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gathering
from gathering.core import masking
from gathering.core.display import bundle
from gathering.core.errors import AuthenticationError, ProviderError
from gathering.core.masking import keep_secret, mask
from gathering.llm.keys import Secret
from gathering.testing import ScriptedProvider

#: One made-up key in the form of each service's; Mistral, Azure and Cohere have no form to know them by.
FORMED = {
    "openai": "sk-proj-Ab3dEfGh1jKlMnOpQrStUv",
    "openai service": "sk-svcacct-Ab3dEfGh1jKlMnOpQr",
    "openai old": "sk-Ab3dEfGh1jKlMnOpQrStUvWxYz012345",
    "anthropic": "sk-ant-api03-Ab3dEfGh1jKl-MnOpQr_StUvAA",
    "anthropic admin": "sk-ant-admin01-Ab3dEfGh1jKlMnOpQr",
    "gemini": "AIzaSyA1234567890abcdefghijklmnopqrstu",
    "gemini new": "AQ.Ab8RN6KabcdefGHIJ0123456789klmnop",
    "groq": "gsk_1234567890abcdefghij",
    "xai": "xai-1234567890abcdefgh",
    "deepseek": "sk-0123456789abcdef0123456789abcdef",
    "openrouter": "sk-or-v1-0123456789abcdef0123456789abcdef",
    "together": "tgp_v1_Ab3dEfGh1jKlMnOpQrSt",
    "fireworks": "fw_3Zabcdefghijklmnop12",
    "perplexity": "pplx-0123456789abcdefghij",
    "cerebras": "csk-abcdefgh12345678ijklmnop",
    "huggingface": "hf_aBcDeFgHiJ1234567890",
    "nvidia": "nvapi-Ab3dEfGh1jKlMnOpQr",
    "replicate": "r8_Ab3dEfGh1jKlMnOpQr",
    "voyage": "pa-Ab3dEfGh1jKlMnOpQrSt",
    "jina": "jina_0123456789abcdefghijklmn",
    "tavily": "tvly-dev-Ab3dEfGh1jKlMnOp",
    "langsmith": "lsv2_pt_0123456789abcdef_0123456789",
    "github": "ghp_Ab3dEfGh1jKlMnOpQrStUvWxYz0123456789",
    "github fine": "github_pat_11ABCDEFG0abcdefghijkl_mnop",
    "gitlab": "glpat-Ab3dEfGh1jKlMnOpQrSt",
    "slack": "xoxb-123456789012-abcdefghijkl",
    "aws": "AKIAIOSFODNN7EXAMPLE",
    "google token": "ya29.a0AfH6SMB0123456789abcdefghij",
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N",
}
FORMLESS = {"mistral": "Zx8Yw7Vu6Ts5Rq4Po3Nm2Lk1Ji0Hg9Fe", "azure": "0123456789abcdef0123456789abcdef"}


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """What other tests told the process to keep does not count here."""
    monkeypatch.setattr(masking, "_known", set())


@pytest.mark.parametrize("key", FORMED.values(), ids=FORMED)
def test_keys_of_services_are_masked_wherever_they_stand(key: str) -> None:
    """In a sentence, an address or JSON."""
    assert mask(f"the key {key} is wrong") == "the key *** is wrong"
    assert json.loads(mask(json.dumps({"note": f"https://x.example/?k={key}"})))["note"].endswith("?k=***")


@pytest.mark.parametrize("key", FORMLESS.values(), ids=FORMLESS)
def test_a_key_without_a_form(key: str) -> None:
    """It is known by what stands before it, and anywhere once a provider was made with it."""
    for said in (f"api_key={key}", f"MISTRAL_API_KEY: {key}", f"x-api-key: {key}", f"my API key is {key}"):
        assert key not in mask(said), said
    assert key in mask(f"so {key} it is")
    Secret(key)
    assert mask(f"so {key} it is") == "so *** it is"


def test_a_short_secret_is_a_word() -> None:
    """A dummy for a server that wants none would be masked out of every sentence."""
    Secret("test")
    assert mask("this is a test") == "this is a test"
    assert mask("an odd secret: hunter22", ["hunter22"]) == "an odd secret: ***"


def test_what_a_service_echoes() -> None:
    """Keys with stars in the middle, as services write the one they refuse."""
    said = "Incorrect API key provided: sk-ab**********yz, sk-proj-a1b2****c3d4."
    assert mask(said) == "Incorrect API key provided: ***, ***"


@pytest.mark.parametrize(
    ("text", "then"),
    [
        ("Authorization: Bearer abc.def-123", "Authorization: Bearer ***"),
        (
            '{"api_key": "hunter2", "x-api-key": "a\\"b", "n": 1}',
            '{"api_key": "***", "x-api-key": "***", "n": 1}',
        ),
        ('{"Authorization": "Basic abc"}', '{"Authorization": "***"}'),
    ],
)
def test_what_is_named_a_key_is_masked(text: str, then: str) -> None:
    """The value of a field that is named so, and what stands after Bearer."""
    assert mask(text) == then


@pytest.mark.parametrize(
    "text",
    [
        "a task-oriented risk-assessment with sk-learn-pipelines-and-more",
        '{"output_tokens": 12, "secretary": "Ada"}',
        "HF_HUB_DISABLE_TELEMETRY",
    ],
)
def test_prose_stays(text: str) -> None:
    """Words joined by hyphens and names that only begin like a secret are left alone."""
    assert mask(text) == text


@given(st.text())
def test_masking_twice_changes_nothing_more(text: str) -> None:
    """A masked request is found again by its masked form."""
    assert mask(mask(text)) == mask(text)


EVERY = {**FORMED, **FORMLESS}


@pytest.mark.parametrize("key", EVERY.values(), ids=EVERY)
def test_no_way_out(key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that is asked about, answered, given by a tool and in an error is in no repr, row, tape or output."""
    monkeypatch.setenv("GATHERING_STORE", str(tmp_path / "trace.sqlite"))
    keep_secret(key)

    @gathering.tool
    def vault(name: str) -> str:
        """Open it."""
        return f"{name}: {key}"

    answers: list[Any] = [
        {"content": f"with {key}", "tool_calls": [{"name": "vault", "arguments": {"name": key}}]},
        f"It is {key}.",
        ProviderError(f"401 for {key}"),
    ]
    with gathering.tape(tmp_path / "tape.jsonl", "record"):
        agent = gathering.Agent("ada", llm_provider=ScriptedProvider(answers), tools=[vault])
        reply = agent.ask(f"what is {key}?", temperature=0)
        with pytest.raises(ProviderError) as failed:
            agent.ask("again")
    provider = gathering.provider("openai:gpt-5-mini", api_key=key)
    shown = [repr(provider), repr(provider.config), repr(agent), str(vars(provider))]
    shown += [*reply._repr_mimebundle_().values(), *agent.memory._repr_mimebundle_().values()]
    shown += [*bundle(f"so {key}", html_form=f"<b>{key}</b>").values()]
    shown += [table().to_csv() for table in (agent.trace.calls, agent.trace.messages, agent.trace.tool_calls)]
    shown += [str(provider.signed(AuthenticationError(f"refused: {key}")))]  # type: ignore[attr-defined]
    written = b"".join(p.read_bytes() for p in tmp_path.iterdir())
    assert failed.value
    assert [text for text in shown if key in text] == []
    assert key.encode() not in written
