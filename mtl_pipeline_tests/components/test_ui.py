"""The UI in a real browser: materialize by a click, see the checks and the metadata, see a changed file."""

from __future__ import annotations

import os
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
SECONDS_TO_SHOW = 30
LOOK_AT_THE_QUEUE_EACH_SECOND = """
run_coordinator:
  module: dagster
  class: QueuedRunCoordinator
  config: {dequeue_interval_seconds: 1}
"""
STATE = """
query($key: AssetKeyInput!) {
  runsOrError { ... on Runs { count } }
  assetNodeOrError(assetKey: $key) {
    ... on AssetNode { staleStatus assetMaterializations(limit: 1) { runId } }
  }
}
"""


@dataclass(frozen=True)
class Server:
    url: str
    pipeline: TinyPipeline

    @property
    def address(self) -> str:
        """Where the UI shows the table of users."""
        return f"{self.url}/assets/{PIPELINE}/users"

    def state(self) -> dict[str, Any]:
        """What the UI would show of the table of users, asked for without loading a page."""
        variables = {"key": {"path": [PIPELINE, "users"]}}
        answer = requests.post(
            f"{self.url}/graphql", json={"query": STATE, "variables": variables}, timeout=30
        )
        return answer.json()["data"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`dagster dev` over a tiny pipeline, with the checkout's own dagster.yaml."""
    folder = tmp_path_factory.mktemp("ui")
    pipeline = write_tiny_pipeline(folder / "root")
    home = folder / "home"
    home.mkdir()
    settings = (REPOSITORY / "dagster.yaml").read_text() + LOOK_AT_THE_QUEUE_EACH_SECOND
    (home / "dagster.yaml").write_text(settings)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {"DAGSTER_HOME": str(home), ROOT_VARIABLE: str(pipeline.root)}
    command = ["dagster", "dev", "-m", MODULE, "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
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
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/server_info", timeout=2).ok
    except requests.RequestException:
        return False


def wait_for(condition: Callable[[], Any], seconds: float, describe: Callable[[], str]) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, describe()
        time.sleep(0.2)


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

    def opens(self, address: str, *texts: str) -> None:
        """Open it and wait until all texts are on the page."""
        self.browser.get(address)
        wait_for(
            lambda: all(text in self.text for text in texts),
            SECONDS_TO_SHOW,
            lambda: f"{texts} not on the page:\n{self.text}",
        )


@pytest.fixture(scope="module")
def clicked(server: Server, chromium: Any) -> Server:
    """Somebody has clicked on Materialize: the run is queued, at work, or done."""
    page = Page(chromium)
    page.opens(server.address, "users.csv", "raw_users", "Never materialized")
    page.click("Materialize")
    wait_for(lambda: server.state()["runsOrError"]["count"], SECONDS_TO_RUN, lambda: page.text)
    return server


def test_every_asset_is_in_its_group(clicked: Server, browser: Any) -> None:
    """Looked at while the run is at work."""
    page = Page(browser)
    page.opens(f"{clicked.url}/asset-groups", PIPELINE, f"{PIPELINE}_studies")
    for group, assets in ((PIPELINE, LINEAGE), (f"{PIPELINE}_studies", STUDIES)):
        page.opens(f"{clicked.url}/locations/{MODULE}/asset-groups/{group}/list", *assets)


def test_what_was_materialized_by_a_click_shows_metadata_checks_and_a_changed_file(
    clicked: Server, browser: Any
) -> None:
    def users() -> dict[str, Any]:
        return clicked.state()["assetNodeOrError"]

    page = Page(browser)
    wait_for(lambda: users()["assetMaterializations"], SECONDS_TO_RUN, lambda: f"{clicked.state()}")
    page.opens(clicked.address, "rows read", "rejected because", "Row count\n60")
    assert "Unsynced" not in page.text
    assert users()["staleStatus"] == "FRESH"

    add_line(clicked.pipeline.paths.raw / "users.csv", "500,30,F,artist,10001")
    checks = ("Checks (4)", "keys_unique", "every_row_accounted_for", "Succeeded")
    details = ("This is a blocking asset check.", "no row gets lost")
    page.opens(f"{clicked.address}?view=checks", *checks, *details)
    wait_for(lambda: users()["staleStatus"] == "STALE", SECONDS_TO_SEE_A_CHANGE, lambda: f"{clicked.state()}")
    page.opens(clicked.address, "Unsynced")


def add_line(path: Path, line: str) -> None:
    with path.open("a") as file:
        file.write(line + "\n")
