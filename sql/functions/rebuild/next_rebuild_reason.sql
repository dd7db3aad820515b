-- Says why the next refresh will compute everything, or whole derived tables, by the pending
-- changes of this moment.

CREATE OR REPLACE FUNCTION kpi_engine.next_rebuild_reason(p_is_settled boolean DEFAULT false)
RETURNS text
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $next_rebuild_reason$
    SELECT coalesce(
        kpi_engine.everything_reason(
            ARRAY(
                SELECT change_log.key FROM kpi_engine.change_log
                WHERE change_log.entity = 'everything'
                UNION
                SELECT pending_changes.key FROM kpi_engine.pending_changes
                WHERE pending_changes.entity = 'everything' AND NOT pending_changes.is_applied
                UNION
                SELECT kpi_engine.lost_key() FROM kpi_engine.lost_changes
                UNION
                SELECT kpi_engine.lost_key()
                WHERE kpi_engine.has_unnoted_changes()
            )
        ),
        CASE
            -- A refresh notes their rows (kpi_engine.settle_capture). A reader can't.
            WHEN NOT p_is_settled
                AND NOT kpi_engine.is_settled()
                AND analytics.setting('change_capture') = 'on'
                THEN analytics.capture_gap()
        END,
        kpi_engine.rebuild_reason((SELECT count(*) FROM kpi_engine.waiting_requests())),
        'the rules of '
        || nullif(array_to_string(kpi_engine.stale_derived_tables(), ', '), '') || ' changed'
    );
$next_rebuild_reason$;

COMMENT ON FUNCTION kpi_engine.next_rebuild_reason(boolean) IS
'Why the next refresh will compute everything, or whole derived tables, again; NULL when it will '
'not; '
'p_is_settled: after kpi_engine.settle_capture(). Internal.';

REVOKE ALL ON FUNCTION kpi_engine.next_rebuild_reason(boolean) FROM public;
