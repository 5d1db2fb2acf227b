from __future__ import annotations

import contextlib
import datetime as dt
import os
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datastore import IntegrityError, SearchTimeoutError, UsageError
from datastore.filters import MaskCache, MetadataFile, mask_of, masks, matches, parse
from datastore.filters.cache import ENTRY_BYTES
from datastore.filters.evaluate import locked_connection
from datastore.filters.expressions import CASTS, FUNCTIONS
from datastore.segment import Passage, write_passages


@pytest.fixture
def segments(tmp_path):
    """`segments({"year": [1, 2]}, …)`: a metadata.parquet for each table."""

    def make(*tables: dict | pa.Table) -> list[MetadataFile]:
        files = []
        for number, columns in enumerate(tables):
            table = pa.table(columns)
            path = tmp_path / f"{number}-{len(list(tmp_path.iterdir()))}.parquet"
            pq.write_table(table, path)
            files.append(MetadataFile(path.stem, path, table.num_rows))
        return files

    return make


def rows(where: str, segments: list[MetadataFile]) -> list[int]:
    return np.flatnonzero(mask_of(where, segments, MaskCache(1 << 20))).tolist()


# What a filter finds, against an interpreter of our own with SQL's three-valued logic.

COLUMNS = {
    "year": st.none() | st.integers(-3, 3),
    "score": st.none() | st.sampled_from([-1.5, 0.0, 0.5, 2.0]),
    "lang": st.none() | st.sampled_from(["", "a", "ab", "B", "b_", "%", "é", "a'b"]),
    "flag": st.none() | st.booleans(),
}
ARROW = {"year": pa.int64(), "score": pa.float64(), "lang": pa.string(), "flag": pa.bool_()}
TABLES = st.lists(st.fixed_dictionaries(COLUMNS), max_size=6)


def text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def both(op):
    return lambda a, b: None if a is None or b is None else op(a, b)


COMPARE = {
    "=": both(lambda a, b: a == b),
    "<>": both(lambda a, b: a != b),
    "!=": both(lambda a, b: a != b),
    "<": both(lambda a, b: a < b),
    "<=": both(lambda a, b: a <= b),
    ">": both(lambda a, b: a > b),
    ">=": both(lambda a, b: a >= b),
    "IS DISTINCT FROM": lambda a, b: a != b,
    "is not distinct from": lambda a, b: a == b,
}
ARITHMETIC = {
    "+": both(lambda a, b: a + b),
    "-": both(lambda a, b: a - b),
    "*": both(lambda a, b: a * b),
    "/": both(lambda a, b: a / b if b else None),
}


def negated(a):
    return None if a is None else not a


def all_of(a, b):
    return False if a is False or b is False else None if a is None or b is None else True


def any_of(a, b):
    return negated(all_of(negated(a), negated(b)))


def like(value, pattern, flags):
    regex = "".join({"%": ".*", "_": "."}.get(letter, re.escape(letter)) for letter in pattern)
    return None if value is None else re.fullmatch(regex, value, re.DOTALL | flags) is not None


