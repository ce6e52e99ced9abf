#!/usr/bin/env python3
"""The second witness of the format: verifies vectors and bundles without the code that made them.

    verify.py vectors                            everything under tests/vectors, and sections 16, 17
    verify.py bundle --trust FILE [--since NOTE] DIR...   a line of JSON for each bundle

Exit codes: 0 everything agrees; 2 something does not; 64 usage; 74 a file that cannot be read.
Needs Python 3.11 and the package `cryptography`.
"""

import argparse
import json
import sys
from pathlib import Path

import bundle
import corpus
import example
import generated
from refused import Refused


def vectors():
    """Makes and refuses all that the vectors say."""
    wrong = []
    try:
        print(f"{example.check()} blocks of the worked example are made")
        print(f"{corpus.made()} golden values are made")
        made, expected = generated.accumulated()
        corpus.same(made, expected, "accumulated hashes")
        print(f"{generated.RECORDS} generated records have the hash that is stated")
    except (corpus.Wrong, Refused) as why:
        wrong.append(str(why))
    count, faults = corpus.refused()
    print(f"{count} faults were read, {count - len(faults)} refused as they must be")
    for fault in wrong + faults:
        print(f"wrong: {fault}")
    return 2 if wrong or faults else 0


def bundles(options):
    """Verifies bundles against one trust."""
    try:
        trust = bundle.Trust(options.trust.read_text(encoding="utf-8"))
        since = options.since.read_bytes() if options.since else None
    except OSError as why:
        print(f"{why.filename}: {why.strerror}", file=sys.stderr)
        return 74
    except (ValueError, KeyError, Refused) as why:
        print(f"{options.trust}: {why}", file=sys.stderr)
        return 64
    broken = False
    for folder in options.folders:
        verdict = bundle.verify(folder, trust, since)
        broken |= verdict.broken()
        print(json.dumps({"bundle": str(folder), **verdict.as_json()}))
    return 2 if broken else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("vectors", help="hold this implementation against tests/vectors")
    one = commands.add_parser("bundle", help="verify report bundles")
    one.add_argument("--trust", type=Path, required=True)
    one.add_argument("--since", type=Path)
    one.add_argument("folders", type=Path, nargs="+", metavar="DIR")
    try:
        options = parser.parse_args()
    except SystemExit as why:
        return 64 if why.code else 0
    return vectors() if options.command == "vectors" else bundles(options)


if __name__ == "__main__":
    sys.exit(main())
