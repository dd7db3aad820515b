-- Gives a view that was built anew the grants that others had on the old one and its columns, and
-- its storage parameters.
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
            'GRANT %s%s ON %s TO %s%s',
            given.privilege_type,
            ' (' || quote_ident(given.column_name) || ')',
            p_new,
            coalesce(quote_ident(pg_roles.rolname), 'PUBLIC'),
            CASE WHEN given.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
        )
        FROM (
            SELECT NULL::name AS column_name, entry.*
            FROM pg_class
            CROSS JOIN LATERAL aclexplode(pg_class.relacl) AS entry
            WHERE pg_class.oid = p_old
            UNION ALL
            SELECT pg_attribute.attname, entry.*
            FROM pg_attribute
            -- The new view may lack the column.
            INNER JOIN pg_attribute AS kept
                ON kept.attrelid = p_new AND kept.attname = pg_attribute.attname
            CROSS JOIN LATERAL aclexplode(pg_attribute.attacl) AS entry
            WHERE pg_attribute.attrelid = p_old
        ) AS given
        LEFT JOIN pg_roles ON pg_roles.oid = given.grantee
        WHERE
            given.grantee = 0
            OR pg_roles.rolname NOT IN (
                SELECT roles.role_name FROM kpi_engine.package_roles() AS roles
            )
        UNION ALL
        SELECT format(
            'ALTER MATERIALIZED VIEW %s SET (%s%I = %L)',
            p_new, storage.prefix, option.option_name, option.option_value
        )
        FROM (
            SELECT '' AS prefix, pg_class.reloptions
            FROM pg_class
            WHERE pg_class.oid = p_old
            UNION ALL
            SELECT 'toast.', toast.reloptions
            FROM pg_class
            INNER JOIN pg_class AS toast ON toast.oid = pg_class.reltoastrelid
            WHERE pg_class.oid = p_old
        ) AS storage
        CROSS JOIN LATERAL pg_options_to_table(storage.reloptions) AS option
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
'Gives the new view the grants that roles of others had on the old one and its columns, and its '
'storage parameters; warns of each index that the new one lacks. Internal to make migrate.';

REVOKE ALL ON FUNCTION kpi_engine.hand_over_rights(regclass, regclass) FROM public;
