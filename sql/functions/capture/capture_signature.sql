-- Shows the state of change capture in the catalog, as one value to compare.
--
-- Invariant: the entry of a table is the same as in an earlier value only if none of its triggers
-- was disabled, dropped or created again in between. (That writes its catalog row.) A partition
-- without working triggers has no triggers in its entry. Entry 0 has the log, the trigger
-- functions, the schema and the rights on them.

CREATE OR REPLACE FUNCTION kpi_engine.capture_signature()
RETURNS jsonb
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $capture_signature$
BEGIN
    IF kpi_engine.capture_obstacle() IS NOT NULL THEN
        RETURN NULL;
    END IF;
    RETURN (
        SELECT CASE
            WHEN bool_and(
                (captured.is_working OR captured.place = 'part' AND pg_class.relkind IN ('r', 'p'))
                AND captured.subscription IS NULL
            ) THEN jsonb_object_agg(
                captured.relation,
                jsonb_build_array(captured.view_name, captured.place, captured.row_version)
            ) || jsonb_build_object('0', jsonb_build_array('', 'log', kpi_engine.log_version()))
        END
        FROM kpi_engine.capture_by_table() AS captured
        INNER JOIN pg_class ON pg_class.oid = captured.relation
    );
END;
$capture_signature$;

COMMENT ON FUNCTION kpi_engine.capture_signature() IS
'For each table of change capture its src_ view, its place and the versions of its triggers; NULL '
'where a table is without a working trigger, or a subscription writes past them. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.capture_signature() FROM public;
