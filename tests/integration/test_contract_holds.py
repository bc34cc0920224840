"""The service does what /v1/openapi.json says: calls drawn from the contract, over a real database with a closed day.

Few calls each here, from a fixed seed. Many, from any: METERTREE_CONTRACT_CALLS=200 pytest -p tests.long.more_examples
--times 50 --hypothesis-seed 7 tests/integration/test_contract_holds.py
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import CHECKS

from ingest.access.policy_file import shipped_policy
from ingest.api.contract import JSON
from ingest.api.problems import MEDIA_TYPE
from tests.integration.test_api_service import ADMIN, Centre, closed_centre

LIKE_IT = settings(
    max_examples=2, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
NAMES = (
    *("not_a_server_error", "status_code_conformance", "content_type_conformance"),
    *("response_schema_conformance", "response_headers_conformance"),
)
PERIOD = "park-2026-07-01--2026-07-01"
REAL = {"gateway": "gw-a", "number": f"{PERIOD}-t-01-v1", "site": "park", "node": "main", "party": "t-01"}
WITHOUT_AUTHORITY = ("POST /v1/certificates/renewals", "GET /v1/certificates/revoked")
"""A centre without an authority answers 501, which is a server's error by any other name."""


class Contract:
    """The document, what may be called by it, and where."""

    def __init__(self, centre: Centre) -> None:
        self.document: dict[str, Any] = centre.client.get("/v1/openapi.json").json()
        self.base_url = str(centre.client.base_url)
        self.real = REAL | {"run": centre.close()["run"]}
        self.session = requests.Session()
        self.session.trust_env = False
        schema: Any = schemathesis.openapi.from_dict(self.document)
        self.operations = {one.ok().label: one.ok() for one in schema.get_all_operations()}


@pytest.fixture(scope="module")
def contract(postgres_dsn: str, migrated_template: str) -> Iterator[Contract]:
    """The contract of a service with one closed day."""
    with closed_centre(postgres_dsn, migrated_template) as built:
        yield Contract(built)


def test_whatever_the_contract_allows_is_answered_as_it_says(contract: Contract) -> None:
    checks: list[Any] = [CHECKS.get_one(name) for name in NAMES]
    for label, operation in contract.operations.items():
        if label not in WITHOUT_AUTHORITY:
            _hold(contract, operation, checks)


def _hold(contract: Contract, operation: Any, checks: list[Any]) -> None:
    names = {one.name for one in operation.path_parameters}

    @LIKE_IT
    @given(operation.as_strategy(), st.booleans())
    def call(case: Any, is_real: bool) -> None:
        if is_real and case.path_parameters:
            case.path_parameters = {**case.path_parameters, **{k: v for k, v in contract.real.items() if k in names}}
        case.call_and_validate(
            base_url=contract.base_url, session=contract.session, headers=ADMIN, checks=checks, timeout=60
        )

    call()


def test_every_list_and_document_of_the_closed_day_is_as_the_contract_says(contract: Contract) -> None:
    """What the calls above seldom hit: answers with something in them."""
    checks: list[Any] = [CHECKS.get_one(name) for name in NAMES]
    told = 0
    for label, operation in contract.operations.items():
        if not label.startswith("GET ") or label in WITHOUT_AUTHORITY:
            continue
        required = {one.name for one in operation.query if one.is_required}
        if not required <= contract.real.keys():
            continue
        case = operation.Case(
            path_parameters={one.name: contract.real.get(one.name, "1") for one in operation.path_parameters},
            query={name: contract.real[name] for name in required},
        )
        answer = case.call_and_validate(
            base_url=contract.base_url, session=contract.session, headers=ADMIN, checks=checks, timeout=60
        )
        told += answer.status_code == 200
    assert told >= 20


def test_the_contract_says_of_every_call_who_may_make_it_and_what_it_refuses_with(contract: Contract) -> None:
    policy = shipped_policy()
    scopes = contract.document["components"]["securitySchemes"]["client"]["flows"]["clientCredentials"]["scopes"]
    for path, methods in contract.document["paths"].items():
        for method, operation in methods.items():
            rule = policy.routes[f"{method.upper()} {path}"]
            assert operation["description"], path
            if rule.permission is None:
                assert operation["security"] == []
                assert rule.open_because in operation["description"]
            else:
                assert operation["security"] == [{"bearer": []}, {"client": [rule.permission]}]
                assert rule.permission in scopes
                for status in ("401", "403", "404", "429", "default"):
                    assert list(operation["responses"][status]["content"]) == [MEDIA_TYPE], (path, status)
    assert "HTTPValidationError" not in json.dumps(contract.document)


def test_the_contract_names_every_field_of_an_answer(contract: Contract) -> None:
    policy, schemas = shipped_policy(), contract.document["components"]["schemas"]
    untold = []
    for path, methods in contract.document["paths"].items():
        for method, operation in methods.items():
            rule = policy.routes[f"{method.upper()} {path}"]
            for status, answer in operation["responses"].items():
                schema = answer.get("content", {}).get(JSON, {}).get("schema")
                if status.startswith("2") and schema is not None and rule.resource:
                    named = schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
                    if not policy.is_whole(rule.resource) and not named.get("properties"):
                        untold.append(rule.key)
    assert untold == []
