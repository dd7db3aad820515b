-- Names the role that analytics_owner was renamed to.
--
-- Invariant: no row if there is a role analytics_owner. No row either if the owner of our schema
-- may log in or is a superuser: then a restore left the owners out.

CREATE OR REPLACE FUNCTION kpi_engine.renamed_owner()
RETURNS TABLE (role_name text, statement text)
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $renamed_owner$
    SELECT
        pg_roles.rolname::text AS role_name,
        format('ALTER ROLE %I RENAME TO analytics_owner', pg_roles.rolname) AS statement
    FROM pg_namespace
    INNER JOIN pg_class
        ON pg_class.relnamespace = pg_namespace.oid AND pg_class.relname = 'migration_ledger'
    INNER JOIN pg_roles ON pg_roles.oid = pg_namespace.nspowner
    WHERE
        pg_namespace.nspname = 'kpi_engine'
        AND to_regrole('analytics_owner') IS NULL
        AND NOT pg_roles.rolcanlogin
        AND NOT pg_roles.rolsuper;
$renamed_owner$;

COMMENT ON FUNCTION kpi_engine.renamed_owner() IS
'The present name of the role that was analytics_owner, and the statement that gives it its name '
'back; no row: it has its name. Internal to the doctor and migrate.';

REVOKE ALL ON FUNCTION kpi_engine.renamed_owner() FROM public;
