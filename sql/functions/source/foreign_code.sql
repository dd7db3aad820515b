-- Lists code of the owners of source tables that PostgreSQL may run with our rights.
--
-- Invariant: a read of a source table can run no foreign function except the listed ones. To plan a
-- query, PostgreSQL computes constant parts of expressions of indexes, statistics and partition
-- keys of a table, with the rights of the reader. Objects of superusers are trusted.

CREATE OR REPLACE FUNCTION kpi_engine.foreign_code()
RETURNS TABLE (relation oid, object text, routine text, owner text)
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $foreign_code$
    WITH source AS (
        SELECT DISTINCT captured_tables.relation FROM kpi_engine.captured_tables()
        UNION
        -- The tables that the src_ views really read, also if names have moved.
        SELECT dependency.refobjid
        FROM pg_rewrite
        INNER JOIN pg_class ON pg_class.oid = pg_rewrite.ev_class
        INNER JOIN pg_depend AS dependency
            ON dependency.classid = 'pg_rewrite'::regclass
            AND dependency.objid = pg_rewrite.oid
            AND dependency.refclassid = 'pg_class'::regclass
        WHERE
            pg_class.relnamespace = 'kpi_engine'::regnamespace
            AND pg_class.relname LIKE 'src\_%'
            AND dependency.refobjid <> pg_class.oid
    ),

    planned AS (
        -- The table itself depends on what the expressions of its partition key call.
        SELECT
            source.relation,
            'pg_class'::regclass::oid AS class,
            source.relation AS object
        FROM source
        UNION ALL
        SELECT source.relation, 'pg_class'::regclass, pg_index.indexrelid
        FROM source
        INNER JOIN pg_index ON pg_index.indrelid = source.relation
        UNION ALL
        SELECT source.relation, 'pg_statistic_ext'::regclass, pg_statistic_ext.oid
        FROM source
        INNER JOIN pg_statistic_ext ON pg_statistic_ext.stxrelid = source.relation
        UNION ALL
        SELECT source.relation, 'pg_rewrite'::regclass, pg_rewrite.oid
        FROM source
        INNER JOIN pg_rewrite ON pg_rewrite.ev_class = source.relation
        UNION ALL
        SELECT source.relation, 'pg_policy'::regclass, pg_policy.oid
        FROM source
        INNER JOIN pg_policy ON pg_policy.polrelid = source.relation
    )

    SELECT DISTINCT
        planned.relation,
        pg_describe_object(planned.class, planned.object, 0),
        pg_proc.oid::regprocedure::text,
        owner.rolname::text
    FROM planned
    INNER JOIN pg_depend
        ON pg_depend.classid = planned.class
        AND pg_depend.objid = planned.object
        AND pg_depend.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass)
    LEFT JOIN pg_operator
        ON pg_depend.refclassid = 'pg_operator'::regclass
        AND pg_operator.oid = pg_depend.refobjid
    INNER JOIN pg_proc
        ON pg_proc.oid = coalesce(pg_operator.oprcode::oid, pg_depend.refobjid)
    INNER JOIN pg_roles AS owner ON owner.oid = pg_proc.proowner
    WHERE NOT owner.rolsuper AND owner.rolname <> 'analytics_owner';
$foreign_code$;

COMMENT ON FUNCTION kpi_engine.foreign_code() IS
'Functions of others, not superusers, in the expressions of indexes, statistics, partition keys, '
'views and policies of the source tables: PostgreSQL may run them with the rights of '
'analytics_owner. No row: there are none. Internal to the doctor.';

REVOKE ALL ON FUNCTION kpi_engine.foreign_code() FROM public;
