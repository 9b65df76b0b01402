"""The UI in a real browser: materialize by a click, see the checks and the metadata, see a changed file."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from mtl_pipeline.paths import ROOT_VARIABLE
from mtl_pipeline_tests.components.lineage import LINEAGE, STUDIES
from mtl_pipeline_tests.conftest import PIPELINE, REPOSITORY, TinyPipeline, write_tiny_pipeline

pytest.importorskip("dagster_webserver", reason="needs dagster-webserver")

MODULE = "mtl_pipeline_tests.components.tiny_location"
SECONDS_TO_START = 90
SECONDS_TO_RUN = 90
SECONDS_TO_SEE_A_CHANGE = 150


@dataclass(frozen=True)
class Server:
    url: str
    pipeline: TinyPipeline


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`dagster dev` over a tiny pipeline, with the checkout's own dagster.yaml."""
    folder = tmp_path_factory.mktemp("ui")
    pipeline = write_tiny_pipeline(folder / "root")
    home = folder / "home"
    home.mkdir()
    shutil.copy(REPOSITORY / "dagster.yaml", home)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {"DAGSTER_HOME": str(home), ROOT_VARIABLE: str(pipeline.root)}
    command = [
        sys.executable,
        "-m",
        "dagster",
        "dev",
        "-m",
        MODULE,
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: answers(url), SECONDS_TO_START, lambda: (folder / "log").read_text()[-3000:])
        yield Server(url, pipeline)
    finally:
        stop(process)


def answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/server_info", timeout=2).ok
    except requests.RequestException:
        return False


def stop(process: subprocess.Popen) -> None:
    os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(condition: Callable[[], Any], seconds: float, describe: Callable[[], str]) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, describe()
        time.sleep(0.5)


@dataclass(frozen=True)
class Page:
    browser: Any

    @property
    def text(self) -> str:
        from selenium.webdriver.common.by import By

        return self.browser.find_element(By.TAG_NAME, "body").text

    def click(self, label: str) -> None:
        from selenium.webdriver.common.by import By
        from selenium.webdriver.support.ui import WebDriverWait

        button = (By.XPATH, f"//button[normalize-space()='{label}']")
        WebDriverWait(self.browser, 30).until(lambda browser: browser.find_element(*button)).click()

    def shows(self, *texts: str, within: float, reload: str | None = None) -> None:
        """Wait until all texts are on the page; `reload` names an address to open again meanwhile."""

        def all_shown() -> bool:
            if reload:
                self.browser.get(reload)
                time.sleep(2)
            return all(text in self.text for text in texts)

        wait_for(all_shown, within, lambda: f"{texts} not on the page:\n{self.text}")


def test_materialize_by_a_click_then_see_checks_metadata_and_a_changed_file(
    server: Server, browser: Any
) -> None:
    page = Page(browser)
    address = f"{server.url}/assets/{PIPELINE}/users"
    browser.get(address)
    page.shows("users.csv", "raw_users", "Never materialized", within=30)
    page.click("Materialize")
    wait_for(lambda: "Never materialized" not in page.text, SECONDS_TO_RUN, lambda: page.text)
    page.shows("rows read", "rejected because", "Row count\n60", within=30, reload=address)

    browser.get(f"{address}?view=checks")
    page.shows("Checks (4)", "keys_unique", "every_row_accounted_for", "Succeeded", within=30)
    page.shows("This is a blocking asset check.", "no row gets lost", within=30)

    browser.get(address)
    assert "Unsynced" not in page.text
    add_line(server.pipeline.paths.raw / "users.csv", "500,30,F,artist,10001")
    page.shows("Unsynced", within=SECONDS_TO_SEE_A_CHANGE, reload=address)


def test_every_asset_is_in_its_group(server: Server, browser: Any) -> None:
    page = Page(browser)
    browser.get(f"{server.url}/asset-groups")
    page.shows(PIPELINE, f"{PIPELINE}_studies", within=30)
    for group, assets in ((PIPELINE, LINEAGE), (f"{PIPELINE}_studies", STUDIES)):
        browser.get(f"{server.url}/locations/{MODULE}/asset-groups/{group}/list")
        page.shows(*assets, within=30)


def add_line(path: Path, line: str) -> None:
    with path.open("a") as file:
        file.write(line + "\n")
