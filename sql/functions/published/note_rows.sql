-- Writes the rows of a view that changed since its last publish into the history.
--
-- Invariant: afterwards the last version of each row in the history is the row of the view, and the
-- history has no other row. A row whose hash is the same did not change: that another row has the
-- same 64 bits is less likely than a fault of the hardware. The hash is that of the row as text.
-- hash_record_extended() would not do: it takes a number and its negative for the same.
-- One statement reads the view. Only changed rows become objects. TABLESAMPLE: as in
-- kpi_engine.count_rows(), this is no reader's scan.

CREATE OR REPLACE FUNCTION kpi_engine.note_rows(
    p_relation regclass,
    p_view_name text,
    p_run_id bigint,
    p_key text[],
    p_place integer,
    p_keeps_rows boolean,
    OUT shown bigint,
    OUT changed bigint,
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
BEGIN
    SELECT array_agg(pg_attribute.attname::text ORDER BY pg_attribute.attnum) INTO v_columns
    FROM pg_attribute
    WHERE
        pg_attribute.attrelid = p_relation
        AND pg_attribute.attnum > 0
        AND NOT pg_attribute.attisdropped
        AND pg_attribute.attname <> 'calculado_at';
    EXECUTE format(
        $statement$
        WITH shown AS MATERIALIZED (
            SELECT
                jsonb_build_array(%1$s) AS row_key,
                hashtextextended(ROW(%2$s)::text, 0) AS row_hash,
                kpi AS whole
            FROM %3$s AS kpi TABLESAMPLE SYSTEM (100)
        ),

        changed AS MATERIALIZED (
            SELECT
                coalesce(shown.row_key, noted.row_key) AS row_key,
                shown.row_hash,
                noted.place,
                -- A row that is gone has no contents.
                CASE WHEN shown.row_hash IS NOT NULL THEN (
                    SELECT to_jsonb(part) FROM (SELECT %5$s) AS part
                ) END AS contents
            FROM shown
            FULL JOIN (
                SELECT
                    published_hashes.row_key,
                    published_hashes.row_hash,
                    published_hashes.ctid AS place
                FROM kpi_engine.published_hashes
                WHERE published_hashes.view_name = $1
            ) AS noted ON noted.row_key = shown.row_key
            WHERE shown.row_hash IS DISTINCT FROM noted.row_hash AND $3
        ),

        written AS (
            INSERT INTO kpi_engine.published_rows (view_name, row_key, run_id, period, contents)
            SELECT $1, changed.row_key, $2, (changed.row_key ->> $4)::date, changed.contents
            FROM changed
        ),

        removed AS (
            DELETE FROM kpi_engine.published_hashes AS hash
            USING changed
            WHERE hash.ctid = changed.place AND changed.row_hash IS NULL
        ),

        moved AS (
            UPDATE kpi_engine.published_hashes AS hash SET row_hash = changed.row_hash
            FROM changed
            WHERE hash.ctid = changed.place AND changed.row_hash IS NOT NULL
        ),

        added AS (
            INSERT INTO kpi_engine.published_hashes (view_name, row_key, row_hash)
            SELECT $1, changed.row_key, changed.row_hash
            FROM changed
            WHERE changed.place IS NULL
        )

        SELECT
            (SELECT count(*) FROM shown),
            (SELECT count(*) FROM changed),
            (SELECT jsonb_build_object(%4$s) FROM %3$s AS kpi TABLESAMPLE SYSTEM (100))
        $statement$,
        kpi_engine.column_list(p_key, 'kpi.%I'),
        kpi_engine.column_list(v_columns, 'kpi.%I'),
        p_relation,
        kpi_engine.column_list(v_columns, '%1$L, nullif(count(*) - count(kpi.%1$I), 0)'),
        kpi_engine.column_list(v_columns, '(shown.whole).%I')
    ) INTO shown, changed, null_counts USING p_view_name, p_run_id, p_keeps_rows, p_place;
END;
$note_rows$;

COMMENT ON FUNCTION kpi_engine.note_rows(
    regclass, text, bigint, text[], integer, boolean
) IS
'Writes kpi_engine.published_rows and published_hashes: the rows of a view that are other ones '
'than at the last publish. p_place: where in the key p_key its time is, from 0. Returns how many '
'rows the view shows, how many changed, and how many have NULL, by column. Without p_keeps_rows it '
'only counts. Internal to kpi_engine.note_publication().';

REVOKE ALL ON FUNCTION kpi_engine.note_rows(
    regclass, text, bigint, text[], integer, boolean
) FROM public;