# A strategy of terms draws (SQL, function of a row); so does one of conditions.
NUMBERS = st.recursive(
    st.sampled_from(["year", "score"]).map(lambda name: (name, lambda row: row[name]))
    | st.integers(-3, 3).map(lambda n: (str(n), lambda _: n))
    | st.sampled_from(["0.5", "1e0", "NULL"]).map(lambda s: (s, lambda _: None if s == "NULL" else float(s))),
    lambda inner: (
        st.tuples(inner, st.sampled_from(sorted(ARITHMETIC)), inner).map(
            lambda t: (
                f"({t[0][0]} {t[1]} {t[2][0]})",
                lambda row: ARITHMETIC[t[1]](t[0][1](row), t[2][1](row)),
            )
        )
        | inner.map(lambda t: (f"abs({t[0]})", lambda row: None if (v := t[1](row)) is None else abs(v)))
        | st.tuples(inner, inner).map(
            lambda t: (
                f"coalesce({t[0][0]}, {t[1][0]})",
                lambda row: t[1][1](row) if t[0][1](row) is None else t[0][1](row),
            )
        )
    ),
    max_leaves=4,
)
TEXTS = st.recursive(
    st.just(("lang", lambda row: row["lang"]))
    | st.sampled_from(["", "a", "B", "a'b", "é"]).map(lambda s: (text(s), lambda _: s)),
    lambda inner: (
        st.tuples(inner, inner).map(
            lambda t: (
                f"({t[0][0]} || {t[1][0]})",
                lambda row: both(lambda a, b: a + b)(t[0][1](row), t[1][1](row)),
            )
        )
        | inner.map(lambda t: (f"UPPER({t[0]})", lambda row: None if (v := t[1](row)) is None else v.upper()))
        | inner.map(
            lambda t: (f"substr({t[0]}, 1, 1)", lambda row: None if (v := t[1](row)) is None else v[:1])
        )
    ),
    max_leaves=3,
)
COMPARISONS = st.sampled_from([NUMBERS, TEXTS]).flatmap(
    lambda terms: st.one_of(
        st.tuples(terms, st.sampled_from(sorted(COMPARE)), terms).map(
            lambda t: (f"{t[0][0]} {t[1]} {t[2][0]}", lambda row: COMPARE[t[1]](t[0][1](row), t[2][1](row)))
        ),
        st.tuples(terms, terms, terms).map(
            lambda t: (
                f"{t[0][0]} BETWEEN {t[1][0]} AND {t[2][0]}",
                lambda row: all_of(
                    COMPARE[">="](t[0][1](row), t[1][1](row)), COMPARE["<="](t[0][1](row), t[2][1](row))
                ),
            )
        ),
        st.tuples(terms, terms, terms).map(
            lambda t: (
                f"{t[0][0]} IN ({t[1][0]}, {t[2][0]})",
                lambda row: any_of(
                    COMPARE["="](t[0][1](row), t[1][1](row)), COMPARE["="](t[0][1](row), t[2][1](row))
                ),
            )
        ),
        terms.map(lambda t: (f"{t[0]} IS NULL", lambda row: t[1](row) is None)),
        terms.map(lambda t: (f"{t[0]} is not null", lambda row: t[1](row) is not None)),
    )
)
LIKES = st.tuples(
    TEXTS,
    st.sampled_from(["LIKE", "NOT LIKE", "ilike"]),
    st.text(alphabet="ab%_'.\\(é", max_size=4),
).map(
    lambda t: (
        f"{t[0][0]} {t[1]} {text(t[2])}",
        lambda row: (negated if "NOT" in t[1] else (lambda a: a))(
            like(t[0][1](row), t[2], re.IGNORECASE if t[1] == "ilike" else 0)
        ),
    )
)
CONDITIONS = st.recursive(
    COMPARISONS
    | LIKES
    | st.just(("flag", lambda row: row["flag"]))
    | st.sampled_from(["TRUE", "false"]).map(lambda s: (s, lambda _: s == "TRUE")),
    lambda inner: (
        inner.map(lambda t: (f"NOT ({t[0]})", lambda row: negated(t[1](row))))
        | st.tuples(inner, inner).map(
            lambda t: (f"({t[0][0]}) AND ({t[1][0]})", lambda row: all_of(t[0][1](row), t[1][1](row)))
        )
        | st.tuples(inner, inner).map(
            lambda t: (f"({t[0][0]}) or ({t[1][0]})", lambda row: any_of(t[0][1](row), t[1][1](row)))
        )
    ),
    max_leaves=4,
)


@settings(max_examples=100)
@given(TABLES, TABLES, CONDITIONS)
def test_a_mask_is_what_three_valued_logic_says(tmp_path_factory, first, second, condition):
    where, holds = condition
    folder = tmp_path_factory.mktemp("segments")
    files = []
    for number, table in enumerate((first, second)):
        columns = {name: pa.array([row[name] for row in table], kind) for name, kind in ARROW.items()}
        pq.write_table(pa.table(columns), folder / f"{number}.parquet")
        files.append(MetadataFile(str(number), folder / f"{number}.parquet", len(table)))

    mask = mask_of(where, files, MaskCache(1 << 20))

    assert mask.tolist() == [holds(row) is True for row in first + second], where


def test_columns_as_the_store_writes_them(tmp_path):
    metadata = [{"year": 1999, "mixed": 5}, {"year": 2021, "mixed": "five"}, {"tags": ["a", "b"]}]
    write_passages(
        tmp_path,
        [Passage(f"w/{i}#0", str(i), "w", f"T {i}", 0, 0, 1, "x", data) for i, data in enumerate(metadata)],
    )
    file = [MetadataFile("s", tmp_path / "metadata.parquet", 3)]

    assert rows("source = 'w' AND year >= 2020", file) == [1]
    assert rows("document_id IN ('0', '2')", file) == [0, 2]
    assert rows("mixed = 5", file) == [0]
    assert rows("contains(tags, '\"b\"')", file) == [2]
    assert rows("ordinal = 0 AND title LIKE 'T _'", file) == [0, 1, 2]


# Segments that differ.


