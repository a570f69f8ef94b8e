"""Rows of a Parquet file, read by pyarrow, as the JSON lines that vkft makes of them (formats/parquet/parquet.h)."""
import datetime
import json

import pyarrow as pa
import pyarrow.parquet as pq

TICKS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


class Unreadable(Exception):
    """A value that JSON lines cannot have."""


def clock(seconds, nanoseconds):
    text = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return text + (f".{nanoseconds:09}" if nanoseconds % 1000 else f".{nanoseconds // 1000:06}" if nanoseconds else "")


def moment(value, unit, utc):
    seconds, rest = divmod(value, TICKS[unit])
    days, seconds = divmod(seconds, 86400)
    day = datetime.date.fromordinal(datetime.date(1970, 1, 1).toordinal() + days)
    return f'"{day.isoformat()}T{clock(seconds, rest * (10**9 // TICKS[unit]))}{"+00:00" if utc else ""}"'


def text(value):
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError:
            raise Unreadable("bytes") from None
    return json.dumps(value, ensure_ascii=False)


def to_json(scalar):
    t = scalar.type
    if not scalar.is_valid:
        return "null"
    if isinstance(scalar, pa.ExtensionScalar):
        if t.extension_name == "arrow.uuid":
            return f'"{scalar.as_py()}"'
        return to_json(scalar.value)
    if pa.types.is_dictionary(t):
        return to_json(scalar.value)
    if pa.types.is_struct(t):
        return "{" + ",".join(json.dumps(f.name, ensure_ascii=False) + ":" + to_json(scalar[i]) for i, f in enumerate(t)) + "}"
    if pa.types.is_map(t):
        entries = [(to_json(e[0]), to_json(e[1])) for e in scalar.values]
        return "{" + ",".join((k if k[0] == '"' else f'"{k}"') + ":" + v for k, v in entries) + "}"
    if pa.types.is_nested(t):
        return "[" + ",".join(to_json(e) for e in scalar.values) + "]"
    if pa.types.is_boolean(t):
        return "true" if scalar.as_py() else "false"
    if pa.types.is_integer(t):
        return str(scalar.as_py())
    if pa.types.is_floating(t):
        return json.dumps(float(scalar.as_py()))
    if pa.types.is_decimal(t):
        return format(scalar.as_py(), "f")
    if pa.types.is_date(t):
        return f'"{scalar.as_py().isoformat()}"'
    if pa.types.is_time(t):
        seconds, rest = divmod(scalar.value, TICKS[t.unit])
        return f'"{clock(seconds, rest * (10**9 // TICKS[t.unit]))}"'
    if pa.types.is_timestamp(t):
        return moment(scalar.value, t.unit, t.tz is not None)
    if pa.types.is_string(t) or pa.types.is_large_string(t) or pa.types.is_binary(t) or pa.types.is_large_binary(t) or \
            pa.types.is_fixed_size_binary(t) or pa.types.is_string_view(t) or pa.types.is_binary_view(t):
        return text(scalar.as_py())
    raise Unreadable(str(t))


def table_lines(table):
    names = [json.dumps(n, ensure_ascii=False) for n in table.column_names]
    columns = [c.combine_chunks() for c in table.columns]
    for i in range(table.num_rows):
        yield "{" + ",".join(n + ":" + to_json(c[i]) for n, c in zip(names, columns)) + "}"


def lines(path):
    return table_lines(pq.ParquetFile(path, coerce_int96_timestamp_unit="us").read())
