"""OAUTHBEARER for tests: a broker that takes tokens, and tokens that nobody signed."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

LASTS_S: Final = 3_600

# What a `KafkaBroker` is made with: a listener for tokens beside the plain one.
TAKES_TOKENS: Final[Mapping[str, Any]] = {
    "sasl_users": {"nobody": "nothing"},
    "config": {
        "sasl.enabled.mechanisms": "PLAIN,OAUTHBEARER",
        "listener.name.sasl_plaintext.oauthbearer.sasl.jaas.config": (
            "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule "
            'required unsecuredLoginStringClaim_sub="broker";'
        ),
    },
}
# What a client is made with, beside its `oauth_cb`.
BY_TOKEN: Final[Mapping[str, str]] = {
    "security.protocol": "SASL_PLAINTEXT",
    "sasl.mechanisms": "OAUTHBEARER",
}


def new_token() -> tuple[str, float]:
    """Return a token, and when it expires: seconds since the epoch."""
    now_s = int(datetime.now(tz=UTC).timestamp())
    expires_s = now_s + LASTS_S
    claims = {"sub": "node", "iat": now_s, "exp": expires_s}
    parts = (json.dumps(part).encode() for part in ({"alg": "none"}, claims))
    text = ".".join(urlsafe_b64encode(part).decode().rstrip("=") for part in parts)
    return f"{text}.", expires_s
