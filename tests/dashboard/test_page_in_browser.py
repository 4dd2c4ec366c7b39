"""The dashboard in a real Chromium: it loads under its strict policy, fits the window, follows changes, filters."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from aiohttp import web
from real_browser import Page, browser, chromium
from sample_view import healthy_view, sample_view

from edgerouter.config.static import Api, EntryPoint, StaticConfiguration
from edgerouter.control.explain import Explainer
from edgerouter.control.view import Picture, View
from edgerouter.dashboard.api import make_app
from edgerouter.dashboard.pages import STATIC
from edgerouter.telemetry.memory import CounterMemory
from edgerouter.telemetry.reader import CounterReader, new_memory
from edgerouter.telemetry.registry import MetricsRegistry

PROGRAM = chromium()


class Seen:
    """A page of a router whose picture the test changes."""

    def __init__(self, page: Page, picture: Picture, memory: CounterMemory, address: str) -> None:
        self.memory = memory
        self.page = page
        self.picture = picture
        self.address = address

    async def open(self, tab: str = "routers") -> None:
        await self.page.call("Page.navigate", url=f"{self.address}/dashboard/#{tab}")
        await self.page.until("!!document.querySelector('h1')")

    async def ask(self, url: str) -> None:
        """Fill in the form of ``explain`` and send it."""
        await self.page.run(
            f"(i => {{ i.value = {url!r}; i.dispatchEvent(new Event('input')) }})(document.querySelector('#url'))"
        )
        await self.page.until("!document.querySelector('.go').disabled")
        await self.page.run("document.querySelector('.go').click()")

    async def texts(self, selector: str) -> list[str]:
        found: list[str] = await self.page.run(f"[...document.querySelectorAll('{selector}')].map(e => e.innerText)")
        return found


@pytest.fixture
async def seen() -> AsyncIterator[Seen]:
    if PROGRAM is None:
        pytest.skip("chromium is not installed (Debian package chromium)")
    picture = Picture(sample_view())
    fd = new_memory(0)
    memory, reader = CounterMemory(fd), CounterReader()
    reader.attach(0, fd)
    static, points = StaticConfiguration(api=Api()), {"web": EntryPoint(address=":80")}
    explainer = Explainer(static, points, picture)
    runner = web.AppRunner(make_app(picture, MetricsRegistry(reader), static, explainer=explainer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with browser(PROGRAM) as page:
        yield Seen(page, picture, memory, f"http://127.0.0.1:{runner.addresses[0][1]}")
    await runner.cleanup()
    reader.detach(0)
    os.close(fd)


@pytest.mark.live
async def test_in_a_real_browser(seen: Seen) -> None:
    """One browser for all of it: starting one takes seconds."""
    await _fits_every_window(seen)
    await _shows_what_is_wrong(seen)
    await _searches_and_filters(seen)
    await _explains(seen)
    await _follows_changes(seen)
    assert seen.page.complaints == []


async def _fits_every_window(seen: Seen) -> None:
    for width in (1280, 400):
        await seen.page.size(width, 900)
        for tab in ("routers", "services", "middlewares", "certificates", "workloads", "problems"):
            await seen.open(tab)
            assert await seen.page.run("document.documentElement.scrollWidth") == width, tab
            assert await seen.texts(".row"), tab


async def _shows_what_is_wrong(seen: Seen) -> None:
    await seen.open("routers")
    assert await seen.texts("h1") == ["Some traffic is failing"]
    first = (await seen.texts(".row"))[0]
    assert "admin.acme.com" in first and 'middleware "missing@file" does not exist' in first
    await seen.open("workloads")
    worker = next(row for row in await seen.texts(".row") if row.startswith("worker"))
    assert "NO_PORT" in worker and "its image exposes no port" in worker and "server.port=8080" in worker
    await seen.open("certificates")
    shop = next(row for row in await seen.texts(".row") if row.startswith("shop.acme.com"))
    assert "failed: caa" in shop and "not 'letsencrypt.org'" in shop and "add this authority to the CAA record" in shop


async def _searches_and_filters(seen: Seen) -> None:
    await seen.open("routers")
    everything = len(await seen.texts(".row"))
    await seen.page.run(
        "const i = document.querySelector('#search'); i.value = 'pay web'; i.dispatchEvent(new Event('input'))"
    )
    await seen.page.until("document.querySelectorAll('.row').length === 1")
    assert "99 % pay-v1" in (await seen.texts(".row"))[0].replace("\n", " ")
    await seen.page.run(
        "[...document.querySelectorAll('.filters button')].find(b => b.innerText === 'Failing').click()"
    )
    await seen.page.until("!!document.querySelector('.empty')")
    assert "Nothing fits" in (await seen.texts(".empty"))[0]
    await seen.page.run("document.querySelector('.empty button').click()")
    await seen.page.until(f"document.querySelectorAll('.row').length === {everything}")


async def _explains(seen: Seen) -> None:
    """The form asks, says what cannot be asked, and the answer fits a small window."""
    await seen.open("explain")
    assert "Where does a request go" in (await seen.texts(".empty"))[0]
    await seen.ask("shop.test:99999")
    await seen.page.until("!!document.querySelector('[role=alert]')")
    await seen.ask("404-0123456789")
    await seen.page.until("document.body.innerText.includes('no request is known by the id')")
    assert all("400" in text for text in seen.page.complaints), seen.page.complaints
    seen.page.complaints.clear()
    await seen.ask("https://shop.acme.com:4433/cart?a=b")
    await seen.page.until("!!document.querySelector('.answer')")
    (answer,) = await seen.texts(".answer")
    assert "404: no router takes it" in answer and "GET https://shop.acme.com:4433/cart?a=b" in answer
    assert "no entry point listens on port 4433" in answer
    assert await seen.page.run("document.documentElement.scrollWidth") == 400
    await seen.open("routers")


async def _follows_changes(seen: Seen) -> None:
    seen.picture.view = healthy_view()
    await seen.page.until("document.querySelector('h1').innerText === 'All is well'")
    await _shows_errors_that_servers_send(seen)
    evil = msgspec.structs.replace(
        healthy_view().routers["eshop@docker"], rule="Host(`<img src=x onerror=document.title=1>`)"
    )
    seen.picture.view = msgspec.structs.replace(healthy_view(), routers={"eshop@docker": evil})
    await seen.page.until("document.body.innerText.includes('<img src=x')")
    assert await seen.page.run("document.querySelectorAll('main img').length") == 0
    seen.picture.view = View(started=1.0)
    await seen.page.until("document.querySelector('h1').innerText === 'Ready, nothing to route yet'")
    assert "docker run" in (await seen.texts(".empty"))[0]


async def _shows_errors_that_servers_send(seen: Seen) -> None:
    """Errors may come just before the page looks, so some are sent at every look."""
    for _ in range(200):
        seen.memory.add(1 | 1 << 8 | 500 << 24, 1, 2, 2, 0, 5, 0.01, 0)
        if await seen.page.run("document.body.innerText.includes('are answered with an error (5xx)')"):
            break
        await asyncio.sleep(0.1)
    eshop = next(row for row in await seen.texts(".row") if "eshop" in row)
    assert "failing" in eshop
    await seen.page.until("document.querySelector('h1').innerText === 'All is well'")


def test_vendored_files_are_those_of_the_lock() -> None:
    lock = json.loads((STATIC / "vendor" / "lock.json").read_text())
    named = {file: digest for package in lock.values() for file, digest in package["files"].items()}
    kept = {path.name: path for path in (STATIC / "vendor").iterdir() if path.name != "lock.json"}
    assert {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in kept.items()} == named
    assert {name for name in named if name.endswith("LICENSE.txt")} == {f"{package}.LICENSE.txt" for package in lock}


@pytest.mark.parametrize("path", sorted(STATIC.glob("*.*")), ids=lambda path: path.name)
def test_the_page_loads_nothing_from_elsewhere(path: Path) -> None:
    text = path.read_text().replace("http://www.w3.org/2000/svg", "").replace("/^http:\\/\\//", "")
    assert "http://" not in text and "https://" not in text and "<script>" not in text and "style=" not in text
