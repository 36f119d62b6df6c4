//! Values of every type.

/// What the types below are made of.
pub const DEFINITIONS: &str = r#"
    -- The log has times in UTC, whatever the session's zone is.
    SET timezone = 'UTC';
    CREATE TYPE mood AS ENUM ('sad', 'so "so"', 'glad');
    CREATE TYPE point3 AS (x int, "the y" numeric, z text);
    CREATE TYPE nested AS (name text, place point3, places point3[], feeling mood, at timestamptz);
    CREATE DOMAIN positive AS int CHECK (value > 0);
    CREATE DOMAIN email AS text CHECK (value ~ '@');
    CREATE DOMAIN place AS point3;
    CREATE DOMAIN feelings AS mood[];
    CREATE DOMAIN document AS jsonb;
    CREATE DOMAIN twice AS positive;
    CREATE TYPE span AS RANGE (subtype = float8, multirange_type_name = spans);
"#;

/// A type and values of it. NULL comes in between by itself.
pub const TYPES: &[(&str, &[&str])] = &[
    ("boolean", &["true", "false"]),
    ("smallint", &["-32768", "0", "32767"]),
    ("integer", &["-2147483648", "7"]),
    ("bigint", &["-9223372036854775808", "9223372036854775807"]),
    (
        "numeric",
        &[
            "0",
            "-0.00",
            "1.0",
            "1.00",
            "NaN",
            "Infinity",
            "-Infinity",
            "1e130",
            "1e-130",
            "123456789012345678901234567890.123456789012345678901234567890",
        ],
    ),
    ("numeric(12,4)", &["1.5", "-99999999.9999"]),
    (
        "real",
        &[
            "0",
            "-0",
            "1.1",
            "NaN",
            "Infinity",
            "-Infinity",
            "1e-45",
            "3.4028235e38",
        ],
    ),
    (
        "double precision",
        &[
            "0",
            "-0",
            "0.1",
            "NaN",
            "Infinity",
            "-Infinity",
            "5e-324",
            "1.7976931348623157e308",
        ],
    ),
    ("money", &["1.23", "-92233720368547758.08"]),
    (
        "text",
        &[
            "",
            " ",
            "plain",
            r#"quote " back \ slash / tab	 line
 end"#,
            "\u{1}\u{8}\u{c}\u{1f}\u{7f}",
            "ünï→🎉 \u{2028}",
            "null",
            r"\u0000",
        ],
    ),
    ("varchar(10)", &["", "abc "]),
    ("char(5)", &["a", "abcde"]),
    ("name", &["a name", ""]),
    (r#""char""#, &["a", ""]),
    ("bytea", &["", r"\x00", r"\xdeadbeef00ff"]),
    (
        "uuid",
        &[
            "00000000-0000-0000-0000-000000000000",
            "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
        ],
    ),
    (
        "date",
        &[
            "2026-02-28",
            "infinity",
            "-infinity",
            "0044-03-15 BC",
            "99999-12-31",
        ],
    ),
    ("time", &["00:00", "24:00", "12:34:56.789012"]),
    ("timetz", &["12:00:00.000001-08:30"]),
    (
        "timestamp",
        &[
            "2026-02-28 12:34:56.789",
            "infinity",
            "-infinity",
            "0044-03-15 12:00 BC",
            "294276-12-31 23:59:59.999999",
        ],
    ),
    (
        "timestamptz",
        &[
            "2026-02-28 12:34:56.789+05:45",
            "infinity",
            "-infinity",
            "0044-03-15 12:00+00 BC",
            "2026-07-01 00:00+00",
        ],
    ),
    (
        "interval",
        &[
            "0",
            "1 year 2 mons -3 days 04:05:06.789",
            "-00:00:01",
            "-178000000 years",
        ],
    ),
    ("inet", &["10.0.0.1", "10.0.0.1/8", "2001:db8::1/64"]),
    ("cidr", &["10.0.0.0/8", "2001:db8::/32"]),
    ("macaddr", &["08:00:2b:01:02:03"]),
    ("macaddr8", &["08:00:2b:01:02:03:04:05"]),
    ("bit(5)", &["00000", "10101"]),
    ("varbit", &["", "1", "1010101010101"]),
    ("oid", &["0", "4294967295"]),
    ("regclass", &["pg_catalog.pg_class", "-"]),
    ("regtype", &["integer", "text[]"]),
    ("regproc", &["pg_catalog.now"]),
    ("regprocedure", &["pg_catalog.abs(integer)"]),
    ("regrole", &["postgres"]),
    ("regnamespace", &["pg_catalog"]),
    ("xid", &["42"]),
    ("xid8", &["18446744073709551615"]),
    ("tid", &["(1,2)"]),
    ("pg_lsn", &["16/B374D848"]),
    (
        "json",
        &[
            r#"{"b": 1, "a": [1, 2.50, null]}"#,
            "null",
            r#""text""#,
            "[]",
        ],
    ),
    (
        "jsonb",
        &[
            r#"{"b": {"c": [true, {"d": null}]}, "a": 1.50}"#,
            "[]",
            "{}",
            r#""text""#,
            "12345678901234567890.5",
            "false",
        ],
    ),
    ("jsonpath", &["$.a[*] ? (@ > 1)"]),
    ("xml", &["<a b=\"c\">d &amp; e</a>"]),
    ("tsvector", &["'a':1A 'b':2,3"]),
    ("tsquery", &["a & !b"]),
    ("point", &["(1.5,-2)", "(NaN,Infinity)"]),
    ("line", &["{1,2,3}"]),
    ("lseg", &["[(0,0),(1,1)]"]),
    ("box", &["(1,1),(0,0)"]),
    ("path", &["[(0,0),(1,1),(2,0)]", "((0,0),(1,1))"]),
    ("polygon", &["((0,0),(1,1),(2,0))"]),
    ("circle", &["<(0,0),1>"]),
    ("int4range", &["empty", "[1,5)", "(,)"]),
    ("numrange", &["[1.10,2.20]"]),
    ("tstzrange", &["[2026-01-01 00:00+00,infinity)"]),
    ("int4multirange", &["{}", "{[1,2),[5,9)}"]),
    ("span", &["[0.1,0.2)"]),
    ("spans", &["{[0.1,0.2),[1,2]}"]),
    ("mood", &["sad", "so \"so\""]),
    ("positive", &["1"]),
    ("twice", &["2"]),
    ("email", &["a@b"]),
    ("place", &["(1,2.50,\"a b\")"]),
    ("feelings", &["{sad,\"so \\\"so\\\"\"}"]),
    ("document", &["{\"a\": [1]}"]),
    ("point3", &["(1,2.50,\"a, \"\"b\"\"\")", "(,,)"]),
    (
        "nested",
        &["(n,\"(1,2.0,z)\",\"{\"\"(3,4.00,y)\"\",NULL}\",glad,\"2026-01-01 00:00+00\")"],
    ),
    ("integer[]", &["{}", "{1,NULL,3}", "{{1,2},{3,NULL}}"]),
    ("numeric[]", &["{NaN,1.50,-Infinity}"]),
    ("double precision[]", &["{NaN,-0,0.1}"]),
    (
        "text[]",
        &["{\"\",\"a,b\",\"NULL\",NULL,\"q\\\"\"}", "{{{a},{b}}}"],
    ),
    ("boolean[]", &["{t,f,NULL}"]),
    ("timestamptz[]", &["{infinity,\"2026-01-01 00:00+00\"}"]),
    ("jsonb[]", &["{\"{\\\"a\\\": 1}\",\"null\",NULL}"]),
    ("json[]", &["{\"[1, 2]\"}"]),
    ("bytea[]", &["{\"\\\\x00ff\"}"]),
    ("point3[]", &["{\"(1,2.50,a)\",NULL}"]),
    ("mood[]", &["{glad,NULL}"]),
    ("positive[]", &["{1,2}"]),
    ("int4range[]", &["{\"[1,2)\",empty}"]),
];

/// Types of other extensions, where they are installed.
pub const CONTRIB: &[(&str, &str, &[&str])] = &[
    ("citext", "citext", &["AbC", "aBc"]),
    ("ltree", "ltree", &["a.b.c"]),
    ("cube", "cube", &["(1,2),(3,4)"]),
    ("isn", "isbn", &["978-0-393-04002-9"]),
    ("seg", "seg", &["1.5 .. 2"]),
];

/// Where the log departs from `to_jsonb()`: a type, a value, and the JSON that is logged.
pub const DEPARTURES: &[(&str, &str, &str)] = &[
    // The zone in full, as for timestamps.
    ("timetz", "12:00+14", r#""12:00:00+14:00""#),
    // A name says its schema, whatever the search path of the session is.
    ("regtype", "mood[]", r#""public.mood[]""#),
    // An array keeps its bounds where they are not the usual ones, and so can be rebuilt.
    ("integer[]", "[0:1]={7,8}", r#""[0:1]={7,8}""#),
    ("int2vector", "1 2 3", r#""1 2 3""#),
    ("oidvector", "1 2", r#""1 2""#),
    // A cast to json is code of whoever made the type, and is not run.
    ("hstore", "a=>1, b=>NULL", r#""\"a\"=>\"1\", \"b\"=>NULL""#),
];