def test_a_column_that_a_segment_lacks_is_null_there(segments):
    files = segments({"year": [2020, 1999]}, {"title": ["a", "b"]}, {"year": pa.nulls(1)})

    assert rows("year >= 2000", files) == [0]
    assert rows("NOT year >= 2000", files) == [1]
    assert rows("year IS NULL", files) == [2, 3, 4]
    assert rows("coalesce(year, 0) = 0", files) == [2, 3, 4]
    assert rows("year(year) = 1 OR lower(year) = 'x' OR -year > 1 OR year::DATE < '2000-01-01'", files) == []


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        # rows: 0-2 whole numbers, 3-5 texts, 6-7 floats, 8 boolean, 9 a time
        ("v = 2020", [0, 3, 6]),
        ("v >= 2020", [0, 1, 3, 6]),
        ("v = '2020'", [0, 3, 6]),
        ("v = 'n/a'", [4]),
        ("v <> 'n/a'", [3, 5]),  # no number is known to differ from what is no number
        ("v IN (2020, 2021)", [0, 1, 3, 6]),
        ("v NOT IN (2020)", [1, 2, 5, 7, 8]),
        ("v BETWEEN 2020 AND 2021", [0, 1, 3, 6]),
        ("v = 1", [8]),
        ("v = true", [8]),
        ("v LIKE '2020%'", [0, 3, 6, 9]),
        ("v + 1 > 2021", [1]),
        ("v > TIMESTAMP '2020-01-01'", [9]),
        ("year(v) = 2020", [9]),
        ("CAST(v AS INTEGER) = 2020", [0, 3, 6]),
        ("v::VARCHAR = '2020'", [0, 3]),
        ("length(v) = 4", [0, 1, 3, 8]),
        ("coalesce(v, 'none') = 'n/a'", [4]),
    ],
)
def test_one_name_of_several_types_never_fails_a_search(segments, where, expected):
    files = segments(
        {"v": [2020, 2021, -7]},
        {"v": ["2020", "n/a", "19"]},
        {"v": [2020.0, 0.5]},
        {"v": [True]},
        {"v": pa.array([dt.date(2020, 5, 1)]).cast(pa.timestamp("us"))},
    )

    assert rows(where, files) == expected


def test_a_name_that_is_a_flag_somewhere_may_be_text_elsewhere(segments):
    files = segments({"flag": [True, False, None]}, {"flag": ["true", "unknown"]}, {"flag": [0, 1]})

    assert rows("flag", files) == [0, 3, 6]
    assert rows("NOT flag", files) == [1, 5]
    assert rows("flag IS TRUE", files) == [0, 3, 6]


def test_dates_times_and_zones(segments):
    noon = pa.array([1_577_880_000], pa.timestamp("s"))
    files = segments(
        {"day": [dt.date(2019, 12, 31), dt.date(2020, 1, 1)]},
        {"day": ["2019-12-31", "2020-01-01"]},
        {"day": noon},
        {"day": noon.cast(pa.timestamp("ns", "Europe/Berlin"))},
    )

    assert rows("day >= '2020-01-01'", files) == [1, 3, 4, 5]
    assert rows("day >= DATE '2020-01-01'", files) == [1, 3, 4, 5]
    assert rows("day = DATE '2020-01-01'", files) == [1, 3]
    assert rows("CAST(day AS DATE) = '2020-01-01'", files) == [1, 3, 4, 5]
    assert rows("year(day) = 2020 AND month(day) = 1 AND day(day) = 1", files) == [1, 3, 4, 5]


def test_what_cannot_be_computed_matches_nothing(segments):
    files = segments(
        {"a": [0, 1, 2**62, None], "t": ["x", "1", "", None], "s": [np.nan, 1.0, np.inf, None]},
    )

    assert rows("1 / a >= 0", files) == [1, 2]
    assert rows("NOT 1 / a >= 0", files) == []
    assert rows("1 % a = 0", files) == [1]
    assert rows("a * 9000000000000000000 > 1", files) == [1, 2]
    assert rows("CAST(t AS INTEGER) = 1", files) == [1]
    assert rows("CAST(s AS BIGINT) = 1 OR CAST(1e300 AS INTEGER) = a", files) == [1]
    assert rows("s > 0", files) == [1, 2]  # NaN is a number that is missing
    assert rows("s IS NULL", files) == [0, 3]
    assert rows("substr(t, a, a) = 'x' OR round(s, a) = 1", files) == [1]
    assert rows("year(t) = 1", files) == []


def test_whole_numbers_are_compared_exactly(segments):
    files = segments({"id": [2**53, 2**53 + 1]})

    assert rows(f"id = {2**53 + 1}", files) == [1]
    assert rows(f"id < {2**64}", files) == [0, 1]
    assert rows(f"id < {10**60}", files) == [0, 1]


def test_other_arrow_types_can_be_filtered_by(segments):
    files = segments(
        {
            "lang": pa.array(["en", "de"]).dictionary_encode(),
            "price": pa.array([1, 2], pa.decimal128(5, 2)),
            "tags": [["a"], ["b", "c"]],
            "tiny": pa.array([1, 2], pa.uint8()),
            "long": pa.array(["x", "y"], pa.large_string()),
        }
    )

    assert rows("lang = 'de' AND price > 1.5 AND contains(tags, 'c') AND tiny = 2 AND long = 'y'", files) == [
        1
    ]


# Names.


@pytest.mark.parametrize(
    "name",
    [
        "two words",
        'a "quote"',
        "it's",
        "select",
        "order",
        "größe",
        "日本",
        "a.b",
        "rowid",
        "c",
        "c0",
        "%",
        "Year",
    ],
)
def test_any_name_can_be_quoted(segments, name):
    files = segments({name: [1, 2], "other": [2, 1]})

    assert rows(f'"{name.replace(chr(34), chr(34) * 2)}" = 2', files) == [1]


def test_a_dotted_name_is_one_column_and_no_struct(segments):
    files = segments({"a.b": [1, 2], "a": [3, 3]}, {"a": [{"b": 2}]})

    assert rows("a.b = 2", files) == [1]
    assert rows("a = 3", files) == [0, 1]


