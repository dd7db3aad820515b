-- Says what stops a subscription most likely, where another one writes into the same tables.
--
-- Invariant: an empty text if its worker had no error, or no other subscription shares a table.

CREATE OR REPLACE FUNCTION kpi_engine.shared_tables_hint(p_subscription text)
RETURNS text
LANGUAGE sql
STABLE PARALLEL RESTRICTED
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $shared_tables_hint$
    SELECT coalesce(
        (
            SELECT format(
                '. It had %s error(s), and %s writes into the same tables: most likely both publishers '
                'have a row with the same id (duplicate key in the log). Give one of them another id '
                'at its publisher and delete it here, and the worker goes on by itself',
                min(stats.apply_error_count),
                string_agg(DISTINCT quote_ident(other.subname), ', ')
            )
            FROM pg_subscription AS stopped
            INNER JOIN pg_stat_subscription_stats AS stats
                ON stats.subid = stopped.oid AND stats.apply_error_count > 0
            INNER JOIN pg_subscription_rel ON pg_subscription_rel.srsubid = stopped.oid
            INNER JOIN pg_subscription_rel AS shared
                ON
                    shared.srrelid = pg_subscription_rel.srrelid
                    AND shared.srsubid <> stopped.oid
            INNER JOIN pg_subscription AS other ON other.oid = shared.srsubid
            WHERE stopped.subname = p_subscription
            HAVING count(*) > 0
        ),
        ''
    );
$shared_tables_hint$;

COMMENT ON FUNCTION kpi_engine.shared_tables_hint(text) IS
'What stops a subscription most likely whose worker had errors, if another subscription writes '
'into the same tables; else an empty text. Internal to kpi_engine.replica_problem().';

REVOKE ALL ON FUNCTION kpi_engine.shared_tables_hint(text) FROM public;
