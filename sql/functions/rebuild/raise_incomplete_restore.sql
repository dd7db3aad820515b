-- Raises an error: a dump without the package's own rows was restored.
--
-- Invariant: it always raises. Its caller has just found that a row is missing that is never
-- deleted.

CREATE OR REPLACE FUNCTION kpi_engine.raise_incomplete_restore()
RETURNS void
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $raise_incomplete_restore$
BEGIN
    RAISE EXCEPTION 'teloo-analytics was restored without its data'
        USING ERRCODE = 'object_not_in_prerequisite_state',
              DETAIL = 'Its own tables are empty, as after pg_dump --schema-only or '
                       '--exclude-table-data; nothing was changed.',
              HINT = 'Install it anew: make uninstall; make migrate; then '
                     'SELECT * FROM refresh_all_mv();';
END;
$raise_incomplete_restore$;

COMMENT ON FUNCTION kpi_engine.raise_incomplete_restore() IS
'Raises 55000: the package was restored without its data, and has to be installed anew. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.raise_incomplete_restore() FROM public;
