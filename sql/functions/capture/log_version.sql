-- The catalog rows of the change log and of its writers, as one value to compare.

CREATE OR REPLACE FUNCTION kpi_engine.log_version()
RETURNS text
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $log_version$
BEGIN
    -- PL/pgSQL keeps the plan: each tick calls this.
    RETURN (
        SELECT md5(string_agg(part.row_version, ',' ORDER BY part.kind, part.name))
        FROM (
            SELECT 1, pg_namespace.nspname, concat(pg_namespace.xmin, pg_namespace.ctid)
            FROM pg_namespace
            WHERE pg_namespace.nspname = 'kpi_engine'
            UNION ALL
            SELECT 2, pg_class.relname, concat_ws(' ', pg_class.oid, pg_class.xmin, pg_class.ctid)
            FROM pg_class
            WHERE
                pg_class.relnamespace = 'kpi_engine'::regnamespace
                AND pg_class.relname IN ('change_log', 'lost_changes')
            UNION ALL
            SELECT 3, pg_attribute.attname, concat(pg_attribute.xmin, pg_attribute.ctid)
            FROM pg_attribute
            WHERE
                pg_attribute.attrelid = to_regclass('kpi_engine.change_log')
                AND pg_attribute.attnum > 0
            UNION ALL
            SELECT 4, pg_proc.proname, concat_ws(' ', pg_proc.oid, pg_proc.xmin, pg_proc.ctid)
            FROM pg_proc
            WHERE
                pg_proc.pronamespace = 'kpi_engine'::regnamespace
                AND pg_proc.proname = ANY (kpi_engine.noting_functions())
        ) AS part (kind, name, row_version)
    );
END;
$log_version$;

COMMENT ON FUNCTION kpi_engine.log_version() IS
'Fingerprint of the change log, of the trigger functions that write it, and of the rights on them: '
'another value means that changes may have been missed. Internal to change capture.';

REVOKE ALL ON FUNCTION kpi_engine.log_version() FROM public;
