"""Constraints, default rules, and the daemon's answers: text in, values or one clear sentence out."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest

from edgerouter.errors import ConfigurationError
from edgerouter.providers._constraints import compile_constraints
from edgerouter.providers._default_rule import Template, TemplateError, normalize
from edgerouter.providers._docker_facts import (
    Container,
    Inspection,
    Listed,
    Place,
    find_place,
    health_of,
    read_container,
    signal_number,
)
from edgerouter.providers._docker_place import find_own_id

LABELS = {"team": "shop", "stage": "dev", "umlaut": "größe"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        ("  ", True),
        ("Label(`team`, `shop`)", True),
        ('Label("team", "shop")', True),
        ("Label(`team`,`other`)", False),
        ("Label(`none`,`x`)", False),
        ("!Label(`none`,`x`)", True),
        ("Label(`team`,`shop`) && Label(`stage`,`prod`)", False),
        ("Label(`team`,`shop`) && Label(`stage`,`prod`) || Label(`stage`,`dev`)", True),
        ("Label(`team`,`shop`) && !(Label(`stage`,`prod`) || Label(`stage`,`dev`))", False),
        ("LabelRegex(`stage`, `^d.v$`)", True),
        ("LabelRegex(`stage`, `e`)", True),
        ("LabelRegex(`stage`, `^e`)", False),
        ("LabelRegex(`none`, `.*`)", False),
        ("LabelRegex(`umlaut`, `^größe$`)", True),
    ],
)
def test_constraints(text: str, expected: bool) -> None:
    assert compile_constraints(text)(LABELS) is expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Label(`a`)", "takes 2 arguments, got 1"),
        ("Host(`a`)", "known are Label"),
        ("LabelRegex(`a`, `(`)", "no regular expression"),
        ("Label(`a`,`b`) &&", "too early"),
        ("Label(`a`,`b`", "never closed"),
    ],
)
def test_bad_constraints_say_where(text: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(words)) as found:
        compile_constraints(text)
    assert found.value.message.startswith("constraints: ")
    assert "^" in found.value.message  # the caret under the place


SCOPE = {"Name": "web-shop", "ContainerName": "shop_web_1", "Labels": {"sub.domain": "Blue", "n": ""}}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("Host(`{{ normalize .Name }}`)", "Host(`web-shop`)"),
        ("Host(`{{ .Name }}.{{ index .Labels `sub.domain` | lower }}.test`)", "Host(`web-shop.blue.test`)"),
        ('{{ index .Labels "absent" }}', ""),
        ('{{ index .Labels "n" | default "none" }}', "none"),
        ('{{ trimPrefix "shop_" .ContainerName }}', "web_1"),
        ('{{ .ContainerName | trimPrefix "shop_" | trimSuffix "_1" | upper }}', "WEB"),
        ('{{ replace "_" "." .ContainerName }}', "shop.web.1"),
        ('{{ (split "_" .ContainerName)._1 }}', "web"),
        ('{{ index (splitList "_" .ContainerName) 2 }}', "1"),
        ('{{ regexReplaceAll "^(\\\\w+)-(\\\\w+)$" .Name "${2}.$1" }}', "shop.web"),
        ('{{ printf "%s.%s" .Name "test" }}', "web-shop.test"),
        ("a {{- .Name -}} b", "aweb-shopb"),
        ("PathPrefix(`/`)", "PathPrefix(`/`)"),
    ],
)
def test_default_rules(template: str, text: str) -> None:
    assert Template(template).render(SCOPE) == text


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{ if .Name }}a{{ end }}", "there is no function 'if'; known are"),
        ("{{ frobnicate .Name }}", "there is no function 'frobnicate'"),
        ("{{ .Name", "is not closed"),
        ("{{ lower upper .Name }}", "needs parentheses"),
        ("{{ (lower .Name }}", "not closed"),
        ("{{ .Name | .Labels }}", "after '|' a function is expected"),
        ("{{ }}", "a value is expected"),
        ("{{ .Name .Name }}", "cannot read"),
        ("{{ $x }}", "cannot read"),
    ],
)
def test_bad_templates_are_told_at_once(template: str, words: str) -> None:
    with pytest.raises(TemplateError, match=re.escape(words)):
        Template(template)


@pytest.mark.parametrize(("template", "words"), [("{{ .Node }}", "known are .Name"), ("{{ lower .Labels }}", "lower")])
def test_templates_that_fail_with_a_container(template: str, words: str) -> None:
    with pytest.raises(TemplateError, match=re.escape(words)):
        Template(template).render(SCOPE)


@pytest.mark.parametrize(("name", "expected"), [("a_b..c", "a-b-c"), ("/x/", "x"), ("größe", "größe"), ("", "")])
def test_normalize(name: str, expected: str) -> None:
    assert normalize(name) == expected


@pytest.mark.parametrize(
    ("status", "health"),
    [
        ("Up 2 seconds (health: starting)", "starting"),
        ("Up 2 minutes (healthy)", "healthy"),
        ("Up 2 minutes (unhealthy)", "unhealthy"),
        ("Up 2 minutes", ""),
        ("Exited (1) 3 minutes ago", ""),
        ("Up 3 hours (Paused)", ""),
    ],
)
def test_health_stands_in_the_listing(status: str, health: str) -> None:
    assert health_of(Listed("abc", status=status)) == health


@pytest.mark.parametrize(
    ("text", "number"),
    [("SIGTERM", "15"), ("quit", "3"), ("9", "9"), ("SIGRTMIN+3", "37"), ("SIGODD", "15"), ("SIGWINCH", "28")],
)
def test_signals_as_numbers(text: str, number: str) -> None:
    assert signal_number(text) == number


def listed(**more: Any) -> dict[str, Any]:
    network = {"NetworkID": "n1", "IPAddress": "172.17.0.2", "Gateway": "172.17.0.1"}
    entry = {
        "Id": "abc",
        "Names": ["/other/alias", "/web"],
        "State": "running",
        "Status": "Up 2 seconds",
        "Labels": {"a": "b"},
        "Ports": [
            {"IP": "127.0.0.1", "PrivatePort": 8080, "PublicPort": 32768, "Type": "tcp"},
            {"PrivatePort": 53, "Type": "udp"},
        ],
        "HostConfig": {"NetworkMode": "default"},
        "NetworkSettings": {"Networks": {"bridge": network}},
    }
    return {**entry, **more}


def read(entry: dict[str, Any], inspected: dict[str, Any], drivers: dict[str, str] | None = None) -> Container:
    given = msgspec.json.decode(json.dumps(entry), type=Listed)
    return read_container(given, msgspec.json.decode(json.dumps(inspected), type=Inspection), drivers or {})


def test_a_container_is_read_from_listing_and_inspection() -> None:
    inspected = {
        "Created": "2026-01-01T00:00:00.5Z",
        "Config": {"ExposedPorts": {"443/tcp": {}, "53/udp": {}}, "StopSignal": "SIGQUIT", "StopTimeout": 60},
        "State": {"Health": {"Log": [{"ExitCode": 0, "Output": "ok"}, {"ExitCode": 1, "Output": "no\n db"}]}},
    }
    found = read(listed(), inspected, {"n1": "bridge"})
    assert (found.name, found.ports, found.stop_signal, found.stop_seconds) == ("web", (443, 8080), "3", 60.0)
    assert (found.attachments[0].driver, found.attachments[0].gateway) == ("bridge", "172.17.0.1")
    assert (found.bindings[0].host_ip, found.bindings[0].host_port) == ("127.0.0.1", 32768)
    assert found.last_check == "no db"


@pytest.mark.parametrize(("ago", "code"), [("3 seconds", "1"), ("4 minutes", "1")])
def test_time_passing_alone_changes_no_fact(ago: str, code: str) -> None:
    found = read(listed(State="exited", Status=f"Exited ({code}) {ago} ago"), {})
    assert found == read(listed(State="exited", Status=f"Exited ({code}) 9 days ago"), {})
    assert found.exit_code == code


def test_place() -> None:
    own = read(listed(), {})
    shares = read(listed(Id="def", HostConfig={"NetworkMode": "container:abc"}), {})
    on_host = read(listed(Id="fff", HostConfig={"NetworkMode": "host"}), {})
    known = [own, shares, on_host]
    inside = Place(in_container=True, networks=frozenset({"n1"}), host_address="172.17.0.1")
    assert find_place("", known) == Place()
    assert find_place("ab", known) == inside
    assert find_place("def", known) == inside
    assert find_place("fff", known) == Place()
    assert find_place("unknown", known) == Place()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("1 2 0:1 /var/lib/docker/containers/" + "a" * 64 + "/hostname /etc/hostname rw", "a" * 64),
        ("12:pids:/docker/" + "b" * 64, "b" * 64),
        ("0::/system.slice/docker-" + "c" * 64 + ".scope", "c" * 64),
        ("0::/", ""),
    ],
)
def test_own_id(line: str, expected: str) -> None:
    assert find_own_id(["x", line]) == expected


def test_podmans_listing_leaves_to_the_inspection_what_dockers_tells() -> None:
    entry = listed(Status="Up 3 seconds")
    del entry["HostConfig"]
    inspected = {"HostConfig": {"NetworkMode": "host"}, "State": {"Health": {"Status": "unhealthy"}}}
    found = read(entry, inspected)
    assert (found.network_mode, found.health) == ("host", "unhealthy")
    assert read(entry, {"State": {"Health": {"Status": ""}}}).health == ""
    told = read(listed(Status="Up 3 seconds (healthy)"), inspected)
    assert (told.network_mode, told.health) == ("default", "healthy"), "where the listing tells, it is newer"
