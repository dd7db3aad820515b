-- The checks of the doctor about size, vacuum and indexes.
--
-- Invariant: reads the catalog and the statistics only.
-- SECURITY INVOKER: PostgreSQL shows a superuser the sessions of all roles, and others their own.

CREATE OR REPLACE FUNCTION kpi_engine.doctor_storage(p_check text)
RETURNS TABLE (status text, message text, fixes text[])
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $doctor_storage$
#variable_conflict use_column
DECLARE
    -- So many dead rows are worth a warning, if they are more than the living ones.
    c_dead_rows constant bigint := 50000;
    -- A transaction of this age keeps deleted rows on disk.
    c_long constant interval := interval '1 hour';
    v_schemas constant oid[] := (
        SELECT array_agg(pg_namespace.oid)
        FROM pg_namespace
        INNER JOIN kpi_engine.package_schemas() AS schemas
            ON schemas.schema_name = pg_namespace.nspname
    );
BEGIN
    CASE p_check
        WHEN 'size and dead rows' THEN
            RETURN QUERY
                SELECT
                    'warning',
                    format(
                        '%s has %s dead rows and %s living ones', stat.relid::regclass,
                        stat.n_dead_tup, stat.n_live_tup
                    ),
                    ARRAY[format(
                        'VACUUM %s;  -- outside a transaction block', stat.relid::regclass
                    )]
                FROM pg_stat_all_tables AS stat
                INNER JOIN pg_class ON pg_class.oid = stat.relid
                WHERE
                    pg_class.relnamespace = ANY (v_schemas)
                    AND stat.n_dead_tup > c_dead_rows
                    AND stat.n_dead_tup > stat.n_live_tup
                ORDER BY stat.relid::regclass::text;
            RETURN QUERY
                SELECT
                    'ok',
                    to_char(kpi_engine.package_bytes() / 1048576.0, 'FM999,999,990') || ' MB',
                    ARRAY[]::text[];
        WHEN 'autovacuum of our tables' THEN
            RETURN QUERY
                SELECT
                    'warning',
                    format('autovacuum is off for %s', pg_class.oid::regclass),
                    ARRAY[format(
                        'ALTER %s %s RESET (autovacuum_enabled);',
                        CASE pg_class.relkind WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'TABLE' END,
                        pg_class.oid::regclass
                    )]
                FROM pg_class
                CROSS JOIN LATERAL pg_options_to_table(pg_class.reloptions) AS option
                WHERE
                    pg_class.relnamespace = ANY (v_schemas)
                    AND option.option_name = 'autovacuum_enabled'
                    AND NOT option.option_value::boolean
                ORDER BY pg_class.oid::regclass::text;
        WHEN 'invalid indexes' THEN
            RETURN QUERY
                SELECT
                    'warning',
                    format('index %s was not built to the end', pg_index.indexrelid::regclass),
                    ARRAY[format(
                        '%s INDEX CONCURRENTLY %s;  -- outside a transaction block',
                        -- An interrupted REINDEX CONCURRENTLY leaves such an index.
                        CASE
                            WHEN built.relname ~ '_cc(new|old)[0-9]*$' THEN 'DROP'
                            ELSE 'REINDEX'
                        END,
                        pg_index.indexrelid::regclass
                    )]
                FROM pg_index
                INNER JOIN pg_class AS built ON built.oid = pg_index.indexrelid
                WHERE built.relnamespace = ANY (v_schemas) AND NOT pg_index.indisvalid
                ORDER BY pg_index.indexrelid::regclass::text;
        WHEN 'what holds vacuum back' THEN
            RETURN QUERY
                SELECT
                    'warning',
                    format(
                        'transaction %L of %s is prepared since %s: what was deleted since stays '
                        'on disk', prepared.gid, prepared.owner,
                        to_char(prepared.prepared, 'YYYY-MM-DD HH24:MI')
                    ),
                    ARRAY[format(
                        'ROLLBACK PREPARED %L;  -- or COMMIT PREPARED: ask who prepared it',
                        prepared.gid
                    )]
                FROM pg_prepared_xacts AS prepared
                WHERE
                    prepared.database = current_database()
                    AND prepared.prepared < clock_timestamp() - c_long
                ORDER BY prepared.prepared;
            RETURN QUERY
                SELECT
                    'warning',
                    format(
                        'process %s of %s (%s) has a transaction since %s: what was deleted since '
                        'stays on disk', session.pid, session.usename,
                        coalesce(nullif(session.application_name, ''), 'no application_name'),
                        to_char(session.xact_start, 'YYYY-MM-DD HH24:MI')
                    ),
                    ARRAY[format(
                        'SELECT pg_terminate_backend(%s);  -- or end it there', session.pid
                    )]
                FROM pg_stat_activity AS session
                WHERE
                    session.datname = current_database()
                    AND session.xact_start < clock_timestamp() - c_long
                    AND (session.backend_xmin IS NOT NULL OR session.backend_xid IS NOT NULL)
                    AND session.backend_type = 'client backend'
                    AND session.pid <> pg_backend_pid()
                ORDER BY session.xact_start;
            RETURN QUERY
                SELECT
                    'warning',
                    format(
                        'nobody uses replication slot %s: it keeps WAL, and what vacuum could remove',
                        slot.slot_name
                    ),
                    ARRAY[format(
                        'SELECT pg_drop_replication_slot(%L);  -- unless its reader comes back',
                        slot.slot_name
                    )]
                FROM pg_replication_slots AS slot
                WHERE NOT slot.active
                ORDER BY slot.slot_name;
            RETURN QUERY
                SELECT
                    'unchecked',
                    'transactions of other roles are hidden from this one',
                    ARRAY[format(
                        'GRANT pg_read_all_stats TO %I;  -- as a superuser, to let it see them',
                        current_user
                    )]
                FROM pg_roles
                WHERE
                    pg_roles.rolname = current_user
                    AND NOT pg_roles.rolsuper
                    AND NOT pg_has_role('pg_read_all_stats', 'USAGE');
    END CASE;
END;
$doctor_storage$;

COMMENT ON FUNCTION kpi_engine.doctor_storage(text) IS
'Makes one check of group storage of analytics.doctor(): status, message, fixes. The checks:
size and dead rows: the size of our tables; vacuum has removed their dead rows
autovacuum of our tables: autovacuum is on for each of our tables
invalid indexes: each index was built to the end
what holds vacuum back: no old transaction or replication slot keeps dead rows on disk
Internal.';

REVOKE ALL ON FUNCTION kpi_engine.doctor_storage(text) FROM public;
GRANT EXECUTE ON FUNCTION kpi_engine.doctor_storage(text) TO analytics_operador;
