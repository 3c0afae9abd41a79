"""Parquet files as other programs see them: DuckDB and pyarrow, in a directory or in a bucket. Prints one JSON value.

    lake.py rows LAKE           every row, once read by each; values as tagged texts, in the order of their ids
    lake.py compare CSV LAKE    whether a CSV file and the lake hold the same rows
    lake.py watch LAKE          looks at all files, hidden ones too, until its standard input ends; says what was wrong with any of them
    lake.py footers LAKE        key-value metadata, codecs and row groups of each file, in the order of names
    lake.py make BUCKET URL     makes a bucket
    lake.py uploads BUCKET URL  uploads that are not completed

A LAKE is a directory, or `s3://bucket/prefix` with S3_ENDPOINT in the environment.
"""

import hashlib
import io
import json
import os
import pathlib
import select
import sys
import tempfile

import duckdb
import pyarrow
import pyarrow.csv
import pyarrow.parquet


def client(url=None):
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=url or os.environ["S3_ENDPOINT"],
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )


def listed(lake):
    """Names of all Parquet files, and what changes when one does; hidden directories count too."""
    if not lake.startswith("s3://"):
        found = {}
        for folder, _, names in os.walk(lake):
            for name in names:
                if name.endswith(".parquet"):
                    path = os.path.join(folder, name)
                    found[path] = None
        return found
    bucket, _, prefix = lake.removeprefix("s3://").partition("/")
    pages = client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    objects = [thing for page in pages for thing in page.get("Contents", [])]
    return {thing["Key"]: thing["ETag"] for thing in objects if thing["Key"].endswith(".parquet")}


def content(lake, name):
    if not lake.startswith("s3://"):
        return pathlib.Path(name).read_bytes()
    bucket = lake.removeprefix("s3://").partition("/")[0]
    return client().get_object(Bucket=bucket, Key=name)["Body"].read()


def here(lake, into):
    """The files of a lake as files of a directory: what is in a bucket is fetched."""
    names = sorted(listed(lake))
    if not lake.startswith("s3://"):
        return names
    paths = []
    for number, name in enumerate(names):
        path = os.path.join(into, f"{number:06}.parquet")
        pathlib.Path(path).write_bytes(content(lake, name))
        paths.append(path)
    return paths


def tagged(value):
    if value is None:
        return None
    if isinstance(value, bool):
        return f"b {value}"
    if isinstance(value, int):
        return f"i {value}"
    if isinstance(value, float):
        return f"r {value!r}"
    if isinstance(value, str):
        return f"t {value}"
    return f"? {value!r}"


def in_duckdb(paths):
    connection = duckdb.connect()
    connection.execute("CREATE VIEW lake AS SELECT * FROM read_parquet($1, union_by_name = true)".replace("$1", repr(paths)))
    return connection


def in_pyarrow(paths):
    return pyarrow.concat_tables([pyarrow.parquet.read_table(path) for path in paths], promote_options="permissive")


def rows(lake):
    with tempfile.TemporaryDirectory() as folder:
        paths = here(lake, folder)
        if not paths:
            return {"duckdb": {"types": {}, "rows": []}, "pyarrow": {"types": {}, "rows": []}}
        connection = in_duckdb(paths)
        types = {row[0]: row[1] for row in connection.execute("DESCRIBE lake").fetchall()}
        cursor = connection.execute("SELECT * FROM lake ORDER BY id")
        names = [column[0] for column in cursor.description]
        by_duckdb = [dict(zip(names, map(tagged, row))) for row in cursor.fetchall()]
        try:
            table = in_pyarrow(paths).sort_by("id")
            by_pyarrow = [{name: tagged(value) for name, value in row.items()} for row in table.to_pylist()]
            arrow_types = {field.name: str(field.type) for field in table.schema}
        except pyarrow.ArrowTypeError as error:
            by_pyarrow, arrow_types = [], {"error": str(error)}
        return {
            "duckdb": {"types": types, "rows": by_duckdb},
            "pyarrow": {"types": arrow_types, "rows": by_pyarrow},
        }


def compare(csv, lake):
    with tempfile.TemporaryDirectory() as folder:
        paths = here(lake, folder)
        connection = in_duckdb(paths)
        columns = {row[0]: row[1] for row in connection.execute("DESCRIBE lake").fetchall() if row[0] != "_meta"}
        with open(csv, encoding="utf-8") as file:
            order = file.readline().rstrip("\n").split(",")
        typed = {name: columns[name] for name in order}
        source = f"read_csv({csv!r}, header = true, nullstr = ['NA', ''], columns = {typed!r})"
        names = ", ".join(f'"{name}"' for name in order)
        count = lambda query: connection.execute(f"SELECT count(*) FROM ({query})").fetchone()[0]
        one, other = f"SELECT {names} FROM {source}", f"SELECT {names} FROM lake"
        duck = {
            "rows": count(other),
            "missing": count(f"{one} EXCEPT ALL {other}"),
            "extra": count(f"{other} EXCEPT ALL {one}"),
        }
        table = in_pyarrow(paths).select(order)
        options = pyarrow.csv.ConvertOptions(
            column_types=table.schema, null_values=["NA", ""], strings_can_be_null=True
        )
        expected = pyarrow.csv.read_csv(csv, convert_options=options)
        keys = [(name, "ascending") for name in order]
        same = expected.sort_by(keys).combine_chunks().equals(table.sort_by(keys).combine_chunks())
        types = {name: str(table.schema.field(name).type) for name in order}
        return {"duckdb": duck, "pyarrow": {"rows": table.num_rows, "same": same, "types": types}}


def watch(lake):
    """A file that is seen once is whole, stays, and stays as it is."""
    known, wrong, looks = {}, [], 0
    while True:
        ended = bool(select.select([sys.stdin], [], [], 0.01)[0])
        found = listed(lake)
        looks += 1
        wrong += [f"{name} is gone" for name in known if name not in found]
        for name in found:
            if name in known and not ended:
                continue
            try:
                data = content(lake, name)
                assert pyarrow.parquet.read_table(io.BytesIO(data)).num_rows > 0, "no rows"
            except Exception as error:
                wrong.append(f"{name}: {error}")
                continue
            seen = hashlib.sha256(data).hexdigest()
            if known.setdefault(name, seen) != seen:
                wrong.append(f"{name} was changed")
        if ended or wrong:
            return {"looks": looks, "files": len(known), "wrong": wrong}


def footers(lake):
    told = []
    for name in sorted(listed(lake)):
        metadata = pyarrow.parquet.ParquetFile(io.BytesIO(content(lake, name))).metadata
        values = {key.decode(): value.decode() for key, value in (metadata.metadata or {}).items()}
        group = metadata.row_group(0)
        codecs = sorted({group.column(at).compression for at in range(metadata.num_columns)})
        told.append({"name": name, "metadata": values, "codecs": codecs, "groups": metadata.num_row_groups, "rows": metadata.num_rows})
    return told


def make(bucket, url):
    client(url).create_bucket(Bucket=bucket)
    return {}


def uploads(bucket, url):
    return [upload["Key"] for upload in client(url).list_multipart_uploads(Bucket=bucket).get("Uploads", [])]


if __name__ == "__main__":
    command, *words = sys.argv[1:]
    commands = {"rows": rows, "compare": compare, "watch": watch, "footers": footers, "make": make, "uploads": uploads}
    json.dump(commands[command](*words), sys.stdout)
