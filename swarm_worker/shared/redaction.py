"""What is a secret: never shown, never logged, not in a file for everyone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

HIDDEN: Final = "(hidden)"

_WORDS: Final = ("password", "passwd", "passphrase", "secret", "token")

# What else librdkafka itself keeps out of its logs, and some to spare: an unknown
# property is more likely a secret than one whose value has to be seen.
_KAFKA_WORDS: Final = (
    *_WORDS, "credential", "pem", "jaas", "private",
    "oauthbearer.config", "oauthbearer.extensions", "kinit.cmd",
)  # fmt: skip

# What is shorter stands in any text by chance.
_LEAST_CHARACTERS: Final = 4


def is_secret(name: str) -> bool:
    """Whether the value of a property for Kafka must not be seen."""
    return any(word in name.lower() for word in _KAFKA_WORDS)


def is_secret_variable(name: str) -> bool:
    """Whether an environment variable is likely to hold a secret."""
    return any(word in name.lower() for word in _WORDS)


def without_secrets(text: str, properties: Mapping[str, Any]) -> str:
    """Return a text without the values of secret properties."""
    for name, value in properties.items():
        shown = str(value)
        if is_secret(name) and len(shown) >= _LEAST_CHARACTERS:
            text = text.replace(shown, HIDDEN)
    return text
