-- Writes the rows of a view that changed since its last publish into the history.
--
-- Invariant: afterwards the last version of each row in the history is the row of the view, and the
-- history has no other row. A row whose hash is known did not change: that another row has the
-- same 64 bits is less likely than a fault of the hardware. The hash is that of the values as text,
-- the key among them, in one layout. Only rows with an unknown hash are compared by their key.
-- hash_record_extended() would not do: it takes a number and its negative for the same. Values are
-- text: an object with the names in each row takes three times the room and time.
-- Hashes are kept by the bucket: where all rows of a view change each day, these are 256 updates.
-- One statement reads the view. TABLESAMPLE: as in kpi_engine.count_rows(), this is no reader's
-- scan.

CREATE OR REPLACE FUNCTION kpi_engine.note_rows(
    p_relation regclass,
    p_view_name text,
    p_run_id bigint,
    p_key text[],
    p_place integer,
    p_keeps_rows boolean,
    OUT shown bigint,
    OUT changed bigint,
    OUT first_period date,
    OUT null_counts jsonb
)
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET jit = off
-- What is hashed and kept does not depend on the session.
SET timezone = 'UTC'
SET datestyle = 'ISO, YMD'
SET intervalstyle = postgres
SET extra_float_digits = 1
SET bytea_output = hex
AS $note_rows$
DECLARE
    v_columns text[];
    v_kinds text[];
    v_values text;
    v_key_columns text;
    v_key_values text;
