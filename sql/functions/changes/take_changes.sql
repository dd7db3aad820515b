-- Takes all pending changes for a refresh.
--
-- Invariant: when the transaction commits, these changes no longer wait. If it rolls back, they
-- wait again. An unfinished rebuild still sees them (is_applied).

CREATE OR REPLACE FUNCTION kpi_engine.take_changes()
RETURNS TABLE (entity text, keys uuid[])
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET row_security = off
SET random_page_cost = 1.1
SET jit = off
AS $take_changes$
BEGIN
    PERFORM kpi_engine.hold_change_log();
    PERFORM kpi_engine.give_up_rebuild();
    IF EXISTS (SELECT FROM kpi_engine.rebuild_batches) THEN
        PERFORM kpi_engine.hold_source();
        PERFORM kpi_engine.compact_change_log();
        RETURN QUERY
        WITH taken AS (
            UPDATE kpi_engine.pending_changes SET is_applied = true
            WHERE NOT pending_changes.is_applied
            RETURNING pending_changes.entity, pending_changes.key
        )

        SELECT taken.entity, array_agg(taken.key) FROM taken GROUP BY taken.entity;
        RETURN;
    END IF;
    IF NOT EXISTS (SELECT FROM kpi_engine.change_log)
        AND NOT EXISTS (SELECT FROM kpi_engine.lost_changes)
        AND NOT EXISTS (SELECT FROM kpi_engine.pending_changes) THEN
        RETURN;
    END IF;
    -- What is taken is read. Offers are looked up below.
    PERFORM kpi_engine.hold_source();
    RETURN QUERY
    WITH logged AS (
        DELETE FROM kpi_engine.change_log
        RETURNING change_log.entity, change_log.key
    ),

    lost AS (
        DELETE FROM kpi_engine.lost_changes
        RETURNING lost_changes.relation
    ),

    waiting AS (
        DELETE FROM kpi_engine.pending_changes
        RETURNING pending_changes.entity, pending_changes.key
    ),

    distinct_key AS MATERIALIZED (
        SELECT
            logged.entity,
            coalesce(logged.key, '00000000-0000-0000-0000-000000000000') AS key
        FROM logged
        UNION
        SELECT 'everything', kpi_engine.lost_key() FROM lost
        UNION
        SELECT waiting.entity, waiting.key FROM waiting
    ),

    unknown AS (
        -- It may have been a table of another service, whose view may fail in this refresh.
        UPDATE kpi_engine.outside_sources SET is_changed = true
        WHERE
            NOT outside_sources.is_changed
            AND EXISTS (
                SELECT FROM distinct_key
                WHERE
                    distinct_key.entity = 'everything'
                    AND distinct_key.key = kpi_engine.lost_key()
            )
    ),

    resolved AS (
        SELECT distinct_key.entity, distinct_key.key
        FROM distinct_key
        WHERE distinct_key.entity <> 'oferta'
        UNION
        SELECT 'solicitud', offers.request
        FROM kpi_engine.requests_of_offers(ARRAY(
            SELECT distinct_key.key FROM distinct_key WHERE distinct_key.entity = 'oferta'
        )) AS offers (request)
    )

    SELECT resolved.entity, array_agg(resolved.key) FROM resolved GROUP BY resolved.entity;
END;
$take_changes$;

COMMENT ON FUNCTION kpi_engine.take_changes() IS
'Takes all pending changes of kpi_engine.change_log and kpi_engine.pending_changes: for each '
'entity the keys, each once. Internal: the caller holds the refresh lock.';

REVOKE ALL ON FUNCTION kpi_engine.take_changes() FROM public;
