-- Times without an offset are UTC, wherever this runs.
SET TimeZone = 'UTC';

-- What sql/<pipeline>/*.sql reads raw values with. Each gives NULL unless the value is exactly what the name says:
-- nothing is rounded, and nothing is guessed. TRY_CAST would take '3.7' and '1e2' for whole numbers.
-- A value is text, or of any type that Parquet has; NULL for all of them is a missing value.

-- A BIGINT written in digits: no '+', no leading zero ('007' is a code, and another than '7'), no '1_000'. '3.0' is 3,
-- as pandas writes whole numbers of a column with gaps, and so is a DECIMAL of 3.00. The cast is cheap, so what it makes
-- is held against the text.
CREATE OR REPLACE TEMP MACRO shortest(value) AS CASE -- a DECIMAL has all its places: 3.00
    WHEN starts_with(typeof(value), 'DECIMAL') THEN regexp_replace(value::VARCHAR, '\.0+$', '')
    ELSE value::VARCHAR
END;
CREATE OR REPLACE TEMP MACRO whole_number(value, low := NULL, high := NULL) AS CASE
    WHEN (
        TRY_CAST(value AS BIGINT)::VARCHAR = shortest(value)
        OR TRY_CAST(value AS BIGINT)::VARCHAR || '.0' = shortest(value)
    )
    AND (low IS NULL OR TRY_CAST(value AS BIGINT) >= low)
    AND (high IS NULL OR TRY_CAST(value AS BIGINT) <= high)
    THEN TRY_CAST(value AS BIGINT)
END;

-- A finite DOUBLE: digits with or without a decimal point, or as programs write small and large ones ('1e-05').
CREATE OR REPLACE TEMP MACRO decimal_number(value, low := NULL, high := NULL) AS CASE
    WHEN (
        typeof(value) <> 'VARCHAR'
        OR regexp_full_match(value::VARCHAR, '-?(0|[1-9][0-9]*)(\.[0-9]+)?(e[-+][0-9]{2,})?')
    )
    AND TRY_CAST(value AS DOUBLE)
        BETWEEN coalesce(low::DOUBLE, -1.7976931348623157e308) AND coalesce(high::DOUBLE, 1.7976931348623157e308)
    THEN TRY_CAST(value AS DOUBLE)
END;

-- 1 or 0: of '1', '0', and of true and false, yes and no in any case.
CREATE OR REPLACE TEMP MACRO flag(value) AS TRY_CAST(
    CASE shortest(value) WHEN '1.0' THEN '1' WHEN '0.0' THEN '0' ELSE shortest(value) END AS BOOLEAN
)::INTEGER;

-- The text, where it is in the list.
CREATE OR REPLACE TEMP MACRO one_of(value, options) AS CASE
    WHEN value::VARCHAR IN options THEN value::VARCHAR
END;

-- A TIMESTAMP in UTC from the start of one year to that of another. 'ISO' is a date, or a date and a time, with or
-- without an offset; whole seconds, milliseconds or microseconds count from 1970; else day, month and year in that order.
CREATE OR REPLACE TEMP MACRO since_1970(value, microseconds, low, high) AS make_timestamp(
    microseconds * whole_number(
        value,
        epoch_us(make_timestamp(low, 1, 1, 0, 0, 0)) // microseconds,
        epoch_us(make_timestamp(high, 1, 1, 0, 0, 0)) // microseconds
    )
);
CREATE OR REPLACE TEMP MACRO iso_time(value) AS CASE
    WHEN starts_with(typeof(value), 'TIMESTAMP') OR value::VARCHAR LIKE '____-__-_____:__:__'
        THEN TRY_CAST(value AS TIMESTAMP)
    WHEN regexp_full_match(
        value::VARCHAR,
        '\d{4}[-/]\d\d?[-/]\d\d?([ T]\d\d?:\d\d(:\d\d(\.\d+)?)?( ?(Z|UTC|[-+](0\d|1[0-4])(:?[0-5]\d)?))?)?'
    ) THEN TRY_CAST(value::VARCHAR AS TIMESTAMPTZ) AT TIME ZONE 'UTC'
END;
CREATE OR REPLACE TEMP MACRO written_time(value, unit) AS CASE unit
    WHEN 'ISO' THEN iso_time(value)
    WHEN 'day/month/year' THEN try_strptime(value::VARCHAR, ['%d/%m/%Y %H:%M:%S', '%d/%m/%Y %H:%M', '%d/%m/%Y'])
    WHEN 'month/day/year' THEN try_strptime(value::VARCHAR, ['%m/%d/%Y %H:%M:%S', '%m/%d/%Y %H:%M', '%m/%d/%Y'])
    WHEN 'day.month.year' THEN try_strptime(value::VARCHAR, ['%d.%m.%Y %H:%M:%S', '%d.%m.%Y %H:%M', '%d.%m.%Y'])
    ELSE error('moment: there is no unit ' || unit)
END;
CREATE OR REPLACE TEMP MACRO moment(value, unit := 'ISO', low := 1970, high := 2100) AS CASE unit
    WHEN 'seconds' THEN since_1970(value, 1000000, low, high)
    WHEN 'milliseconds' THEN since_1970(value, 1000, low, high)
    WHEN 'microseconds' THEN since_1970(value, 1, low, high)
    ELSE CASE
        WHEN written_time(value, unit) BETWEEN make_timestamp(low, 1, 1, 0, 0, 0) AND make_timestamp(high, 1, 1, 0, 0, 0)
            THEN written_time(value, unit)
    END
END;

-- What refuses a row: {'column', 'reason'}, NULL where all is well. coalesce() of several gives the first reason.
-- The column's name is read off the value, so these take columns, not expressions; else call reject or reject_if.
CREATE OR REPLACE TEMP MACRO reject(column_name, why) AS
    row(column_name, why)::STRUCT("column" VARCHAR, reason VARCHAR); -- {'column': …} would rename what alias() looks at
CREATE OR REPLACE TEMP MACRO reject_if(condition, column_name, why) AS CASE WHEN condition THEN reject(column_name, why) END;
CREATE OR REPLACE TEMP MACRO unless_present(value) AS reject_if(value IS NULL, alias(value), 'missing');

CREATE OR REPLACE TEMP MACRO unless_valid(value, is_valid, optional, why) AS CASE
    WHEN is_valid OR (optional AND value IS NULL) THEN NULL
    ELSE reject(alias(value), CASE WHEN value IS NULL THEN 'missing' ELSE why END)
END;
CREATE OR REPLACE TEMP MACRO outside(low, high) AS CASE
    WHEN high IS NULL THEN 'below ' || low
    WHEN low IS NULL THEN 'above ' || high
    ELSE 'outside ' || low || ' to ' || high
END;
CREATE OR REPLACE TEMP MACRO unless_whole_number(value, low := NULL, high := NULL, optional := false) AS unless_valid(
    value, whole_number(value, low, high) IS NOT NULL, optional,
    CASE WHEN whole_number(value) IS NULL THEN 'not a whole number' ELSE outside(low, high) END
);
CREATE OR REPLACE TEMP MACRO unless_decimal_number(value, low := NULL, high := NULL, optional := false) AS unless_valid(
    value, decimal_number(value, low, high) IS NOT NULL, optional,
    CASE WHEN decimal_number(value) IS NULL THEN 'not a number' ELSE outside(low, high) END
);
CREATE OR REPLACE TEMP MACRO unless_flag(value, optional := false) AS unless_valid(
    value, flag(value) IS NOT NULL, optional, 'neither 0 nor 1'
);
CREATE OR REPLACE TEMP MACRO unless_one_of(value, options, optional := false) AS unless_valid(
    value, one_of(value, options) IS NOT NULL, optional,
    CASE len(options)
        WHEN 2 THEN 'neither ' || options[1] || ' nor ' || options[2]
        ELSE 'not one of ' || array_to_string(options, ', ')
    END
);
CREATE OR REPLACE TEMP MACRO unless_moment(value, unit := 'ISO', low := 1970, high := 2100, optional := false) AS unless_valid(
    value, moment(value, unit, low, high) IS NOT NULL, optional,
    CASE
        WHEN ends_with(unit, 'seconds') AND whole_number(value) IS NULL THEN 'not a whole number'
        WHEN NOT ends_with(unit, 'seconds') AND written_time(value, unit) IS NULL THEN 'not a time (' || unit || ')'
        ELSE outside(low, high)
    END
);
