"""Secrets among the properties for Kafka: never shown, never logged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

HIDDEN: Final = "(hidden)"

# Parts of the names that librdkafka itself keeps out of its logs, and some to spare:
# an unknown property is more likely a secret than one whose value has to be seen.
_WORDS: Final = (
    "password", "passphrase", "secret", "credential", "pem", "token", "jaas",
    "oauthbearer.config", "oauthbearer.extensions", "kinit.cmd", "private",
)  # fmt: skip

# What is shorter stands in any text by chance.
_LEAST_CHARACTERS: Final = 4


def is_secret(name: str) -> bool:
    """Tell whether the value of a property must not be seen."""
    return any(word in name for word in _WORDS)


def without_secrets(text: str, properties: Mapping[str, Any]) -> str:
    """Take the values of secret properties out of a text."""
    for name, value in properties.items():
        shown = str(value)
        if is_secret(name) and len(shown) >= _LEAST_CHARACTERS:
            text = text.replace(shown, HIDDEN)
    return text
