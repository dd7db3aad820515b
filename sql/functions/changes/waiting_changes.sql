-- Lists the keys that the next refresh will take, without taking them.
--
-- Invariant: it reads in the caller's snapshot. For each key that is not in the list, the derived
-- tables equal the source in that snapshot.

CREATE OR REPLACE FUNCTION kpi_engine.waiting_changes()
RETURNS kpi_engine.changed_keys[]
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $waiting_changes$
    SELECT coalesce(
        array_agg(ROW(waiting.entity, waiting.keys)::kpi_engine.changed_keys),
        ARRAY[]::kpi_engine.changed_keys[]
    )
    FROM (
        SELECT 'solicitud' AS entity, array_agg(requests.solicitud_id) AS keys
        FROM kpi_engine.waiting_requests() AS requests
        HAVING count(*) > 0
        UNION ALL
        SELECT other.entity, array_agg(other.key)
        FROM (
            SELECT change_log.entity, change_log.key FROM kpi_engine.change_log
            WHERE change_log.entity NOT IN ('solicitud', 'oferta', 'everything')
            UNION
            SELECT pending_changes.entity, pending_changes.key FROM kpi_engine.pending_changes
            WHERE
                pending_changes.entity NOT IN ('solicitud', 'everything')
                AND NOT pending_changes.is_applied
        ) AS other
        GROUP BY other.entity
    ) AS waiting;
$waiting_changes$;

COMMENT ON FUNCTION kpi_engine.waiting_changes() IS
'Ids of changed rows with a pending change, by entity, as far as committed. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.waiting_changes() FROM public;
