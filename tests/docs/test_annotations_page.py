"""The page of annotations says what is read: no word is missing, and every value on it is understood."""

from __future__ import annotations

import pathlib

import pytest
import yaml
from kubernetes_cluster import answer, told

from edgerouter.cli import _ingress_pages
from edgerouter.config.describe import options_of
from edgerouter.config.fit import fit
from edgerouter.providers._ingress_annotations import BY_LABEL, ON_INGRESS, ON_SERVICE, PREFIXES
from edgerouter.providers._ingress_reference import INGRESS, OWN, SERVICE
from edgerouter.providers._ingress_services import OWN_OPTIONS
from edgerouter.providers.kubernetes_ingress import KubernetesIngressOptions

FOLDER = pathlib.Path(__file__).parents[2] / "docs" / "reference" / "kubernetes"
MADE = _ingress_pages()
OBJECTS = """
kind: Secret
type: Opaque
metadata: {name: users}
data: {users: 'YTokYXByMSRIaWo='}
---
kind: Secret
type: kubernetes.io/tls
metadata: {name: pair}
data: {tls.crt: 'eA==', tls.key: 'eA=='}
"""
# What a word needs beside it.
BESIDE = {
    "auth-type": {"auth-secret": "users"},
    "auth-secret": {"auth-type": "basic"},
    "auth-realm": {"auth-type": "basic", "auth-secret": "users"},
    "auth-remove-header": {"auth-type": "basic", "auth-secret": "users"},
    "auth-header-field": {"auth-type": "basic", "auth-secret": "users"},
    "auth-trust-headers": {"auth-url": "https://auth.test/"},
    "auth-response-headers": {"auth-url": "https://auth.test/"},
    "auth-tls-insecure": {"auth-url": "https://auth.test/"},
    "auth-tls-secret": {"auth-url": "https://auth.test/"},
    "redirect-regex": {"redirect-replacement": "https://b/$1"},
    "redirect-replacement": {"redirect-regex": "^http://a/(.*)"},
    "redirect-permanent": {"redirect-entry-point": "https"},
    "whitelist-x-forwarded-for": {"whitelist-source-range": "10.0.0.0/8"},
    "ssl-temporary-redirect": {"ssl-redirect": "true"},
    "ssl-host": {"ssl-redirect": "true"},
    "ssl-force-host": {"ssl-redirect": "true", "ssl-host": "a.test"},
    "session-cookie-name": {"affinity": "true"},
    "session-secure": {"affinity": "true"},
    "session-http-only": {"affinity": "true"},
    "session-same-site": {"affinity": "true"},
    "max-conn-amount": {"max-conn-extractor-func": "client.ip"},
    "max-conn-extractor-func": {"max-conn-amount": "10"},
}
# Accepted, and of no effect: the page says so. One service's whole share is no share.
WITHOUT_EFFECT = {"auth-realm", "pass-tls-cert", "service-weights"}


@pytest.mark.parametrize("file", sorted(MADE))
def test_the_page_is_up_to_date(file: str) -> None:
    said = (FOLDER / file).read_text() if (FOLDER / file).exists() else ""
    assert said == MADE[file], "run: edgerouter docs --write docs/reference/kubernetes"


def test_no_page_and_no_label_is_left_over() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(MADE)
    assert all(label in MADE["annotations.md"] for label in BY_LABEL)


def test_every_option_of_the_provider_says_what_it_is() -> None:
    assert [one.name for one in options_of(KubernetesIngressOptions) if not one.text] == []
    static = yaml.safe_load(MADE["provider.md"].partition("```yaml\n")[2].partition("```")[0])
    made, faults = fit(static["providers"]["kubernetesIngress"], KubernetesIngressOptions, ())
    assert faults == [] and made is not None and made.namespaces == ("shop", "blog")


def test_every_word_has_its_row() -> None:
    assert set(INGRESS) == set(ON_INGRESS) and set(SERVICE) == set(ON_SERVICE)
    assert {name.partition(".")[2] for name in OWN} == set(OWN_OPTIONS)


def cluster(on_ingress: dict[str, str], on_service: dict[str, str]) -> tuple[str, ...]:
    def written(words: dict[str, str]) -> str:
        return "{" + ", ".join(f"{key}: '{value.replace(chr(39), chr(39) * 2)}'" for key, value in words.items()) + "}"

    service = (
        f"kind: Service\nmetadata: {{name: web, annotations: {written(on_service)}}}\n"
        "spec: {ports: [{name: http, port: 80}]}"
    )
    backend = "{service: {name: web, port: {number: 80}}}"
    paths = ", ".join(f"{{path: {path}, backend: {backend}}}" for path in ("/", "/x"))
    ingress = (
        f"kind: Ingress\nmetadata: {{name: shop, annotations: {written(on_ingress)}}}\n"
        f"spec: {{rules: [{{host: a.test, http: {{paths: [{paths}]}}}}]}}"
    )
    return OBJECTS, service, ingress


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("room", ["Ingress", "Service"])
def test_every_value_is_understood_and_changes_something(prefix: str, room: str) -> None:
    wrong: list[str] = []
    for word, (_, value, _today) in (INGRESS if room == "Ingress" else SERVICE).items():
        beside = {prefix + key: text for key, text in BESIDE.get(word, {}).items()}
        words = {**beside, prefix + word: value}
        before, after = (answer(*cluster(*((it, {}) if room == "Ingress" else ({}, it)))) for it in (beside, words))
        wrong += [f"{word}: {line}" for line in told(after) if "cannot be presented" not in line]
        wrong += [f"{word}: {one.refused}" for one in after.configuration.http.middlewares.values() if one.refused]
        if (before.configuration == after.configuration) != (word in WITHOUT_EFFECT):
            wrong.append(f"{word}: the effect is not what the test says")
    assert wrong == []


def test_every_label_of_before_is_understood() -> None:
    values = {meaning: INGRESS[word][1] for word, meaning in ON_INGRESS.items()}
    values |= {meaning: SERVICE[word][1] for word, meaning in ON_SERVICE.items()}
    for label, meaning in BY_LABEL.items():
        on = {label: values[meaning]}
        rooms = (on, {}) if label.startswith("traefik.frontend.") else ({}, on)
        wrong = [line for line in told(answer(*cluster(*rooms))) if "cannot be presented" not in line]
        assert (label, wrong) == (label, [])