def test_case_decides_only_where_it_must(segments):
    one, two = segments({"Year": [1, 2]}, {"Year": [1, 2], "year": [2, 1]})

    assert rows("YEAR = 2", [one]) == [1]
    assert rows("year = 2", [one, two]) == [1, 2]
    assert rows('"Year" = 2', [two]) == [1]
    with pytest.raises(UsageError, match="'YEAR' could be any of 'Year', 'year'"):
        rows("YEAR = 2", [one, two])


def test_an_unknown_column_names_the_nearest(segments):
    files = segments({"year": [1]}, {"title": ["x"]})

    with pytest.raises(UsageError, match=r"'yaer', which is unknown") as error:
        rows("yaer = 1", files)
    assert error.value.hint == 'did you mean "year"?'
    with pytest.raises(UsageError, match=r"'Assam', which is unknown") as error:
        rows('title = "Assam"', files)
    assert error.value.hint == "known: title, year; if it is a text, put it in single quotes: 'Assam'"
    with pytest.raises(UsageError, match="unknown"):
        rows("current_date > '2020-01-01'", files)


def test_a_column_unknown_where_masks_are_kept_is_still_unknown(segments):
    files = segments({"year": [1]}, {"title": ["x"]})
    cache = MaskCache(1 << 20)
    mask_of("year = 1", files, cache)

    with pytest.raises(UsageError, match="unknown"):
        mask_of("year = 1", files[1:], cache)


# What is no condition.


@pytest.mark.parametrize("where", ["year", "NOT year", "year AND 1 = 1", "title"])
def test_a_column_that_holds_no_booleans_is_no_condition(segments, where):
    with pytest.raises(UsageError, match=r"is not a condition: it holds a (number|text)"):
        rows(where, segments({"year": [1], "title": ["true"]}))


@pytest.mark.parametrize(
    "where", ["1", "'x'", "year + 1", "lower(a)", "a = 1 OR 2", "NOT -a", "DATE '2020-01-01'"]
)
def test_what_is_neither_true_nor_false_is_refused(where):
    with pytest.raises(UsageError, match="is not a condition"):
        parse(where)


# What is refused.

INJECTIONS = {
    "a = 1; DROP TABLE rows": "semicolon",
    "a = 1;": "semicolon",
    "a = 1 -- and b": "comment",
    "a = 1 /* b */": "comment",
    "a = 1) OR (1 = 1": "closes none",
    "TRUE) UNION SELECT (TRUE": "closes none",
    "TRUE) FROM read_csv('/etc/passwd') WHERE (TRUE": "closes none",
    "(a = 1": "not closed",
    "'a' = 'a' OR $$)$$ = (": "not closed",
    "(SELECT TRUE)": "a subquery",
    "a IN (SELECT 1)": "a subquery",
    "EXISTS (SELECT 1)": "a subquery|exists",
    "a = ANY (SELECT 1)": "a subquery",
    "(FROM range(3)) = 1": "a subquery",
    "(WITH x AS (SELECT 1) SELECT * FROM x) = 1": "a subquery",
    "(SELECT content FROM read_text('/etc/passwd')) LIKE '%root%'": "a subquery",
    "contains((SELECT content FROM '/etc/passwd'), 'root')": "a subquery",
    "read_csv('/etc/passwd')": "function read_csv",
    "read_text('/etc/passwd') = ''": "function read_text",
    "getenv('HOME') = '/root'": "function getenv",
    "current_setting('access_mode') = 'x'": "function current_setting",
    "query('SELECT 1') = 1": "function query",
    "nextval('s') = 1": "function nextval",
    "random() > 0.5": "function random",
    "sleep_ms(1000) = 1": "function sleep_ms",
    "repeat('a', 1000000000) = title": "function repeat",
    "sum(a) > 1": "function sum",
    "row_number() OVER () = 1": "a window function",
    "sum(a) FILTER (a > 1) > 1": "FILTER",
    "count(DISTINCT a) > 1": "DISTINCT",
    "main.lower(a) = 'x'": "a function of a schema",
    "ATTACH 'x.db'": "cannot cast to ATTACH",
    "COPY rows TO '/tmp/x'": "cannot be read",
    "PRAGMA database_list": "cannot be read",
    "SET threads = 4": "cannot be read",
    "INSTALL httpfs": "cannot be read",
    "*": r"use \*",
    "COLUMNS('a') = 1": r"use \*|columns",
    "segment.* = 1": r"use \*|cannot be read",
    "a = ?": "a parameter",
    "a = $1": "a parameter",
    "a = $name": "a parameter",
    "a COLLATE nocase = 'x'": "a collation",
    "x -> x + 1": "a lambda|operator",
    "[1, 2] = a": "a list or a struct",
    "a[1] = 1": "a list or a struct",
    "{'a': 1} = a": "a list or a struct",
    "struct_extract(a, 'b') = 1": "function struct_extract",
    "row(a, b) = row(1, 2)": "function row",
    "(a, b) = (1, 2)": "function row",
    "a, b": "function row",
    "CASE WHEN a THEN b END": "use CASE",
    "a::INTEGER[] = 1": "a list or a struct",
    "a::DECIMAL(3, 1) = 1": "cast to DECIMAL with parameters",
    "a::BLOB = 'x'": "cast to BLOB",
    "TRY(a)": "use try",
    "a SIMILAR TO '(x+)+'": "function regexp_full_match",
    "a GLOB 'x*'": "operator ~~~",
    "a LIKE b": "pattern of LIKE",
    "a LIKE 'x!' ESCAPE '!'": "ends in its escape",
    "a = x'ab'": "literal of the kind hex",
    "lower(a := 'x') = 'x'": "named arguments|an alias",
    "lowr(a) = 'x'": 'did you mean "lower"',
    "lower(a, b) = 'x'": "takes 1 arguments, got 2",
    "a = 1e999": "too large",
    "a = " + "9" * 5_000: "too large",
    "year IN (2020, 'unknown')": "both texts and numbers",
    "a AS b": "cannot be read|an alias|function row",
    "a = 1\0": "NUL",
    "a = '\ud800'": "surrogate",
    "": "empty",
    " \n": "empty",
    "a = 'x": "cannot be read|not closed",
    "a ==== 1": "cannot be read|operator",
    "a||a||a||a||a||a||a||a||a||a||a||a||a||a||a||a||a||a = 'x'": "joins texts",
}


