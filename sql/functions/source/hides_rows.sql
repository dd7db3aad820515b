-- Tells whether row-level security hides rows of a table from a role.

CREATE OR REPLACE FUNCTION kpi_engine.hides_rows(
    p_reader oid, p_table_owner oid, p_has_policies boolean, p_is_forced boolean
)
RETURNS boolean
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $hides_rows$
    SELECT
        p_has_policies
        AND NOT EXISTS (
            SELECT FROM pg_roles
            WHERE pg_roles.oid = p_reader AND (pg_roles.rolsuper OR pg_roles.rolbypassrls)
        )
        AND (p_is_forced OR NOT pg_has_role(p_reader, p_table_owner, 'USAGE'));
$hides_rows$;

COMMENT ON FUNCTION kpi_engine.hides_rows(oid, oid, boolean, boolean) IS
'True where row-level security applies to a role: p_reader without BYPASSRLS, on a table of '
'p_table_owner with policies, unless the role may act as the owner and they are not forced.';

REVOKE ALL ON FUNCTION kpi_engine.hides_rows(oid, oid, boolean, boolean) FROM public;
