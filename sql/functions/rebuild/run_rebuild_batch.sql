-- Computes the facts of one batch of a rebuild.
--
-- Invariant: a batch is marked finished in the transaction that computed it, so an
-- interrupted rebuild goes on after the last one that was committed.

CREATE OR REPLACE FUNCTION kpi_engine.run_rebuild_batch(p_batch integer)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET row_security = off
SET random_page_cost = 1.1
SET enable_mergejoin = off
SET jit = off
AS $run_rebuild_batch$
DECLARE
    v_batch kpi_engine.rebuild_batches;
    v_started_at constant timestamptz := clock_timestamp();
    v_ids uuid[];
    v_requests bigint;
BEGIN
    SELECT rebuild_batches.* INTO STRICT v_batch
    FROM kpi_engine.rebuild_batches
    WHERE rebuild_batches.batch = p_batch;
    PERFORM kpi_engine.hold_time_zone(v_batch.time_zone);
    EXECUTE format(
        'SELECT array_agg(src_solicitudes.id) FROM kpi_engine.src_solicitudes WHERE %s',
        CASE
            WHEN v_batch.created_after IS NULL AND v_batch.created_until IS NULL THEN 'true'
            WHEN v_batch.created_after IS NULL
                THEN 'created_at_as_stored <= $2 OR created_at_as_stored IS NULL'
            WHEN v_batch.created_until IS NULL THEN 'created_at_as_stored > $1'
            ELSE 'created_at_as_stored > $1 AND created_at_as_stored <= $2'
        END
    ) INTO v_ids USING v_batch.created_after, v_batch.created_until;
    -- A request that was moved meanwhile may come twice; it is in the log then.
    EXECUTE format(
        'INSERT INTO kpi_engine.%I
         SELECT * FROM kpi_engine.recomputed_solicitud_facts($1)
         ON CONFLICT (solicitud_id) DO NOTHING',
        'solicitud_facts' || kpi_engine.inactive_set()
    ) USING coalesce(v_ids, ARRAY[]::uuid[]);
    GET DIAGNOSTICS v_requests := ROW_COUNT;
    UPDATE kpi_engine.rebuild_batches SET
        requests = v_requests,
        started_at = v_started_at,
        finished_at = clock_timestamp()
    WHERE rebuild_batches.batch = p_batch;
    RETURN v_requests;
END;
$run_rebuild_batch$;

COMMENT ON FUNCTION kpi_engine.run_rebuild_batch(integer) IS
'Computes the facts of one batch into the set that is being filled; returns how many. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.run_rebuild_batch(integer) FROM public;
