-- The checks of the doctor about the objects that migrate made.
--
-- Invariant: it asks the catalog and the ledger. Only the machine knows what the files hold.
-- SECURITY DEFINER: operators may not call the functions behind it.

CREATE OR REPLACE FUNCTION kpi_engine.doctor_installation(p_check text, p_default_path text)
RETURNS TABLE (status text, message text, fixes text[])
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY DEFINER
SET standard_conforming_strings = on
SET quote_all_identifiers = off
SET datestyle = 'ISO, YMD'
SET intervalstyle = postgres
SET extra_float_digits = 1
SET bytea_output = hex
SET search_path = pg_catalog, pg_temp
AS $doctor_installation$
#variable_conflict use_column
DECLARE
    v_path constant text := coalesce(kpi_engine.database_search_path(), p_default_path);
    v_moves text[];
    v_older text;
    v_is_well boolean;
BEGIN
    CASE p_check
        WHEN 'data' THEN
            RETURN QUERY
                SELECT
                    'wrong',
                    format(
                        'teloo-analytics was restored without its data: %s is empty', own.table_name
                    ),
                    ARRAY[
                        '-- $ make uninstall',
                        '-- $ make migrate  # docs/runbook.md, Backup and restore',
                        'SELECT * FROM analytics.refresh_all_mv();'
                    ]
                FROM (SELECT kpi_engine.empty_own_table() AS table_name) AS own
                WHERE own.table_name IS NOT NULL;
        WHEN 'objects' THEN
            RETURN QUERY
                SELECT
                    'wrong',
                    format('%s %s is gone', ledger.kind, ledger.full_name),
                    ARRAY['-- $ make migrate']
                FROM (
                    SELECT
                        migration_ledger.kind,
                        CASE
                            WHEN position('.' IN migration_ledger.name) > 0
                                THEN migration_ledger.name
                            ELSE 'analytics.' || migration_ledger.name
                        END AS full_name
                    FROM analytics.migration_ledger
                    -- The check contract knows the src_ views better.
                    WHERE migration_ledger.kind IN ('function', 'view', 'materialized view')
                ) AS ledger
                WHERE
                    CASE ledger.kind
                        WHEN 'function' THEN NOT EXISTS (
                            SELECT FROM pg_proc
                            INNER JOIN pg_namespace ON pg_namespace.oid = pg_proc.pronamespace
                            WHERE
                                pg_namespace.nspname = split_part(ledger.full_name, '.', 1)
                                AND pg_proc.proname = split_part(ledger.full_name, '.', 2)
                        )
                        ELSE to_regclass(ledger.full_name) IS NULL
                    END
                ORDER BY ledger.full_name;
            v_is_well := NOT FOUND;
            RETURN QUERY
                SELECT
                    'wrong',
                    format(
                        '%s view(s) have no COMMENT, such as %s (a restore without comments?): the '
                        'catalogue and the gate read those of the KPI views',
                        count(*), min(silent.identity)
                    ),
                    ARRAY['-- $ make migrate']
                FROM (
                    SELECT pg_class.oid::regclass::text AS identity
                    FROM pg_class
                    INNER JOIN pg_namespace ON pg_namespace.oid = pg_class.relnamespace
                    INNER JOIN kpi_engine.package_schemas() AS ours
                        ON ours.schema_name = pg_namespace.nspname
                    INNER JOIN analytics.migration_ledger AS ledger
                        ON ledger.name IN (
                            pg_class.relname, format('%s.%s', pg_namespace.nspname, pg_class.relname)
                        )
                    WHERE
                        pg_class.relkind IN ('v', 'm')
                        AND obj_description(pg_class.oid, 'pg_class') IS NULL
                ) AS silent
                HAVING count(*) > 0;
            IF v_is_well AND NOT FOUND THEN
                RETURN QUERY
                    SELECT
                        'ok',
                        format(
                            '%s files applied, the last one %s', count(*),
                            to_char(max(migration_ledger.applied_at), 'YYYY-MM-DD HH24:MI TZ')
                        ),
                        ARRAY[]::text[]
                    FROM analytics.migration_ledger;
            END IF;
        WHEN 'search_path' THEN
            RETURN QUERY
                SELECT
                    'wrong',
                    format('the search_path of the database (%s) has no schema analytics', v_path),
                    ARRAY['-- $ make migrate']
                WHERE 'analytics' NOT IN (
                    SELECT elements.schema_name FROM kpi_engine.path_elements(v_path) AS elements
                );
            SELECT
                array_agg(older.statement || ';' ORDER BY older.object_name),
                string_agg(older.object_name, ', ' ORDER BY older.object_name)
            INTO v_moves, v_older
            FROM kpi_engine.shadowing_objects(v_path, (
                SELECT array_agg(views.view_name) FROM kpi_engine.materialized_views() AS views
            )) AS older;
            IF v_older IS NOT NULL THEN
                RETURN QUERY
                    SELECT
                        'wrong',
                        'older objects would win over ours on the search_path: ' || v_older,
                        ARRAY['CREATE SCHEMA IF NOT EXISTS analytics_previous;'] || v_moves;
            END IF;
            RETURN QUERY SELECT 'ok', v_path, ARRAY[]::text[];
        WHEN 'owners' THEN
            RETURN QUERY
                SELECT
                    CASE
                        WHEN object.kind IN ('MATERIALIZED VIEW', 'SCHEMA') THEN 'wrong'
                        WHEN object.is_definer AND pg_roles.rolsuper THEN 'wrong'
                        ELSE 'warning'
                    END,
                    format(
                        '%s %s belongs to %s: %s',
                        lower(object.kind), object.identity, pg_get_userbyid(object.owner),
                        CASE
                            WHEN object.is_definer AND pg_roles.rolsuper
                                THEN 'it runs with the rights of a superuser, whoever calls it'
                            ELSE 'analytics_owner can''t refresh or change it'
                        END
                    ),
                    ARRAY[format(
                        'ALTER %s %s OWNER TO analytics_owner;', object.kind, object.identity
                    )]
                FROM (
                    SELECT
                        CASE pg_class.relkind
                            WHEN 'm' THEN 'MATERIALIZED VIEW'
                            WHEN 'v' THEN 'VIEW'
                            WHEN 'S' THEN 'SEQUENCE'
                            WHEN 'f' THEN 'FOREIGN TABLE'
                            ELSE 'TABLE'
                        END AS kind,
                        pg_class.oid::regclass::text AS identity,
                        pg_class.relowner AS owner,
                        pg_class.relnamespace AS schema,
                        false AS is_definer
                    FROM pg_class
                    WHERE
                        pg_class.relkind IN ('m', 'v', 'S', 'f', 'r', 'p')
                        -- A sequence of a column follows its table.
                        AND NOT EXISTS (
                            SELECT FROM pg_depend
                            WHERE
                                pg_class.relkind = 'S'
                                AND pg_depend.objid = pg_class.oid
                                AND pg_depend.classid = 'pg_class'::regclass
                                AND pg_depend.deptype IN ('a', 'i')
                        )
                    UNION ALL
                    SELECT
                        'TYPE',
                        pg_type.oid::regtype::text,
                        pg_type.typowner,
                        pg_type.typnamespace,
                        false
                    FROM pg_type
                    LEFT JOIN pg_class ON pg_class.oid = pg_type.typrelid
                    WHERE pg_type.typtype IN ('d', 'e', 'r') OR pg_class.relkind = 'c'
                    UNION ALL
                    SELECT
                        'ROUTINE',
                        pg_proc.oid::regprocedure::text,
                        pg_proc.proowner,
                        pg_proc.pronamespace,
                        pg_proc.prosecdef
                    FROM pg_proc
                    UNION ALL
                    SELECT
                        'SCHEMA',
                        quote_ident(pg_namespace.nspname),
                        pg_namespace.nspowner,
                        pg_namespace.oid,
                        false
                    FROM pg_namespace
                ) AS object
                INNER JOIN pg_namespace ON pg_namespace.oid = object.schema
                INNER JOIN kpi_engine.package_schemas() AS ours
                    ON ours.schema_name = pg_namespace.nspname
                LEFT JOIN pg_roles ON pg_roles.oid = object.owner
                WHERE
                    pg_get_userbyid(object.owner)
                    -- Objects of an owner that was renamed have the right owner: check attributes
                    -- says which name it has to get back.
                    <> coalesce(
                        (SELECT renamed.role_name FROM kpi_engine.renamed_owner() AS renamed),
                        'analytics_owner'
                    )
                -- Schemas first: who is no superuser may give a view only to a role that may create
                -- in its schema.
                ORDER BY object.kind <> 'SCHEMA', object.kind, object.identity;
        WHEN 'derived tables' THEN
            RETURN QUERY
                SELECT
                    'warning',
                    format(
                        'nothing reads derived table %s, and each refresh keeps it up to date',
                        unread.table_name
                    ),
                    ARRAY[
                        '-- $ rm sql/' || ledger.file,
                        '-- $ make migrate'
                    ]
                FROM kpi_engine.derived_table_readers() AS unread
                INNER JOIN kpi_engine.derived_tables
                    ON
                        derived_tables.table_name = unread.table_name
                        -- Facts are read by hubs, too.
                        AND derived_tables.upkeep <> 'key'
                LEFT JOIN analytics.migration_ledger AS ledger
                    ON ledger.name = format('kpi_engine.%s', 'recomputed_' || unread.table_name)
                WHERE unread.readers IS NULL
                ORDER BY unread.table_name;
    END CASE;
END;
$doctor_installation$;

COMMENT ON FUNCTION kpi_engine.doctor_installation(text, text) IS
'Makes one check of group installation of analytics.doctor(): status, message, fixes. The checks:
data: our own tables have their rows; a restore may have left them empty
objects: each object that make migrate created exists, and each view has its COMMENT
search_path: the database finds schema analytics, and no older object has one of our names
owners: our objects belong to analytics_owner
derived tables: something reads each table of totals
p_default_path is the search_path of a database that sets none. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.doctor_installation(text, text) FROM public;
GRANT EXECUTE ON FUNCTION kpi_engine.doctor_installation(text, text)
TO analytics_operador;
