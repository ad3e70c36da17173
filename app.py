"""The demo and the API in one process: `python app.py`, then open the address that it prints."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent


def parser() -> argparse.ArgumentParser:
    """Return the options; nothing heavy is imported for them."""
    made = argparse.ArgumentParser(
        prog="python app.py",
        description="Serve the page on which policy staff try posts, and the API, from one process. Where no study has "
        "been run yet, a small one is run first; the page is there meanwhile and says how far it is.",
    )
    made.add_argument("--host", default="127.0.0.1", help="address to listen on; %(default)s: this machine only")
    made.add_argument("--port", type=int, default=7860, help="port to listen on; default: %(default)s")
    made.add_argument(
        "--config", type=Path, default=ROOT / "serving.yaml", help="what is served; default: serving.yaml"
    )
    made.add_argument("--device", default="auto", help="where to compute: auto, cpu, cuda or mps")
    made.add_argument(
        "--auth-file",
        type=Path,
        help="file of name:password lines that only its owner can read; needed when other machines can reach the page",
    )
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until interrupted and return the exit status."""
    options = parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    from workbench.errors import WorkbenchError
    from workbench.serving.demo.host import serve

    try:
        serve(options.host, options.port, options.config, options.device, options.auth_file)
    except WorkbenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
