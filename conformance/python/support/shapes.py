"""The models of the contract as required keys and types.

Generated clients fail on a missing key, on null where null is not allowed, and on 1.0 for an
integer; these tables are the union of what they insist on. Must not: list optional keys.
"""

from typing import Any

TEXT, FLAG, WHOLE, TABLE, LIST = str, bool, int, dict, list

SANDBOX_COMMON = {
    "id": TEXT, "organizationId": TEXT, "name": TEXT, "user": TEXT, "target": TEXT,
    "labels": TABLE, "public": FLAG, "networkBlockAll": FLAG,
    "cpu": WHOLE, "gpu": WHOLE, "memory": WHOLE, "disk": WHOLE, "toolboxProxyUrl": TEXT,
}  # fmt: skip
SANDBOX = {**SANDBOX_COMMON, "env": TABLE, "kvm": FLAG}
SNAPSHOT = {
    "id": TEXT, "general": FLAG, "name": TEXT, "state": TEXT,
    "cpu": WHOLE, "gpu": WHOLE, "mem": WHOLE, "disk": WHOLE, "createdAt": TEXT, "updatedAt": TEXT,
}  # fmt: skip
# Present in every answer, though they may be null.
SNAPSHOT_KEYS = ["size", "entrypoint", "errorReason", "lastUsedAt", "sourceSandboxId"]
CONFIG = {
    "version": TEXT, "oidc": TABLE, "linkedAccountsEnabled": FLAG, "announcements": TABLE,
    "proxyTemplateUrl": TEXT, "proxyToolboxUrl": TEXT, "defaultSnapshot": TEXT, "dashboardUrl": TEXT,
    "maxAutoArchiveInterval": WHOLE, "maintananceMode": FLAG, "environment": TEXT,
}  # fmt: skip
REGION = {"id": TEXT, "name": TEXT, "regionType": TEXT, "createdAt": TEXT, "updatedAt": TEXT}
API_KEY = {"name": TEXT, "value": TEXT, "createdAt": TEXT, "permissions": LIST, "userId": TEXT}
ERROR = {"statusCode": WHOLE, "error": TEXT, "message": TEXT, "timestamp": TEXT, "path": TEXT}


def check(value: dict[str, Any], shape: dict[str, type]) -> None:
    """Fails with every key that is missing or of the wrong type."""
    wrong = [
        f"{key}: {value.get(key, 'missing')!r} is not {kind.__name__}"
        for key, kind in shape.items()
        if type(value.get(key)) is not kind
    ]
    assert not wrong, "; ".join(wrong)
