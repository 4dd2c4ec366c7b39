"""The provider ``preset``: ready-made middlewares under names of their own, for whoever names them. Data only.

compress@preset            what compress does by default
https@preset               redirectScheme to https, for good
request-id@preset          requestId: an id for every request
retry@preset               a second try where no server was reached
security-headers@preset    the fields that browsers should get: HSTS (over TLS), nosniff, no foreign frames
web@preset                 request-id, security-headers and compress
"""

from __future__ import annotations

from typing import Any, Final

from edgerouter.config.dynamic import DynamicConfiguration, HttpConfiguration, Middleware
from edgerouter.contracts.snapshot import Snapshot

PRESET: Final = "preset"

_OPTIONS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "compress": ("compress", {}),
    "https": ("redirectScheme", {"scheme": "https", "permanent": True}),
    "request-id": ("requestId", {}),
    "retry": ("retry", {"attempts": 2}),
    "security-headers": (
        "headers",
        {
            "stsSeconds": 31536000,
            "contentTypeNosniff": True,
            "customFrameOptionsValue": "SAMEORIGIN",
            "referrerPolicy": "strict-origin-when-cross-origin",
        },
    ),
    "web": ("chain", {"middlewares": ["request-id", "security-headers", "compress"]}),
}

SNAPSHOT: Final = Snapshot(
    configuration=DynamicConfiguration(
        http=HttpConfiguration(
            middlewares={name: Middleware(kind, options) for name, (kind, options) in _OPTIONS.items()}
        )
    )
)