@pytest.mark.parametrize("where", INJECTIONS)
def test_anything_beyond_the_allow_list_is_refused(where):
    with pytest.raises(UsageError, match=f"(?i){INJECTIONS[where]}"):
        parse(where)


@pytest.mark.parametrize(
    "where",
    [
        "a = " + "1" * 10_000,
        "(" * 60 + "a" + ")" * 60,
        "(" * 9_000,
        "- " * 4_900 + "1 = 1",
        "- " * 4_900 + "!",
        "NOT " * 2_000 + "a",
        "a" + " + 1" * 60 + " = 1",
        "lower(" * 51 + "a" + ")" * 51 + " = ''",
    ],
    ids=["long", "parentheses", "open", "minus", "minus-wrong", "not", "plus", "calls"],
)
def test_what_is_too_long_or_too_deep_is_refused_at_once(where):
    started = time.perf_counter()

    with pytest.raises(UsageError, match=r"at most 10,000|nested more than 50 deep|not closed"):
        parse(where)
    assert time.perf_counter() - started < 10


def test_a_long_flat_filter_is_read(segments):
    files = segments({"year": [5, 999, 2000]})

    assert rows("year IN (" + ", ".join(map(str, range(1_500))) + ")", files) == [0, 1]
    assert rows(" OR ".join(f"year = {n}" for n in range(600)), files) == [0]


def test_what_is_no_text_is_refused():
    with pytest.raises(UsageError, match="must be a text, got a int"):
        parse(5)


def test_texts_in_a_filter_are_never_code(segments):
    nasty = "'); ATTACH 'x'; --"
    files = segments({"title": [nasty, "x"], 'a" OR TRUE --': [1, 2]})

    assert rows(f"title = {text(nasty)}", files) == [0]
    assert rows('"a"" OR TRUE --" = 2', files) == [1]
    assert rows("title = $$x$$ OR title = E'\\'); ATTACH \\'x\\'; --'", files) == [0, 1]


# The normal form.


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("year>=2020 AND source='w'", "  year  >=  2_020 \n and (source = 'w')"),
        ("a NOT LIKE 'x%'", "NOT (a LIKE 'x%')"),
        ("a != 1", "a <> 1"),
        ("LOWER(a) = 'x'", "lower(a) = 'x'"),
        ("substring(a, 1) = 'x'", "substr(a, 1) = 'x'"),
        ('"a" IS NOT NULL', "NOT a IS NULL"),
        ("a::INT = 1", "CAST(a AS bigint) = 1"),
        ("a LIKE 'x!%' ESCAPE '!'", "a LIKE 'x#%' ESCAPE '#'"),
    ],
)
def test_equal_conditions_have_one_normal_form(one, other):
    assert parse(one) == parse(other)
    assert parse(one).sql == parse(other).sql


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a = 'x'", "a = 'X'"),
        ("a = 1", "a = '1'"),
        ("a = 1", "A = 1"),
        ("a::DOUBLE = 1", "a = 1"),
        ("a AND (b OR c)", "a AND b OR c"),
        ("a LIKE '%'", r"a LIKE '\%'"),
        ("a - (b - c) = 1", "a - b - c = 1"),
    ],
)
def test_unequal_conditions_differ_in_it(one, other):
    assert parse(one).sql != parse(other).sql


def test_the_names_used_are_known():
    predicate = parse("lower(\"Two words\") = 'x' AND NOT flag OR a.b IN (1, c)")

    assert predicate.columns == {"Two words", "flag", "a.b", "c"}
    assert predicate.flags == {"flag"}


@settings(max_examples=40)
@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(where):
    with contextlib.suppress(UsageError):
        assert parse(where) == parse(where + " ")


