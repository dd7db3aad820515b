-- Tells whether the indexes of this database may be in an order that the server no longer has.
--
-- Invariant: NULL, or the indexes on text were made by another version of the default collation. A
-- lookup in such an index can miss rows without an error, and that gives a wrong number. PostgreSQL
-- itself only warns, once for each connection.

CREATE OR REPLACE FUNCTION kpi_engine.collation_fault()
RETURNS text
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $collation_fault$
BEGIN
    RETURN (
        SELECT format(
            'the indexes of this database were made with version %s of its collation, and the '
            'server has version %s now: a lookup by text may miss rows',
            pg_database.datcollversion, kpi_engine.collation_version()
        )
        FROM pg_database
        WHERE
            pg_database.datname = current_database()
            AND pg_database.datcollversion <> kpi_engine.collation_version()
    );
END;
$collation_fault$;

COMMENT ON FUNCTION kpi_engine.collation_fault() IS
'What is wrong if an update of the operating system changed the order of letters under the indexes '
'of this database; NULL if nothing is. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.collation_fault() FROM public;
