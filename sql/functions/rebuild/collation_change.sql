-- Says from which version of the default collation to which one the server went since the last
-- look.
--
-- Invariant: NULL, or keys that are upper-cased text (cities, brands) may be of the earlier
-- version.

CREATE OR REPLACE FUNCTION kpi_engine.collation_change()
RETURNS text
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $collation_change$
BEGIN
    RETURN (
        SELECT format(
            'the server has version %s of the collation, and before it had %s',
            kpi_engine.collation_version(), engine_state.collation_version
        )
        FROM kpi_engine.engine_state
        WHERE engine_state.collation_version <> kpi_engine.collation_version()
    );
END;
$collation_change$;

COMMENT ON FUNCTION kpi_engine.collation_change() IS
'Why everything has to be computed again if the version of the default collation is another one '
'than at the last look; NULL if it is not. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.collation_change() FROM public;
