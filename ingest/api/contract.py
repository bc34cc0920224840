"""The OpenAPI document: what the framework finds in the handlers, and what only the policy knows.

From the policy come, for every route, who may call it (security, with the permission as scope), and the fields of its
answer with the class of each: answers are written there field by field, because nothing is shown that is not. Numbers
end on their unit, instants on `_at`, so their types follow from their names. No field is required: who may not see one
gets an answer without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from ingest.access.fields import ANY, EACH, SITE, Node
from ingest.access.policy import Policy, RouteRule
from ingest.api.problems import MEDIA_TYPE

JSON = "application/json"
TITLE, VERSION = "Metertree", "1"
ABOUT = """Metering, allocation and statements of business parks: what was measured, who owes what, and the proof.

Amounts are integers in minor units (`_minor`), energies integers in base units (`_wh`), instants ISO 8601 with offset.
Lists turn pages by cursors. Every POST takes an `Idempotency-Key`. Errors are problem documents (RFC 9457) with
`detail`, `mend` and, where causes differ, `reason`. A field that the caller may not see is left out of the answer; what
is of a site that is not his does not exist for him."""
_INTEGER = (
    *("_minor", "_nano", "_micro", "_wh", "_s", "_ms", "_days", "_cm2", "_pm", "_seq"),
    *(
        "epoch",
        "seq",
        "site_version",
        "octets",
        "times",
        "change",
        "alert",
        "missing",
        "waiting",
        "envelopes",
        "repeats",
    ),
)
_TEXT = (
    *("run", "site", "period", "state", "href", "standing", "currency", "gateway", "meter", "node", "unit", "party"),
    *("pool", "pool_class", "kind", "label", "zone", "reason", "note", "by", "scope", "subject", "severity", "serial"),
    *("key_id", "algorithm", "obis", "source", "photo", "order", "binding", "title", "mend", "charge", "statement"),
)
_YES_NO = ("approvable", "open", "gap_open", "counts_end", "needs_reason", "proven", "more", "dry_run", "sure")
_PROBLEM: Mapping[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "instance"],
    "properties": {
        "type": {"type": "string", "description": "names the kind of problem; /v1/problems explains each"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "what happened"},
        "instance": {"type": "string", "description": "path of the call"},
        "mend": {"type": "string", "description": "how to go on"},
        "reason": {"type": "string", "description": "stable code, where a program must tell causes apart"},
        "faults": {
            "type": "array",
            "items": {"type": "object", "additionalProperties": True},
            "description": "each fault of what was sent, with its place",
        },
    },
}
_SCHEMES: Mapping[str, Any] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "token of an operator (mtop-...), key of a client (mtk_...), or the admin token",
    },
    "client": {
        "type": "oauth2",
        "description": "client_id: name of the client; client_secret: one of its keys",
        "flows": {"clientCredentials": {"tokenUrl": "/v1/oauth/token", "scopes": {}}},
    },
}
_REFUSALS = {
    "401": "no token, or none that counts",
    "403": "the caller may not do this, or may not see it",
    "404": "does not exist, or not at a site of the caller",
    "409": "does not fit the state of things",
    "422": "does not have the form it must have",
    "429": "too many calls; Retry-After says when to come again",
    "default": "anything else is told as a problem too",
}


def describe(app: FastAPI, policy: Policy) -> dict[str, Any]:
    """Write the OpenAPI document of `app`."""
    document = get_openapi(title=TITLE, version=VERSION, description=ABOUT, routes=app.routes)
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = _PROBLEM
    schemes = {name: dict(scheme) for name, scheme in _SCHEMES.items()}
    used: set[str] = set()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            rule = policy.routes.get(f"{method.upper()} {path}")
            if rule is not None:
                _describe(operation, rule, policy, schemas)
                used |= {rule.permission} if rule.permission else set()
    scopes = {one: _roles(policy, one) for one in sorted(used)}
    schemes["client"]["flows"] = {"clientCredentials": {"tokenUrl": "/v1/oauth/token", "scopes": scopes}}
    components["securitySchemes"] = schemes
    return document


def _describe(operation: dict[str, Any], rule: RouteRule, policy: Policy, schemas: dict[str, Any]) -> None:
    responses = operation["responses"]
    refusals = dict(_REFUSALS)
    if rule.permission is None:
        operation["security"] = []
        operation["description"] = f"{operation.get('description', '')}\n\nOpen: {rule.open_because}.".strip()
        del refusals["401"], refusals["403"]
    else:
        operation["security"] = [{"bearer": []}, {"client": [rule.permission]}]
        told = f"Takes the permission `{rule.permission}`."
        operation["description"] = f"{operation.get('description', '')}\n\n{told}".strip()
    if "requestBody" not in operation and not operation.get("parameters"):
        del refusals["422"]
    for status, told in refusals.items():
        if status in responses and JSON in responses[status].get("content", {}) and status != "422":
            continue
        responses[status] = {"description": told, "content": {MEDIA_TYPE: {"schema": _ref("Problem")}}}
    for status, answer in responses.items():
        if rule.media and status.startswith("2"):
            answer["content"] = {rule.media: {"schema": {} if rule.media == JSON else {"type": "string"}}}
    if rule.resource and not policy.is_whole(rule.resource):
        name = "".join(part.capitalize() for part in rule.resource.split("-"))
        for status, answer in responses.items():
            if status.startswith("2") and _is_untold(answer):
                schemas[name] = _schema(policy.tree(rule.resource))
                answer["content"] = {JSON: {"schema": _ref(name)}}


def _is_untold(answer: dict[str, Any]) -> bool:
    """Say whether the framework knows nothing of an answer but that it is JSON."""
    told = answer.get("content", {}).get(JSON, {}).get("schema")
    return told is not None and told.keys() <= {"type", "additionalProperties", "title"}


def _schema(node: Node, name: str = "", *, is_wide: bool = False) -> dict[str, Any]:
    """Write what may stand at a node; `is_wide`: a rule above it speaks of fields that are not named."""
    is_wide = is_wide or node.deep is not None
    if node.keys.keys() == {EACH}:
        return {"type": ["array", "null"], "items": _schema(node.keys[EACH], name, is_wide=is_wide)}
    if not node.keys:
        return {} if node.leaf is None else _plain(name, node)
    named = {key: _schema(below, key, is_wide=is_wide) for key, below in node.keys.items() if key not in (ANY, EACH)}
    schema: dict[str, Any] = {"type": ["object", "null"] if name else "object", "properties": named}
    schema["additionalProperties"] = _schema(node.keys[ANY], is_wide=is_wide) if ANY in node.keys else is_wide
    return schema


def _plain(name: str, node: Node) -> dict[str, Any]:
    classes = sorted((node.leaf or frozenset()) - {SITE})
    told = f"seen by who sees {' and '.join(classes)}" if classes else "id of the site"
    if name.endswith("_at"):
        return {"type": ["string", "null"], "format": "date-time", "description": told}
    if name.endswith(_INTEGER):
        return {"type": ["integer", "null"], "description": told}
    for kind, names in (("string", _TEXT), ("boolean", _YES_NO)):
        if name in names:
            return {"type": [kind, "null"], "description": told}
    return {"type": ["string", "integer", "number", "boolean", "null"], "description": told}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _roles(policy: Policy, permission: str) -> str:
    return "roles that have it: " + ", ".join(sorted(policy.permissions[permission]))
