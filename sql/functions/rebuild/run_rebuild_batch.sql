-- Computes the rows of one batch of a rebuild: requests by created_at.
--
-- Invariant: the transaction that computes a batch also marks it finished. So an interrupted
-- rebuild continues after the last committed batch.

CREATE OR REPLACE FUNCTION kpi_engine.run_rebuild_batch(p_batch integer)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
-- A definition that casts an instant to a day or a text means the same in each session.
SET timezone = 'UTC'
SET row_security = off
SET random_page_cost = 1.1
SET enable_mergejoin = off
SET enable_nestloop = on
SET jit = off
AS $run_rebuild_batch$
DECLARE
    v_batch kpi_engine.rebuild_batches;
    v_started_at constant timestamptz := clock_timestamp();
    v_ids uuid[];
    v_requests bigint := 0;
    v_table kpi_engine.derived_tables;
BEGIN
    PERFORM kpi_engine.distrust_statistics();
    SELECT rebuild_batches.* INTO STRICT v_batch
    FROM kpi_engine.rebuild_batches
    WHERE rebuild_batches.batch = p_batch;
    PERFORM kpi_engine.hold_time_zone(v_batch.time_zone);
    PERFORM kpi_engine.hold_source();
    -- If only tables over other derived tables are rebuilt, there is one empty batch.
    EXECUTE format(
        'SELECT array_agg(src_solicitudes.id) FROM kpi_engine.src_solicitudes WHERE %s',
        CASE
            WHEN v_batch.created_after IS NULL AND v_batch.created_until IS NULL
                THEN format('%L', v_batch.requests > 0 OR NOT EXISTS (
                    SELECT FROM kpi_engine.derived_tables
                    WHERE derived_tables.rebuilding_by IS NULL
                ))
            WHEN v_batch.created_after IS NULL
                THEN 'created_at_as_stored <= $2 OR created_at_as_stored IS NULL'
            WHEN v_batch.created_until IS NULL THEN 'created_at_as_stored > $1'
            ELSE 'created_at_as_stored > $1 AND created_at_as_stored <= $2'
        END
    ) INTO v_ids USING v_batch.created_after, v_batch.created_until;
    FOR v_table IN
        SELECT derived_tables.*
        FROM kpi_engine.derived_tables
        WHERE
            derived_tables.source_view = 'src_solicitudes'
            AND derived_tables.rebuilding_by IS NOT NULL
        ORDER BY derived_tables.table_name
    LOOP
        -- A request that was moved meanwhile may come in two batches; it is in the log then. If it
        -- comes twice in one batch, its definition is wrong: the primary key refuses it.
        EXECUTE format(
            'DELETE FROM kpi_engine.%I WHERE %I = ANY ($1)',
            kpi_engine.set_of(v_table.table_name, true), v_table.key_columns[1]
        ) USING coalesce(v_ids, ARRAY[]::uuid[]);
        EXECUTE format(
            'INSERT INTO kpi_engine.%1$I (%2$s) SELECT %2$s FROM (%3$s) AS computed',
            kpi_engine.set_of(v_table.table_name, true),
            kpi_engine.column_list(v_table.key_columns || v_table.value_columns),
            kpi_engine.query_of_keys(v_table.table_name)
        ) USING coalesce(v_ids, ARRAY[]::uuid[]);
        GET DIAGNOSTICS v_requests := ROW_COUNT;
    END LOOP;
    UPDATE kpi_engine.rebuild_batches SET
        requests = v_requests,
        started_at = v_started_at,
        finished_at = clock_timestamp()
    WHERE rebuild_batches.batch = p_batch;
    RETURN v_requests;
END;
$run_rebuild_batch$;

COMMENT ON FUNCTION kpi_engine.run_rebuild_batch(integer) IS
'Computes the rows of one batch of requests into the sets that are being filled; returns how many '
'requests. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.run_rebuild_batch(integer) FROM public;
