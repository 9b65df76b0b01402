"""Raw files that users have to fetch themselves, since nobody may pass them on: put into place from a folder."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from mtl_pipeline.errors import UserError
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.publishing import publish_file


@dataclass(frozen=True)
class Files:
    """What a pipeline reads, and where its users get it."""

    patterns: tuple[str, ...]
    where: str


BROUGHT = {
    "deskdrop": Files(
        ("*articles.csv", "users_interactions.csv"),
        "shared_articles.csv and users_interactions.csv of "
        "https://www.kaggle.com/datasets/gspmoreira/articles-sharing-reading-from-cit-deskdrop",
    ),
    "ml_1m": Files(
        ("users.dat", "ratings.dat*", "movies_extrainfos.dat"),
        "users.dat and ratings.dat of https://grouplens.org/datasets/movielens/1m/, and "
        "movies_extrainfos.dat (MovieId::Title::Year::…::Plot::Poster, one movie a line)",
    ),
    "census": Files(
        ("census-income.*.gz",),
        "census-income.data.gz and census-income.test.gz of "
        "https://archive.ics.uci.edu/dataset/117/census+income+kdd",
    ),
    "census_full": Files(
        ("train.csv.gz", "test.csv.gz"),
        "census-income.data.gz and census-income.test.gz of "
        "https://archive.ics.uci.edu/dataset/117/census+income+kdd, and write them as train.csv.gz and test.csv.gz: "
        "with a header line of the 40 names in sql/census_full/interactions.sql, without instance weight and year, "
        "income as 0 or 1, and no blanks after commas",
    ),
}


def bring(paths: PipelinePaths, source: Path | None) -> None:
    """Copy the pipeline's raw files from `source`, unpacking zip archives; without it, look whether they are there.

    Raises UserError when a file is missing, and says where to get it.
    """
    files = BROUGHT[paths.pipeline]
    if source is not None:
        if not source.is_dir():
            raise UserError(f"{source} is no folder: name the one that holds the files with FROM=…")
        for name, content in find_files(source, files.patterns):
            with publish_file(paths.raw / name) as target, content as stream, target.open("wb") as file:
                shutil.copyfileobj(stream, file)
            print(f"{paths.raw / name}: copied")
    missing = [pattern for pattern in files.patterns if not any(paths.raw.glob(pattern))]
    if missing:
        raise UserError(
            f"{paths.raw} lacks {' and '.join(missing)}. Get {files.where}, "
            f"then: make demo PIPELINE={paths.pipeline} FROM=<folder with these files>"
        )
    print(f"{paths.raw}: all files are there.")


def find_files(folder: Path, patterns: tuple[str, ...]) -> Iterator[tuple[str, IO[bytes]]]:
    """Name and content of the files that match a pattern, plain or inside a zip archive."""
    for path in sorted(folder.iterdir()):
        if any(path.match(pattern) for pattern in patterns):
            yield path.name, path.open("rb")
        elif path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                for member in archive.namelist():
                    name = Path(member).name
                    if any(Path(name).match(pattern) for pattern in patterns):
                        yield name, archive.open(member)
