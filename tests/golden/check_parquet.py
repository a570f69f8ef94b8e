"""Compares what vkft reads in Parquet files with what pyarrow reads. The public files are those of github.com/apache/parquet-testing.

    python3 check_parquet.py BUILD/tests/test_parquet FILE_OR_DIRECTORY...
"""
import itertools
import os
import subprocess
import sys

import pyarrow

from parquet_lines import Unreadable, lines


def compare(program, path):
    """What came of it: (kind, explanation)."""
    run = subprocess.run([program, path], capture_output=True, timeout=600)
    error = run.stderr.decode(errors="replace").strip()
    if run.returncode not in (0, 1) or (run.returncode == 1 and not error):
        return "CRASH", f"exit code {run.returncode} {error[-300:]}"
    rows = 0
    try:
        for ours, theirs in itertools.zip_longest(run.stdout.decode().splitlines(), lines(path)):
            if ours != theirs:
                if error and ours is None:
                    return "refused", error
                return "DIFFERENT", f"row {rows}:\n  {str(ours)[:300]}\n  {str(theirs)[:300]}"
            rows += 1
    except Unreadable as e:
        return ("refused", error) if error else ("DIFFERENT", f"was read, but cannot be JSON: {e}")
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError, NotImplementedError) as e:
        return ("refused", f"{error} [pyarrow: {str(e)[:100]}]") if error else ("vkft alone", f"pyarrow: {str(e)[:160]}")
    return ("refused", error) if error else ("equal", f"{rows} rows")


def main(program, *paths):
    files = []
    for path in paths:
        files += [path] if os.path.isfile(path) else [os.path.join(d, f) for d, _, names in sorted(os.walk(path)) for f in sorted(names)
                                                      if ".parquet" in f and not f.endswith((".json", ".jsonl"))]
    counts = {}
    for path in files:
        kind, why = compare(program, path)
        counts[kind] = counts.get(kind, 0) + 1
        print(f"{kind:10} {os.path.basename(path)}: {why}")
    print(", ".join(f"{n} {kind}" for kind, n in sorted(counts.items())))
    sys.exit(1 if counts.keys() & {"DIFFERENT", "CRASH"} else 0)


main(*sys.argv[1:])
