-- Notes what a view shows now: the publish, and the rows that it changed.
--
-- Invariant: afterwards the last version of each row in the history is the row of the view, and the
-- history has no other row. A row whose hash is the same did not change: that another row has the
-- same 64 bits is less likely than a fault of the hardware. The hash is that of the row as text.
-- hash_record_extended() would not do: it takes a number and its negative for the same.
-- One statement reads the view. Only changed rows become objects. TABLESAMPLE: as in
-- kpi_engine.count_rows(), this is no reader's scan.

CREATE OR REPLACE FUNCTION kpi_engine.note_publication(
    p_view_name text, p_run_id bigint, p_requests bigint
)
RETURNS bigint
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
AS $note_publication$
DECLARE
    v_now constant timestamptz := analytics.now();
    v_relation constant regclass := format('analytics.%I', p_view_name)::regclass;
    v_key constant text[] := kpi_engine.key_columns(v_relation);
    v_view record;
    -- Where in the key its time is, from 0; NULL without a time.
    v_place integer;
    v_keeps_rows constant boolean := kpi_engine.history_days(p_view_name) IS DISTINCT FROM 0;
    v_columns text[];
    v_shown bigint;
    v_changed bigint;
    v_nulls jsonb;
BEGIN
    UPDATE kpi_engine.view_state SET noted_relation = v_relation::oid
    WHERE view_state.view_name = p_view_name;
    -- Without a key, a row has no history.
    IF v_key IS NULL THEN
        RETURN 0;
    END IF;
    SELECT * INTO v_view FROM kpi_engine.kpi_views(p_view_name);
    v_place := array_position(v_view.key_columns, v_view.time_column) - 1;
    -- After a restore without the rows of the history.
    IF v_keeps_rows
        AND EXISTS (
            SELECT FROM kpi_engine.publications
            WHERE publications.view_name = p_view_name AND publications.rows_shown > 0
        )
        AND NOT EXISTS (
            SELECT FROM kpi_engine.published_rows WHERE published_rows.view_name = p_view_name
        ) THEN
        DELETE FROM kpi_engine.publications WHERE publications.view_name = p_view_name;
        DELETE FROM kpi_engine.closings WHERE closings.view_name = p_view_name;
        DELETE FROM kpi_engine.published_hashes WHERE published_hashes.view_name = p_view_name;
    END IF;
    IF v_keeps_rows THEN
        -- Rows were not kept until now: the history begins.
        DELETE FROM kpi_engine.publications
        WHERE publications.view_name = p_view_name AND NOT publications.keeps_rows;
        IF v_view.time_column IS NOT NULL THEN
            PERFORM kpi_engine.note_closings(
                p_view_name, p_run_id, v_view.time_column, v_view.grain);
        END IF;
    ELSE
        DELETE FROM kpi_engine.publications WHERE publications.view_name = p_view_name;
        DELETE FROM kpi_engine.closings WHERE closings.view_name = p_view_name;
        DELETE FROM kpi_engine.published_rows WHERE published_rows.view_name = p_view_name;
        DELETE FROM kpi_engine.published_hashes WHERE published_hashes.view_name = p_view_name;
    END IF;

    SELECT array_agg(pg_attribute.attname::text ORDER BY pg_attribute.attnum) INTO v_columns
    FROM pg_attribute
    WHERE
        pg_attribute.attrelid = v_relation
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
        kpi_engine.column_list(v_key, 'kpi.%I'),
        kpi_engine.column_list(v_columns, 'kpi.%I'),
        v_relation,
        kpi_engine.column_list(v_columns, '%1$L, nullif(count(*) - count(kpi.%1$I), 0)'),
        kpi_engine.column_list(v_columns, '(shown.whole).%I')
    ) INTO v_shown, v_changed, v_nulls USING p_view_name, p_run_id, v_keeps_rows, v_place;

    INSERT INTO kpi_engine.publications (
        view_name, run_id, data_version, published_at, calculated_at, rows_shown, rows_changed,
        null_counts, keeps_rows
    )
    SELECT
        p_view_name,
        p_run_id,
        engine_state.data_version,
        v_now,
        CASE WHEN EXISTS (
            SELECT FROM pg_attribute
            WHERE
                pg_attribute.attrelid = v_relation
                AND pg_attribute.attname = 'calculado_at'
                AND NOT pg_attribute.attisdropped
        ) THEN view_state.calculated_at END,
        v_shown,
        v_changed,
        jsonb_strip_nulls(v_nulls),
        v_keeps_rows
    FROM kpi_engine.engine_state
    LEFT JOIN kpi_engine.view_state ON view_state.view_name = p_view_name;
    IF v_changed > 0 AND v_place IS NOT NULL THEN
        PERFORM kpi_engine.note_restatements(
            p_view_name, p_run_id, p_requests, v_key, v_view.grain);
    END IF;
    RETURN v_changed;
END;
$note_publication$;

COMMENT ON FUNCTION kpi_engine.note_publication(text, bigint, bigint) IS
'Notes what a materialized view shows: one row of kpi_engine.publications, and a row of '
'kpi_engine.published_rows for each row that is another one than at the last publish. Then what '
'changed in closed periods. Returns the number of changed rows. p_requests: changed requests '
'that the run applied, or NULL. Internal to kpi_engine.run_refresh() and make migrate: the caller '
'holds the refresh lock.';

REVOKE ALL ON FUNCTION kpi_engine.note_publication(text, bigint, bigint) FROM public;
