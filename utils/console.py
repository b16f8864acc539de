"""What scripts say on the screen. The only module that prints."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

from utils.errors import UserError

Item = TypeVar("Item")


def say(text: str, quiet: bool = False) -> None:
    """Print a line, above a progress bar if there is one."""
    if not quiet:
        tqdm.write(text, file=sys.stdout)
        sys.stdout.flush()


def progress(items: Iterable[Item], text: str, count: int, quiet: bool = False) -> Iterator[Item]:
    """`items` one by one behind a bar; without a terminal only `text` is said."""
    if quiet or sys.stderr.isatty():
        yield from tqdm(items, desc=text, total=count, disable=quiet, dynamic_ncols=True, leave=False)
    else:
        say(f"{text} ({count})")
        yield from items


def run_script(main: Callable[[], None]) -> None:
    """Run a script's `main`; what its user did wrong becomes one line and exit code 2, Ctrl-C exit code 130."""
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)