def calls(inner):
    """Every operation on arguments of any kind, fitting or not."""
    functions = st.sampled_from(sorted(FUNCTIONS.items())).flatmap(
        lambda item: st.lists(
            inner, min_size=len(item[1].takes) - item[1].optional, max_size=len(item[1].takes)
        ).map(lambda terms: f"{item[0]}({', '.join(terms)})")
    )
    symbols = ["=", "<", "IS DISTINCT FROM", "+", "-", "*", "/", "%", "||", "AND", "OR"]
    infix = st.tuples(inner, st.sampled_from(symbols), inner).map(lambda t: f"({' '.join(t)})")
    casts = st.tuples(inner, st.sampled_from(sorted(CASTS))).map(lambda t: f"CAST({t[0]} {t[1]})")
    others = st.tuples(
        inner,
        inner,
        st.sampled_from(
            [
                "coalesce({}, {})",
                "({} IN ({}, NULL))",
                "({0} BETWEEN {1} AND {0})",
                "(-{})",
                "(NOT {})",
                "({} IS NULL)",
                "({} LIKE '%a_%')",
            ]
        ),
    ).map(lambda t: t[2].format(t[0], t[1]))
    return functions | infix | casts | others


ANYTHING = st.recursive(
    st.sampled_from(
        ["v", "w", "NULL", "TRUE", "'a'", "'nan'", "'2020-01-01'", "0", "-1", "1e308", str(2**100)]
    ),
    calls,
    max_leaves=6,
)
HARD_VALUES = [
    {"v": [0, 2**63 - 1, -(2**63), None], "w": ["", "inf", "12345678901234567890", None]},
    {"v": ["x", "-1", "1e400", "9999-12-31"], "w": [True, False, None, True]},
    {"v": [np.nan, np.inf, 1e308, -0.0], "w": pa.array([0, -(2**62), 2**62, None], pa.timestamp("us"))},
    {"w": [[1], [], None, [2]]},
]


@pytest.fixture(scope="module")
def hard_files(tmp_path_factory) -> list[MetadataFile]:
    folder = tmp_path_factory.mktemp("hard")
    for number, columns in enumerate(HARD_VALUES):
        pq.write_table(pa.table(columns), folder / f"{number}.parquet")
    return [MetadataFile(str(n), folder / f"{n}.parquet", 4) for n in range(len(HARD_VALUES))]


@settings(max_examples=60)
@given(st.tuples(ANYTHING, ANYTHING).map(lambda t: f"{t[0]} = {t[1]}"))
def test_no_mixture_of_kinds_fails_where_it_is_evaluated(hard_files, where):
    with contextlib.suppress(UsageError):
        assert mask_of(where, hard_files, MaskCache(1 << 20)).shape == (16,)


# The locked database, should something get through.


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM glob('/*')",
        "ATTACH '/tmp/compendia-attack.db'",
        "COPY (SELECT 1) TO '/tmp/compendia-attack.csv'",
        "INSTALL httpfs",
        "LOAD '/tmp/compendia-attack.duckdb_extension'",
        "SET enable_external_access = true",
        "SET threads = 8",
        "SET lock_configuration = false",
        "SELECT getenv('HOME')",
        "SELECT * FROM bait",
        "EXPORT DATABASE '/tmp/compendia-attack'",
    ],
)
def test_the_database_reaches_nothing(statement):
    import duckdb

    bait = pa.table({"a": [1]})
    with locked_connection(time.monotonic() + 60, 60) as connection, pytest.raises(duckdb.Error):
        connection.execute(statement).fetchall()
    assert bait.num_rows == 1
    assert not list(Path("/tmp").glob("compendia-attack*"))


# Time.


def test_a_filter_that_takes_too_long_is_stopped(segments):
    files = segments({"title": ["a" * 2_000] * 40_000})
    slow = " OR ".join(f"lower(title) LIKE '%a_%{n}%b'" for n in range(100))
    started = time.perf_counter()

    with pytest.raises(SearchTimeoutError, match=r"longer than the 0\.2 s it has"):
        mask_of(slow, files, MaskCache(1 << 20), timeout_s=0.2)
    assert time.perf_counter() - started < 10  # unstopped, it runs for a minute


@pytest.fixture
def several_workers(monkeypatch):
    monkeypatch.setattr(masks, "_ROWS_PER_WORKER", 1)
    monkeypatch.setattr(masks, "available_cores", lambda: 3)


@pytest.mark.usefixtures("several_workers")
def test_several_workers_give_the_rows_of_each_segment_in_its_place(segments):
    files = segments(*({"a": [number, 7, number + 1]} for number in range(8)))

    assert rows("a = 7", files) == [1, 4, 7, 10, 13, 16, 19, 20, 21, 22]
    assert rows("a = 3", files) == [8, 9]


