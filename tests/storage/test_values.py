"""The mask over what looks like a key: keys go, prose stays."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gathering.storage import mask


@pytest.mark.parametrize(
    "key",
    [
        "sk-proj-Ab3dEfGh1jKlMnOpQr",
        "sk-ant-api03-Ab3dEfGh1jKlMnOpQr",
        "AIzaSyA1234567890abcdefghijklmnop",
        "gsk_1234567890abcdefghij",
        "hf_aBcDeFgHiJ1234567890",
        "xai-1234567890abcdefgh",
    ],
)
def test_keys_of_services_are_masked_wherever_they_stand(key: str) -> None:
    """In a sentence, an address or JSON."""
    assert mask(f"the key {key} is wrong") == "the key *** is wrong"
    assert json.loads(mask(json.dumps({"note": f"https://x.example/?k={key}"})))["note"].endswith("?k=***")


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
