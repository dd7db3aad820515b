-- Begins a rebuild: cuts all requests into batches, and empties the sets to fill.
--
-- Invariant: the batches cover all changes that were committed before, because their snapshots are
-- later. Later changes carry the new epoch, and are applied after the swap. Without change capture
-- nobody knows what moved from one batch to another: then there is one batch, of one snapshot.

CREATE OR REPLACE FUNCTION kpi_engine.plan_rebuild(p_table_names text[] DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET row_security = off
SET jit = off
AS $plan_rebuild$
DECLARE
    v_capture constant jsonb := kpi_engine.capture_signature();
    v_batch_requests constant bigint := CASE
        WHEN v_capture IS NOT NULL THEN analytics.setting('rebuild_batch_requests')::bigint
        ELSE 9223372036854775807
    END;
    v_planned_at constant timestamptz := clock_timestamp();
BEGIN
    PERFORM kpi_engine.compact_change_log();
    PERFORM kpi_engine.empty_other_sets();
    UPDATE kpi_engine.derived_tables SET
        rebuilding_by = CASE
            WHEN p_table_names IS NULL OR derived_tables.table_name = ANY (p_table_names)
                THEN coalesce((
                    SELECT rules.checksum FROM kpi_engine.rules_of_derived_tables() AS rules
                    WHERE rules.table_name = derived_tables.table_name
                ), '')
        END;
    DELETE FROM kpi_engine.rebuild_batches;
    UPDATE kpi_engine.engine_state SET epoch = epoch + 1;

    -- Bounds are instants, so that the requests of a batch lie together in the source.
    INSERT INTO kpi_engine.rebuild_batches (
        batch, created_after, created_until, requests, epoch, time_zone, rules_checksum,
        capture_signature, reasons_noted, planned_at
    )
    WITH numbered AS (
        SELECT
            src_solicitudes.created_at_as_stored AS created_at,
            (row_number() OVER (ORDER BY src_solicitudes.created_at_as_stored) - 1)
            / v_batch_requests AS bucket
        FROM kpi_engine.src_solicitudes
        WHERE
            src_solicitudes.created_at_as_stored IS NOT NULL
            AND EXISTS (
                SELECT FROM kpi_engine.derived_tables
                WHERE
                    derived_tables.source_view = 'src_solicitudes'
                    AND derived_tables.rebuilding_by IS NOT NULL
            )
    ),

    bounded AS (
        -- Equal instants stay together: a bound that repeats makes one batch.
        SELECT
            max(bucketed.created_until) AS created_until,
            sum(bucketed.requests) AS requests
        FROM (
            SELECT
                max(numbered.created_at) AS created_until,
                count(*) AS requests
            FROM numbered
            GROUP BY numbered.bucket
        ) AS bucketed
        GROUP BY bucketed.created_until
    )

    SELECT
        row_number() OVER ordered,
        lag(bounded.created_until) OVER ordered,
        CASE
            WHEN lead(bounded.created_until) OVER ordered IS NOT NULL THEN bounded.created_until
        END,
        bounded.requests,
        engine_state.epoch,
        analytics.setting('time_zone'),
        kpi_engine.rules_checksum(),
        v_capture,
        engine_state.reasons_noted,
        v_planned_at
    FROM bounded
    CROSS JOIN kpi_engine.engine_state
    WINDOW ordered AS (ORDER BY bounded.created_until);
    IF NOT FOUND THEN
        INSERT INTO kpi_engine.rebuild_batches (
            batch, requests, epoch, time_zone, rules_checksum, capture_signature, reasons_noted,
            planned_at
        )
        SELECT
            1, 0, engine_state.epoch, analytics.setting('time_zone'), kpi_engine.rules_checksum(),
            v_capture, engine_state.reasons_noted, v_planned_at
        FROM kpi_engine.engine_state;
    END IF;
END;
$plan_rebuild$;

COMMENT ON FUNCTION kpi_engine.plan_rebuild(text[]) IS
'Begins a rebuild of these derived tables, or of all (NULL), and cuts it into batches; an '
'unfinished one is given up. Internal: the caller holds the refresh lock.';

REVOKE ALL ON FUNCTION kpi_engine.plan_rebuild(text[]) FROM public;