BEGIN
    SELECT
        string_agg(format('kpi.%I AS key_%s', key.name, key.place), ', ' ORDER BY key.place),
        string_agg(format('shown.key_%s', key.place), ', ' ORDER BY key.place)
    INTO v_key_columns, v_key_values
    FROM unnest(p_key) WITH ORDINALITY AS key (name, place);
    SELECT
        array_agg(listed.attname::text ORDER BY listed.attnum),
        array_agg(listed.kind ORDER BY listed.attnum),
        string_agg(
            format(
                CASE listed.kind
                    WHEN 'json' THEN 'to_jsonb(kpi.%I)::text COLLATE "C"'
                    ELSE 'kpi.%I::text COLLATE "C"'
                END,
                listed.attname
            ),
            ', ' ORDER BY listed.attnum
        )
    INTO v_columns, v_kinds, v_values
    FROM (
        SELECT
            pg_attribute.attname,
            pg_attribute.attnum,
            CASE
                WHEN pg_attribute.atttypid = ANY (kpi_engine.number_types()) THEN 'number'
                WHEN pg_attribute.atttypid = 'bool'::regtype THEN 'boolean'
                WHEN pg_attribute.atttypid IN (
                    'text'::regtype, 'varchar'::regtype, 'uuid'::regtype, 'date'::regtype
                ) THEN 'text'
                ELSE 'json'
            END AS kind
        FROM pg_attribute
        WHERE
            pg_attribute.attrelid = p_relation
            AND pg_attribute.attnum > 0
            AND NOT pg_attribute.attisdropped
            AND pg_attribute.attname <> 'calculado_at'
    ) AS listed;
    IF p_keeps_rows THEN
        INSERT INTO kpi_engine.published_layouts AS layout (
            view_name, run_id, column_names, column_kinds, key_columns
        )
        SELECT p_view_name, p_run_id, v_columns, v_kinds, p_key
        WHERE (v_columns, v_kinds, p_key) IS DISTINCT FROM (
            SELECT (known.column_names, known.column_kinds, known.key_columns)
            FROM kpi_engine.published_layouts AS known
            WHERE known.view_name = p_view_name
            ORDER BY known.run_id DESC
            LIMIT 1
        );
    END IF;
    EXECUTE format(
        $statement$
        WITH shown AS (
            SELECT made.*, hash_array_extended(made.row_values, $5) AS row_hash
            FROM (
                SELECT %1$s, ARRAY[%2$s] AS row_values
                FROM %3$s AS kpi TABLESAMPLE SYSTEM (100)
                -- Each row is made once.
                OFFSET 0
            ) AS made
        ),

        noted AS (
            SELECT published_hashes.bucket, listed.row_key, listed.row_hash
            FROM kpi_engine.published_hashes
            CROSS JOIN LATERAL unnest(
                published_hashes.row_keys, published_hashes.row_hashes
            ) AS listed (row_key, row_hash)
            WHERE published_hashes.view_name = $1
        ),

        -- Rows without a bucket are new versions; those without a hash are not shown any more.
        compared AS MATERIALIZED (
            SELECT
                noted.bucket,
                CASE
                    WHEN noted.bucket IS NULL THEN jsonb_build_array(%5$s)
                    ELSE noted.row_key
                END AS row_key,
                shown.row_hash,
                CASE WHEN noted.bucket IS NULL THEN shown.row_values END AS row_values
            FROM shown
            -- It is hashed, whatever the planner thinks of the sizes.
            FULL JOIN noted ON noted.row_hash = shown.row_hash
        ),

        changed AS MATERIALIZED (
            SELECT
                coalesce(after.row_key, before.row_key) AS row_key,
                CASE
                    WHEN after.row_key IS NOT NULL THEN (after.row_key ->> $4)::date
                    -- In the key of a row that is gone the time may have another place, or type.
                    ELSE (
                        SELECT known.period
                        FROM kpi_engine.published_rows AS known
                        WHERE
                            known.view_name = $1
                            AND known.row_key = before.row_key
                            AND known.period IS NOT NULL
                        ORDER BY known.run_id DESC
                        LIMIT 1
                    )
                END AS period,
                -- A row keeps its bucket: the hash may be another one on another machine.
                coalesce(before.bucket, jsonb_hash(after.row_key) & 255) AS bucket,
                after.row_hash,
                -- NULL for a row that is gone.
                after.row_values
            FROM (SELECT * FROM compared WHERE compared.bucket IS NULL) AS after
            FULL JOIN (SELECT * FROM compared WHERE compared.row_hash IS NULL) AS before
                ON before.row_key = after.row_key
            WHERE $3
        ),

        written AS (
            INSERT INTO kpi_engine.published_rows (view_name, row_key, run_id, period, row_values)
            SELECT $1, changed.row_key, $2, changed.period, changed.row_values
            FROM changed
        ),

        filled AS (
            INSERT INTO kpi_engine.published_hashes AS hashes (
                view_name, bucket, row_keys, row_hashes
            )
            SELECT
                $1,
                contents.bucket,
                -- A bucket may become empty.
                coalesce(
                    array_agg(contents.row_key) FILTER (WHERE contents.row_hash IS NOT NULL), '{}'),
                coalesce(
                    array_agg(contents.row_hash) FILTER (WHERE contents.row_hash IS NOT NULL), '{}')
            FROM (
                SELECT compared.bucket, compared.row_key, compared.row_hash
                FROM compared
                WHERE
                    compared.row_hash IS NOT NULL
                    AND compared.bucket IN (SELECT changed.bucket FROM changed)
                UNION ALL
                SELECT changed.bucket, changed.row_key, changed.row_hash
                FROM changed
            ) AS contents
            GROUP BY contents.bucket
            ON CONFLICT (view_name, bucket) DO UPDATE
            SET row_keys = excluded.row_keys, row_hashes = excluded.row_hashes
        )

        SELECT
            (SELECT count(compared.row_hash) FROM compared),
            (SELECT count(*) FROM changed),
            (SELECT min(changed.period) FROM changed),
            (
                SELECT jsonb_object_agg(column_nulls.name, column_nulls.rows)
                FROM (
                    SELECT ARRAY[%4$s] AS counts FROM %3$s AS kpi TABLESAMPLE SYSTEM (100)
                ) AS counted
                CROSS JOIN LATERAL unnest($6, counted.counts) AS column_nulls (name, rows)
                WHERE column_nulls.rows > 0
            )
        $statement$,
        v_key_columns,
        v_values,
        p_relation,
        kpi_engine.column_list(v_columns, 'count(*) - count(kpi.%I)'),
        v_key_values
    )
    INTO shown, changed, first_period, null_counts
    USING
        p_view_name, p_run_id, p_keeps_rows, p_place,
        hash_array_extended(v_columns || v_kinds, 0), v_columns;
    null_counts := coalesce(null_counts, '{}');
END;
$note_rows$;

COMMENT ON FUNCTION kpi_engine.note_rows(
    regclass, text, bigint, text[], integer, boolean
) IS
'Writes kpi_engine.published_rows, published_hashes and published_layouts: the rows of a view that '
'are other ones than at the last publish. p_place: where in the key p_key its time is, from 0. '
'Returns how many rows the view shows, how many changed, the first period of those (NULL without '
'a time), and how many have NULL, by column. '
'Without p_keeps_rows it only counts. Internal to kpi_engine.note_publication().';

REVOKE ALL ON FUNCTION kpi_engine.note_rows(
    regclass, text, bigint, text[], integer, boolean
) FROM public;
