-- Moves the change log into the set of pending changes.
--
-- Invariant: DELETE … RETURNING takes the rows, so an uncommitted row stays for the next time. An
-- offer is resolved to its request here. A statement that moves it to another request later notes
-- both requests. A lost change also marks the tables of other services. This waits for another
-- session that takes from the log.

CREATE OR REPLACE FUNCTION kpi_engine.compact_change_log()
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET row_security = off
SET random_page_cost = 1.1
SET jit = off
AS $compact_change_log$
BEGIN
    PERFORM kpi_engine.hold_change_log();
    IF NOT EXISTS (SELECT FROM kpi_engine.change_log)
        AND NOT EXISTS (SELECT FROM kpi_engine.lost_changes) THEN
        RETURN;
    END IF;
    WITH logged AS (
        DELETE FROM kpi_engine.change_log
        RETURNING change_log.entity, change_log.key
    ),

    lost AS (
        DELETE FROM kpi_engine.lost_changes
        RETURNING lost_changes.relation
    ),

    taken AS (
        SELECT logged.entity, logged.key FROM logged
        UNION ALL
        SELECT 'everything', kpi_engine.lost_key() FROM lost
    ),

    distinct_key AS MATERIALIZED (
        SELECT DISTINCT taken.entity, taken.key FROM taken
    ),

    unknown AS (
        -- It may have been a table of another service. A rebuild does not read these.
        UPDATE kpi_engine.outside_sources SET is_changed = true
        WHERE
            NOT outside_sources.is_changed
            AND EXISTS (
                SELECT FROM distinct_key
                WHERE
                    distinct_key.entity = 'everything'
                    AND distinct_key.key = kpi_engine.lost_key()
            )
    )

    INSERT INTO kpi_engine.pending_changes AS pending (entity, key, epoch)
    SELECT resolved.entity, resolved.key, engine_state.epoch
    FROM (
        SELECT
            distinct_key.entity,
            coalesce(distinct_key.key, '00000000-0000-0000-0000-000000000000') AS key
        FROM distinct_key
        WHERE distinct_key.entity <> 'oferta'
        UNION
        SELECT 'solicitud', offers.request
        FROM kpi_engine.requests_of_offers(ARRAY(
            SELECT distinct_key.key FROM distinct_key WHERE distinct_key.entity = 'oferta'
        )) AS offers (request)
    ) AS resolved
    CROSS JOIN kpi_engine.engine_state
    ON CONFLICT (entity, key) DO UPDATE SET epoch = excluded.epoch, is_applied = false;
END;
$compact_change_log$;

COMMENT ON FUNCTION kpi_engine.compact_change_log() IS
'Moves what writers have committed to kpi_engine.change_log into kpi_engine.pending_changes, each '
'key once. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.compact_change_log() FROM public;
