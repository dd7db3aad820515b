-- Tells by which version of the default collation the server sorts and upper-cases text now.
--
-- It comes from a library (ICU, glibc). An update of the operating system can bring another one.

CREATE OR REPLACE FUNCTION kpi_engine.collation_version()
RETURNS text
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $collation_version$
BEGIN
    -- The locale C and those that go by code points have none.
    RETURN (
        SELECT coalesce(pg_database_collation_actual_version(pg_database.oid), 'none')
        FROM pg_database
        WHERE pg_database.datname = current_database()
    );
END;
$collation_version$;

COMMENT ON FUNCTION kpi_engine.collation_version() IS
'Version of the default collation of this database that the server has now; none if it has no '
'version. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.collation_version() FROM public;
