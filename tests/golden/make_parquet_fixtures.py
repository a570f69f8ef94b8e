"""Small Parquet files by pyarrow, polars and DuckDB, and the JSON lines that they hold, for tests/formats/parquet;
compressed rows; and seeds for the fuzzer.

    python3 make_parquet_fixtures.py TESTS_DATA_DIR
"""
import datetime
import decimal
import gzip
import os
import subprocess
import sys
import uuid

import duckdb
import polars
import pyarrow as pa
import pyarrow.parquet as pq

from parquet_lines import lines, table_lines

ROWS = 67


def flat_table():
    n = range(ROWS)
    third = lambda values: [None if i % 3 == 1 else v for i, v in enumerate(values)]
    day = datetime.date(2024, 2, 28)
    return pa.table({
        "text": pa.array([f"row {i} {'한글 ' * (i % 4)}\"\\\n\t\0" for i in n]),
        "same": pa.array(["always"] * ROWS),
        "gap": pa.array(third([f"prefix/{i // 5}/{i}" for i in n])),
        "empty": pa.array([""] * ROWS),
        "nothing": pa.array([None] * ROWS, pa.string()),
        "flag": pa.array(third([i % 5 < 2 for i in n])),
        "i8": pa.array([i - 40 for i in n], pa.int8()),
        "u8": pa.array([i * 3 for i in n], pa.uint8()),
        "i32": pa.array(third([(-1) ** i * i**5 for i in n]), pa.int32()),
        "u32": pa.array([2**32 - 1 - i for i in n], pa.uint32()),
        "i64": pa.array([(-1) ** i * (2**62 + i) for i in n], pa.int64()),
        "u64": pa.array([2**64 - 1 - i for i in n], pa.uint64()),
        "f32": pa.array(third([i / 7 for i in n]), pa.float32()),
        "f64": pa.array([float("nan"), float("inf"), -float("inf"), -0.0] + [i / 7 for i in n][4:], pa.float64()),
        "bytes": pa.array([b"%d" % i for i in n], pa.binary()),
        "fixed": pa.array([b"%04d" % i for i in n], pa.binary(4)),
        "day": pa.array([day + datetime.timedelta(i) for i in n], pa.date32()),
        "old": pa.array([datetime.datetime(1912, 6, 23, 1, 2, 3, i * 1000) for i in n], pa.timestamp("ms")),
        "when": pa.array([i * 1_000_000_000_000_007 for i in n], pa.timestamp("us", tz="UTC")),
        "precise": pa.array([i * 1_000_000_000_000_007 for i in n], pa.timestamp("ns")),
        "clock": pa.array([i * 1_001_001 for i in n], pa.time32("ms")),
        "money": pa.array([decimal.Decimal(i * 12345 - 400000) / 1000 for i in n], pa.decimal128(9, 3)),
        "large": pa.array([decimal.Decimal((-1) ** i * 10**37) / 10**5 - i for i in n], pa.decimal128(38, 5)),
        "id": pa.array([uuid.UUID(int=i * 2**100 + i).bytes for i in n], pa.uuid()),
    })


def conversation(i):
    call = [{"name": "add", "arguments": {"a": i, "b": None}}] if i % 4 == 1 else [] if i % 4 == 2 else None
    all_messages = [{"role": "system", "content": None, "calls": None}, {"role": "user", "content": f"{i} + 1?", "calls": None},
                    {"role": "assistant", "content": f"{i + 1}", "calls": call}]
    return None if i % 11 == 10 else [] if i % 7 == 6 else all_messages[i % 3:]


def nested_table():
    n = range(ROWS)
    call = pa.struct([("name", pa.string()), ("arguments", pa.struct([("a", pa.int64()), ("b", pa.string())]))])
    message = pa.struct([("role", pa.string()), ("content", pa.string()), ("calls", pa.list_(call))])
    return pa.table({
        "messages": pa.array([conversation(i) for i in n], pa.list_(message)),
        "tags": pa.array([None if i % 5 == 4 else [None if k == 2 else f"t{k}" for k in range(i % 4)] for i in n], pa.list_(pa.string())),
        "deep": pa.array([[[i, None], [], None][: i % 4] for i in n], pa.list_(pa.list_(pa.int32()))),
        "meta": pa.array([None if i % 6 == 5 else {"source": f"s{i % 3}", "score": {"value": i / 4 if i % 2 else None}} for i in n]),
        "map": pa.array([None if i % 9 == 8 else [(f"k{k}", k * i if k else None) for k in range(i % 3)] for i in n],
                        pa.map_(pa.string(), pa.int64())),
        "numbered": pa.array([[(k, f"v{k}") for k in range(i % 3)] for i in n], pa.map_(pa.int32(), pa.string())),
        "last": pa.array([f"end {i}" for i in n]),
    })


