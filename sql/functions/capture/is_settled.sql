-- Tells whether the source and change capture are certainly as they were when they were last found
-- right.

CREATE OR REPLACE FUNCTION kpi_engine.is_settled()
RETURNS boolean
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $is_settled$
BEGIN
    RETURN coalesce((
        SELECT
            engine_state.catalog_fingerprint
            = kpi_engine.catalog_fingerprint(engine_state.watched_relations)
            -- A temporary table of this session below one of them (source_problems).
            AND (pg_my_temp_schema() = 0 OR NOT EXISTS (
                SELECT FROM pg_inherits
                INNER JOIN pg_class ON pg_class.oid = pg_inherits.inhrelid
                WHERE
                    pg_inherits.inhparent = ANY (engine_state.watched_relations)
                    AND pg_class.relnamespace = pg_my_temp_schema()
            ))
        FROM kpi_engine.engine_state
        WHERE engine_state.catalog_fingerprint IS NOT NULL
    ), false);
END;
$is_settled$;

COMMENT ON FUNCTION kpi_engine.is_settled() IS
'True where nothing was done to the operational tables, the src_ views and the triggers of change '
'capture since all was found in order; false where that has to be looked at. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.is_settled() FROM public;
