"""Where a corpus's files come from: a folder, the hub, or an address; and what to do where they do not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from mlemo.data.io.tables import Table, read_parquet
from mlemo.utils.cache import user_cache
from mlemo.utils.fetched import note_fetched

__all__ = ["download", "find_file", "hub_table"]


def find_file(data_dir: Path | None, candidates: Sequence[str], how_to_get: str) -> Path:
    """The first of several possible files that is there.

    Args:
        data_dir: The user's folder.
        candidates: Paths inside ``data_dir``, the usual one first.
        how_to_get: Where the corpus is to be had, as sentences for the message.

    Raises:
        FileNotFoundError: No folder is given, it does not exist, or none of the files is in it.
    """
    if data_dir is None:
        raise FileNotFoundError(f"no data_dir is given. {how_to_get}")
    if not data_dir.is_dir():
        raise FileNotFoundError(f"data_dir {data_dir} is no folder. {how_to_get}")
    for candidate in candidates:
        if (data_dir / candidate).is_file():
            return data_dir / candidate
    found = sorted(path.name for path in data_dir.iterdir())
    listing = ", ".join(found[:10]) + (", …" if len(found) > 10 else "") if found else "nothing"
    raise FileNotFoundError(f"{data_dir} has none of {list(candidates)}, found {listing}. {how_to_get}")


def hub_table(hub: str, config: str, split: str, how_to_get: str) -> Table:
    """One split of one configuration of a data set on the Hugging Face hub.

    Args:
        hub: Name on the hub, or a local folder in the hub's layout, ``<config>/<split>-*.parquet``.
        config: Name of the configuration.
        split: Name of the split on the hub.
        how_to_get: Where else the corpus is to be had, as sentences for the message.

    Raises:
        FileNotFoundError: No such data set, configuration or split, or the hub is out of reach.
        ValueError: A local file is no Parquet file or has no row.
    """
    name = f"{hub}/{config}/{split}"
    if Path(hub).is_dir():
        table = _from_folder(Path(hub), config, split, how_to_get)
    else:
        import datasets  # noqa: PLC0415  # takes seconds, and only this way of reading needs it

        try:
            table = _table(name, datasets.load_dataset(hub, config, split=split).to_dict())
        except Exception as error:  # of datasets, of the hub's client or of its HTTP library
            reason = f"{type(error).__name__}: {error}"
            raise FileNotFoundError(f"could not fetch {hub} ({config}, {split}): {reason}. {how_to_get}") from error
    note_fetched(name, _checksum(table.columns))
    return table


def _from_folder(folder: Path, config: str, split: str, how_to_get: str) -> Table:
    files = sorted(folder.glob(f"{config}/{split}-*.parquet"))
    if not files:
        raise FileNotFoundError(f"{folder} has no {config}/{split}-*.parquet. {how_to_get}")
    tables = [read_parquet(file) for file in files]
    if len(tables) == 1:
        return tables[0]
    columns = {name: [cell for table in tables for cell in table.column(name)] for name in tables[0].columns}
    return _table(f"{folder}/{config}/{split}", columns)


def _table(source: str, columns: dict[str, list[Any]]) -> Table:
    rows = max((len(cells) for cells in columns.values()), default=0)
    return Table(source, columns, range(1, rows + 1), unit="row")


def _checksum(columns: Mapping[str, Sequence[Any]]) -> str:
    digest = hashlib.sha256()
    for name in sorted(columns):
        digest.update(json.dumps([name, list(columns[name])], ensure_ascii=False, default=repr).encode())
    return f"sha256:{digest.hexdigest()}"


def download(url: str, sha256: str, how_to_get: str) -> Path:
    """A file from the web, kept in ``$XDG_CACHE_HOME/mlemo`` (``~/.cache/mlemo``) and checked at every use.

    Args:
        url: Address.
        sha256: Checksum that the file must have, in hexadecimal.
        how_to_get: How to get the file by hand, as sentences for the message.

    Raises:
        FileNotFoundError: The address is out of reach.
        ValueError: The file there has another checksum.
    """
    cache = user_cache()
    path = cache / f"{sha256[:12]}-{url.rsplit('/', 1)[-1]}"
    if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256:
        note_fetched(url, f"sha256:{sha256}")
        return path
    try:
        cache.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), hash_prefix=sha256, progress=False)
    except OSError as error:
        raise FileNotFoundError(f"could not fetch {url}: {error}. {how_to_get}") from error
    except RuntimeError as error:  # how torch.hub reports a wrong checksum
        raise ValueError(f"{url} is not the file that was expected: {error}. {how_to_get}") from error
    note_fetched(url, f"sha256:{sha256}")
    return path