@pytest.mark.usefixtures("several_workers")
def test_several_workers_stop_in_time_and_say_what_failed(segments):
    slow = " OR ".join(f"lower(title) LIKE '%a_%{n}%b'" for n in range(100))
    started = time.perf_counter()
    with pytest.raises(SearchTimeoutError, match=r"longer than the 0\.2 s it has"):
        mask_of(slow, segments(*[{"title": ["a" * 2_000] * 10_000}] * 4), MaskCache(1 << 20), timeout_s=0.2)
    assert time.perf_counter() - started < 10

    files = segments(*[{"a": [1]}] * 5)
    content = files[3].path.read_bytes()
    files[3].path.write_bytes(
        content[:4] + b"\xff" * 30 + content[34:]
    )  # the footer is whole, the column is not
    with pytest.raises(IntegrityError, match="cannot be read"):
        mask_of("a = 1", files, MaskCache(1 << 20))


def test_no_time_left_stops_before_a_segment(segments):
    with pytest.raises(SearchTimeoutError, match="longer than the 0 s it has"):
        mask_of("a = 1", segments({"a": [1]}), MaskCache(0), timeout_s=0)


def test_patterns_that_backtrack_do_not(segments):
    files = segments({"title": ["a" * 5_000] * 20})

    assert rows("title LIKE '" + "%a_" * 30 + "%b'", files) == []
    assert rows("title ILIKE '" + "%A" * 30 + "%b'", files) == []


def test_every_character_of_a_pattern_but_two_stands_for_itself(segments):
    letters = "".join(map(chr, range(1, 128))) + "é日"
    files = segments({"t": ["x" + letters, "xy" + letters[1:], letters]})
    pattern = "_" + re.sub("([%_!])", r"!\1", letters)

    assert rows(f"t LIKE {text(pattern)} ESCAPE '!'", files) == [0]
    assert rows(f"t ILIKE {text(pattern.upper())} ESCAPE '!'", files) == [0]


# The cache.


def test_a_mask_is_computed_once(segments, monkeypatch):
    files = segments({"a": [1, 2, 1]}, {"a": [1]})
    cache = MaskCache(1 << 20)
    first = mask_of("a = 1", files, cache)
    for file in files:
        file.path.unlink()

    assert mask_of("a=1", files, cache) is first
    assert first.tolist() == [True, False, True, True]
    assert not first.flags.writeable
    assert mask_of("a = 1", files[::-1], cache).tolist() == [True, True, False, True]
    assert mask_of("a = 1", files[:1], cache).tolist() == [True, False, True]
    with pytest.raises(IntegrityError, match="cannot be read"):
        mask_of("a = 2", files, cache)


def test_only_new_segments_are_computed(segments):
    old, new = segments({"a": [1, 2]}, {"a": [2]})
    cache = MaskCache(1 << 20)
    mask_of("a = 2", [old], cache)
    old.path.unlink()

    assert mask_of("a = 2", [old, new], cache).tolist() == [False, True, True]


def test_bytes_are_counted_and_bounded(segments):
    files = segments({"a": list(range(80))})
    cache = MaskCache(20_000)

    mask_of("a = 1", files, cache)
    assert cache.bytes == (10 + ENTRY_BYTES) + (80 + ENTRY_BYTES)
    mask_of("a = 1", files, cache)
    assert cache.bytes == (10 + ENTRY_BYTES) + (80 + ENTRY_BYTES)
    for number in range(40):
        mask_of(f"a = {number}", files, cache)
        assert cache.bytes <= 20_000


def test_whole_masks_go_first_then_the_least_recently_used(segments):
    (file,) = segments({"a": [1] * 8})
    one = 1 + ENTRY_BYTES
    cache = MaskCache(2 * one + ENTRY_BYTES)
    first, second, third = (parse(f"a = {n}").sql for n in range(3))
    mask_of("a = 0", [file], cache)
    mask_of("a = 1", [file], cache)

    assert cache.bytes == 2 * one
    assert cache.segment(file.segment, first) is not None  # and is now the last one used
    cache.limit_bytes = 2 * one
    mask_of("a = 2", [file], cache)
    assert cache.segment(file.segment, second) is None
    assert cache.segment(file.segment, first) is not None
    assert cache.segment(file.segment, third) is not None


def test_nothing_kept_still_answers(segments):
    files = segments({"a": [1, 2]})
    cache = MaskCache(0)

    assert mask_of("a = 1", files, cache).tolist() == [True, False]
    assert cache.bytes == 0
    with pytest.raises(UsageError, match="negative"):
        MaskCache(-1)


def test_one_file_without_a_cache(segments):
    (file,) = segments({"a": [1, None, 3]})

    assert matches(parse("a > 1"), file.path, 3).tolist() == [False, False, True]
    with pytest.raises(IntegrityError, match="has 3 rows, expected 4"):
        matches(parse("a > 1"), file.path, 4)


def test_no_rows_and_no_segments(segments):
    assert rows("a = 1", []) == []
    assert rows("a = 1", segments({"a": pa.array([], pa.int64())})) == []
    assert rows("TRUE", segments({"a": [1, 2]}, {"b": [1]})) == [0, 1, 2]


def test_order_is_kept_over_many_row_groups(tmp_path):
    numbers = np.random.default_rng(0).integers(0, 5, 300_000)
    pq.write_table(pa.table({"a": numbers}), tmp_path / "m.parquet", row_group_size=7_001)

    mask = matches(parse("a = 3"), tmp_path / "m.parquet", len(numbers))

    np.testing.assert_array_equal(mask, numbers == 3)


