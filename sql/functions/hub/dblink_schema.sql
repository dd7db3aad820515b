-- Names the schema of the extension dblink.

CREATE OR REPLACE FUNCTION kpi_engine.dblink_schema()
RETURNS text
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $dblink_schema$
DECLARE
    v_schema constant text := (
        SELECT pg_extension.extnamespace::regnamespace::text
        FROM pg_extension
        WHERE pg_extension.extname = 'dblink'
    );
BEGIN
    IF v_schema IS NULL THEN
        RAISE EXCEPTION 'a hub needs the extension dblink'
            USING ERRCODE = 'undefined_object',
                  HINT = 'As a superuser: CREATE EXTENSION dblink; GRANT USAGE ON FOREIGN DATA WRAPPER '
                         'dblink_fdw TO analytics_owner;';
    END IF;
    RETURN v_schema;
END;
$dblink_schema$;

COMMENT ON FUNCTION kpi_engine.dblink_schema() IS
'Schema of the extension dblink, quoted. Error 42704 where it is missing. Internal to the hub.';

REVOKE ALL ON FUNCTION kpi_engine.dblink_schema() FROM public;
