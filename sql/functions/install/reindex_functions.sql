-- Builds the indexes anew that hold values of functions whose bodies changed.

CREATE OR REPLACE FUNCTION kpi_engine.reindex_functions(p_functions text[])
RETURNS text[]
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $reindex_functions$
DECLARE
    v_index record;
    v_names text[] := '{}';
BEGIN
    FOR v_index IN
        WITH RECURSIVE changed AS (
            SELECT pg_proc.oid
            FROM pg_proc
            INNER JOIN pg_namespace ON pg_namespace.oid = pg_proc.pronamespace
            WHERE
                concat_ws('.', nullif(pg_namespace.nspname, 'analytics'), pg_proc.proname)
                = ANY (p_functions)
            UNION
            SELECT pg_depend.objid
            FROM changed
            INNER JOIN pg_depend
                ON pg_depend.refclassid = 'pg_proc'::regclass
                AND pg_depend.refobjid = changed.oid
                AND pg_depend.classid = 'pg_proc'::regclass
        )

        SELECT DISTINCT pg_namespace.nspname, pg_class.relname
        FROM changed
        INNER JOIN pg_depend
            ON pg_depend.refclassid = 'pg_proc'::regclass
            AND pg_depend.refobjid = changed.oid
            AND pg_depend.classid = 'pg_class'::regclass
        INNER JOIN pg_class ON pg_class.oid = pg_depend.objid AND pg_class.relkind = 'i'
        INNER JOIN pg_namespace ON pg_namespace.oid = pg_class.relnamespace
        WHERE pg_namespace.nspname IN (
            SELECT schemas.schema_name FROM kpi_engine.package_schemas() AS schemas
        )
        ORDER BY pg_class.relname
    LOOP
        EXECUTE format('REINDEX INDEX %I.%I', v_index.nspname, v_index.relname);
        v_names := v_names || v_index.relname::text;
    END LOOP;
    RETURN v_names;
END;
$reindex_functions$;

COMMENT ON FUNCTION kpi_engine.reindex_functions(text[]) IS
'Builds the indexes of the package anew that hold values of these functions (with their schema, '
'unless it is analytics), directly or through others; returns their names. Internal to make '
'migrate.';

REVOKE ALL ON FUNCTION kpi_engine.reindex_functions(text[]) FROM public;
