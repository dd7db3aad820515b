-- Gives a view that was built anew the grants that others had on the old one.
--
-- Invariant: the roles of the package get what the file of the view says, and no more. A warning
-- names each index that is lost, since it is not in the file.

CREATE OR REPLACE FUNCTION kpi_engine.hand_over_rights(p_old regclass, p_new regclass)
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $hand_over_rights$
DECLARE
    v_statement text;
    v_index text;
BEGIN
    FOR v_statement IN
        SELECT format(
            'GRANT %s ON %s TO %I%s', given.privilege_type, p_new, pg_roles.rolname,
            CASE WHEN given.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
        )
        FROM pg_class
        CROSS JOIN LATERAL aclexplode(pg_class.relacl) AS given
        INNER JOIN pg_roles ON pg_roles.oid = given.grantee
        WHERE
            pg_class.oid = p_old
            AND pg_roles.rolname NOT IN (
                SELECT roles.role_name FROM kpi_engine.package_roles() AS roles
            )
    LOOP
        EXECUTE v_statement;
    END LOOP;
    FOR v_index IN
        SELECT pg_class.relname
        FROM pg_index
        INNER JOIN pg_class ON pg_class.oid = pg_index.indexrelid
        WHERE pg_index.indrelid = p_old
        EXCEPT
        SELECT pg_class.relname
        FROM pg_index
        INNER JOIN pg_class ON pg_class.oid = pg_index.indexrelid
        WHERE pg_index.indrelid = p_new
    LOOP
        RAISE WARNING '% was rebuilt without index %, which is not in its file', p_new, v_index;
    END LOOP;
END;
$hand_over_rights$;

COMMENT ON FUNCTION kpi_engine.hand_over_rights(regclass, regclass) IS
'Gives the new view the grants that roles of others had on the old one; warns of each index that '
'the new one lacks. Internal to make migrate.';

REVOKE ALL ON FUNCTION kpi_engine.hand_over_rights(regclass, regclass) FROM public;