def main(data):
    out = os.path.join(data, "parquet")
    os.makedirs(out, exist_ok=True)
    path = lambda name: os.path.join(out, name + ".parquet")
    flat, nested = flat_table(), nested_table()
    few = flat.drop_columns(["same", "nothing", "empty", "id"])
    plain = dict(use_dictionary=False, store_schema=False)

    pq.write_table(flat, path("flat_plain"), compression="none", **plain)
    pq.write_table(flat, path("flat_dictionary"), compression="snappy", row_group_size=25, data_page_size=64, store_schema=False,
                   write_page_checksum=True)
    encodings = {c: "DELTA_BINARY_PACKED" for c in ("i8", "u8", "i32", "u32", "i64", "u64", "day", "old", "when", "precise", "clock")}
    encodings |= {"text": "DELTA_LENGTH_BYTE_ARRAY", "gap": "DELTA_BYTE_ARRAY", "same": "DELTA_BYTE_ARRAY", "empty": "DELTA_BYTE_ARRAY",
                  "nothing": "DELTA_BYTE_ARRAY", "fixed": "DELTA_BYTE_ARRAY", "flag": "RLE"}
    encodings |= {c: "BYTE_STREAM_SPLIT" for c in ("f32", "f64", "money", "id")}
    pq.write_table(flat, path("flat_delta"), compression="zstd", data_page_version="2.0", column_encoding=encodings, data_page_size=200, **plain)
    pq.write_table(few.drop_columns(["precise"]), path("flat_int96"), compression="gzip", use_deprecated_int96_timestamps=True, store_schema=False)
    pq.write_table(nested, path("nested_plain"), compression="lz4", data_page_size=60, store_schema=False, use_dictionary=False)
    pq.write_table(nested, path("nested_v2"), compression="snappy", data_page_version="2.0", row_group_size=30, data_page_size=60,
                   store_schema=False, write_page_checksum=True)
    pq.write_table(nested, path("nested_old"), compression="gzip", version="1.0", use_compliant_nested_type=False, store_schema=False)
    pq.write_table(pa.table({"text": ["a", "b"], "score": [b"\xff\xfe", b"\x00"]}), path("bytes"))
    pq.write_table(pa.table({"text": ["a", "b"], "score": ["c", "d"]}), path("brotli"), compression={"text": "snappy", "score": "brotli"})
    polars.from_arrow(few).write_parquet(path("polars_flat"), compression="zstd")
    polars.from_arrow(nested.drop_columns(["map", "numbered"])).write_parquet(path("polars_nested"), compression="lz4", row_group_size=40)
    db = duckdb.connect()
    for_duckdb = few.drop_columns(["precise"])
    db.register("flat", for_duckdb)
    db.register("nested", nested)
    db.execute(f"COPY flat TO '{path('duckdb_flat')}' (FORMAT parquet, COMPRESSION zstd, PARQUET_VERSION v2)")
    db.execute(f"COPY nested TO '{path('duckdb_nested')}' (FORMAT parquet)")

    write_lines(out, "flat", lines(path("flat_plain")), ["flat_dictionary", "flat_delta"])
    write_lines(out, "nested", lines(path("nested_plain")), ["nested_v2", "nested_old", "duckdb_nested"])
    write_lines(out, "duckdb_flat", table_lines(for_duckdb), [])  # pyarrow does not read DuckDB's deltas of more than 32 bits
    for name in ("flat_int96", "polars_flat", "polars_nested"):
        write_lines(out, name, lines(path(name)), [])
    talk = lambda a, b: [{"role": "user", "content": a}, {"role": "assistant", "content": b}]
    pq.write_table(pa.table({"prompt": ["a", "x", "c"], "prompt_id": ["1", "2", "3"], "messages": [talk("a", "b"), None, talk("c", "d")],
                             "picture": [{"bytes": b"\xff\xd8", "path": None}] * 3}), os.path.join(data, "rows", "chat.parquet"))
    write_text(os.path.join(data, "compressed"))
    write_seeds(os.path.join(data, "..", "fuzz", "corpus", "parquet"))


