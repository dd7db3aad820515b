-- Counts how often this session has read each source table as a whole.
--
-- Invariant: as in kpi_engine.scans_so_far(), only a difference within one statement has a meaning.
-- Partitions in other schemas are left out.

CREATE OR REPLACE FUNCTION kpi_engine.source_scans()
RETURNS jsonb
LANGUAGE plpgsql
STABLE PARALLEL RESTRICTED
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $source_scans$
BEGIN
    -- PL/pgSQL keeps the plan: a refresh asks twice.
    RETURN (
        SELECT jsonb_object_agg(pg_class.oid, pg_stat_get_xact_numscans(pg_class.oid))
        FROM kpi_engine.sources()
        INNER JOIN pg_namespace ON pg_namespace.nspname = sources.source_schema
        INNER JOIN pg_class
            ON pg_class.relnamespace = pg_namespace.oid
            AND pg_class.relkind = 'r'
        WHERE pg_stat_get_xact_numscans(pg_class.oid) > 0
    );
END;
$source_scans$;

COMMENT ON FUNCTION kpi_engine.source_scans() IS
'Scans of whole source tables by this session that the statistics do not show yet, by oid. '
'Internal to kpi_engine.apply_changes().';

REVOKE ALL ON FUNCTION kpi_engine.source_scans() FROM public;
