-- Names this database of this cluster.
--
-- Invariant: the name differs after a restore into a new database, a copy, or pg_upgrade.

CREATE OR REPLACE FUNCTION kpi_engine.database_identity()
RETURNS text
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $database_identity$
BEGIN
    -- PL/pgSQL keeps the plan: each tick calls this.
    RETURN (
        SELECT format('%s/%s', control.system_identifier, pg_database.oid)
        FROM pg_control_system() AS control
        CROSS JOIN pg_database
        WHERE pg_database.datname = current_database()
    );
END;
$database_identity$;

COMMENT ON FUNCTION kpi_engine.database_identity() IS
'Number of the cluster and of the database in it. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.database_identity() FROM public;