def write_lines(out, name, rows, others):
    rows = list(rows)
    for other in others:
        assert list(lines(os.path.join(out, other + ".parquet"))) == rows, other
    with open(os.path.join(out, name + ".jsonl"), "w", newline="\n") as f:
        f.writelines(line + "\n" for line in rows)


def write_seeds(out):
    """Files of a few hundred bytes for the fuzzer (tests/fuzz/fuzz_parquet.c)."""
    os.makedirs(out, exist_ok=True)
    few = dict(write_statistics=False, store_schema=False)
    flat = flat_table().slice(0, 9)
    text, numbers = flat.select(["text", "gap", "flag"]), flat.select(["i32", "f64", "money", "when"])
    talk = nested_table().slice(3, 9)
    seeds = {
        "plain": (text, dict(compression="none", use_dictionary=False)),
        "numbers": (numbers, dict(compression="none", use_dictionary=False)),
        "dictionary": (text, dict(compression="snappy", row_group_size=5)),
        "delta": (flat.select(["gap", "i64", "fixed", "same"]), dict(
            compression="zstd", use_dictionary=False, data_page_version="2.0",
            column_encoding={"gap": "DELTA_BYTE_ARRAY", "i64": "DELTA_BINARY_PACKED", "fixed": "DELTA_BYTE_ARRAY", "same": "DELTA_LENGTH_BYTE_ARRAY"})),
        "delta_plain": (flat.select(["gap", "u64"]), dict(
            compression="none", use_dictionary=False, column_encoding={"gap": "DELTA_BYTE_ARRAY", "u64": "DELTA_BINARY_PACKED"})),
        "split": (flat.select(["f32", "id", "flag"]), dict(
            compression="gzip", use_dictionary=False, column_encoding={"f32": "BYTE_STREAM_SPLIT", "id": "BYTE_STREAM_SPLIT", "flag": "RLE"})),
        "messages": (talk.select(["messages"]), dict(compression="none")),
        "messages_v2": (talk.select(["messages"]), dict(compression="snappy", data_page_version="2.0", data_page_size=40, use_dictionary=False)),
        "lists": (talk.select(["deep", "tags", "map"]), dict(compression="lz4", data_page_version="2.0")),
        "maps": (talk.select(["map", "numbered", "meta"]), dict(compression="none", version="1.0")),
        "int96": (flat.select(["old"]), dict(compression="none", use_deprecated_int96_timestamps=True)),
    }
    for name, (table, how) in seeds.items():
        pq.write_table(table, os.path.join(out, name), **few, **how)


def write_text(out):
    """Rows that are more than is unpacked at once, with one that is longer than that."""
    os.makedirs(out, exist_ok=True)
    rows = [f'{{"input_ids": [{i}, {i + 1}], "pad": "{"x" * (9 << 20 if i == 30 else 100_003)}"}}\n' for i in range(60)]
    text = "".join(rows).encode()
    with open(os.path.join(out, "long.jsonl.gz"), "wb") as f:
        for part in (text[:5_000_000], text[5_000_000:]): # two members
            f.write(gzip.compress(part, 9, mtime=0))
    array = b"[" + text.strip().replace(b"\n", b",\n") + b"]"
    subprocess.run(["zstd", "-19", "-q", "-f", "-o", os.path.join(out, "long.json.zst")], input=array, check=True)
    table = b"prompt,completion\r\n" + b"".join(b'a,"b ""%d""\r\n%s"\r\n' % (i, b"x" * 100_003) for i in range(100))
    with open(os.path.join(out, "long.csv.gz"), "wb") as f:
        f.write(gzip.compress(table, 9, mtime=0))


main(sys.argv[1])