def test_texts_that_repeat_and_texts_that_do_not(tmp_path):
    generator = np.random.default_rng(0)
    langs = [[None, "en", "de", "é"][n] for n in generator.integers(0, 4, 20_000)]
    titles = [f"{lang} {n}" for n, lang in enumerate(langs)]
    pq.write_table(pa.table({"lang": langs, "title": titles}), tmp_path / "m.parquet", row_group_size=7_001)

    mask = matches(parse("lang = 'de' OR lang IS NULL AND title LIKE '%7'"), tmp_path / "m.parquet", 20_000)

    assert mask.tolist() == [lang == "de" or (lang is None and n % 10 == 7) for n, lang in enumerate(langs)]


def test_threads_agree(segments):
    numbers = [np.random.default_rng(seed).integers(0, 9, 500) for seed in range(4)]
    files = segments(*({"a": part} for part in numbers))
    together = np.concatenate(numbers)
    cache = MaskCache(20_000)  # too small for all: eviction runs too
    start = threading.Barrier(8)

    def ask(seed: int) -> None:
        start.wait()
        for number in np.random.default_rng(seed).integers(0, 9, 6).tolist():
            mask = mask_of(f"a = {number}", files, cache)
            np.testing.assert_array_equal(mask, together == number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(8)))
    assert cache.bytes <= 20_000


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_asks_too(segments):
    files = segments({"a": [1, 2]}, {"a": ["2"]})
    cache = MaskCache(1 << 20)
    mask_of("a = 1", files, cache)
    with cache._lock:  # another thread is in the middle of the cache
        child = os.fork()
        if child == 0:
            correct = cache.bytes == 0 and rows("a = 2", files) == [1, 2]
            correct &= mask_of("a = 1", files, cache).tolist() == [True, False, False]
            os._exit(0 if correct else 1)

    assert os.waitpid(child, 0)[1] == 0


def test_a_file_that_is_no_parquet_is_named(tmp_path):
    (tmp_path / "metadata.parquet").write_bytes(b"not parquet")

    with pytest.raises(IntegrityError, match=r"metadata\.parquet cannot be read"):
        matches(parse("a = 1"), tmp_path / "metadata.parquet", 1)


def test_errors_name_what_mends_them(segments):
    files = segments({"when": ["2020-05-06", "2019-01-01"], "year": [1, 2]})
    with pytest.raises(UsageError, match="where cannot be read") as caught:
        mask_of("when >= '2020-01-01'", files, MaskCache(0))
    assert "double quotes: \"when\" >= '2020-01-01'" in caught.value.hint
    assert mask_of("\"when\" >= '2020-01-01'", files, MaskCache(0)).tolist() == [True, False]
    with pytest.raises(UsageError, match="an empty list or a row of values"):
        mask_of("year IN ()", files, MaskCache(0))


LARGE = 1_580_661_436_132_757_505  # beyond what a double tells from its neighbours


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (f"n = '{LARGE}'", [1]),
        (f"n IN ('{LARGE}')", [1]),
        (f"n IN ({LARGE}, NULL)", [1]),
        (f"n NOT IN ({LARGE}, NULL)", []),
        (f"n BETWEEN '{LARGE}' AND '+{LARGE + 1}'", [1, 2]),
        (f"n = CAST('{LARGE}' AS BIGINT)", [1]),
        (f"n > '-{LARGE}' AND n < '{LARGE}'", [0]),
        (f"n = '{LARGE}.5'", [0, 1, 2]),  # a double
        ("n IN (NULL)", []),
        ("n + NULL IS NULL", [0, 1, 2]),
    ],
)
def test_whole_numbers_in_quotes_and_beside_null_are_exact(segments, where, expected):
    file = segments({"n": [LARGE - 1, LARGE, LARGE + 1]})

    assert rows(where, file) == expected


def test_text_that_is_no_number_or_a_boolean_beside_numbers(segments):
    """Values of several types are text where a segment holds them together."""
    file = segments({"t": ["nan", "0.9", "true", "false", "x", None, "NaN", "1"]})

    assert rows("t > 0.5", file) == [1, 2, 7]
    assert rows("t = 1", file) == [2, 7]
    assert rows("t < 1", file) == [1, 3]
    assert rows("t = 'true'", file) == [2]
    deep = "t"
    for _ in range(12):  # what a text is read as is not written out again at each level
        deep = f"CAST(CAST({deep} AS DOUBLE) AS VARCHAR)"
    assert rows(f"{deep} IS NOT NULL", file) == [1, 2, 3, 7]


def test_two_columns_of_one_name_are_refused(tmp_path):
    table = pa.table([pa.array([1]), pa.array([2])], names=["a", "a"])
    pq.write_table(table, tmp_path / "m.parquet")

    with pytest.raises(IntegrityError, match="two columns of one name"):
        mask_of("a = 1", [MetadataFile("m", tmp_path / "m.parquet", 1)], MaskCache(0))
