-- Writes the one statement with which a refresh brings a derived table up to date.
--
-- Invariant: it does not write unchanged rows. If other tables read this one, it leaves the changed
-- rows for them in the work table changed_<table>. It counts more than 0 rows if something changed.
-- Kept by key: a definition that gives two rows for one key fails.

CREATE OR REPLACE FUNCTION kpi_engine.upkeep_statement(p_table kpi_engine.derived_tables)
RETURNS text
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $upkeep_statement$
    SELECT format(
        'WITH %1$s%2$s,
         deleted AS (
             DELETE FROM kpi_engine.%3$I AS target USING different
             WHERE different.is_gone AND %4$s%10$s
         ),
         updated AS (
             UPDATE kpi_engine.%3$I AS target SET (%5$s) = ROW(%6$s)
             FROM different
             WHERE NOT different.is_new AND NOT different.is_gone AND %4$s%11$s
         ),
         inserted AS (
             INSERT INTO kpi_engine.%3$I (%7$s)
             SELECT %7$s FROM different WHERE different.is_new
         )%9$s
         %8$s',
        (
            SELECT string_agg(format(
                '%I AS NOT MATERIALIZED (SELECT * FROM kpi_engine.%I), ',
                replacement.name, replacement.relation
            ), '')
            FROM unnest(p_table.reads) AS read (name)
            CROSS JOIN LATERAL (VALUES
                ('changed_' || read.name, 'changed_' || read.name),
                ('after_' || read.name, read.name)
            ) AS replacement (name, relation)
            -- Each one costs time to plan.
            WHERE p_table.changes ~ format('\m%s\M', replacement.name)
        ),
        p_table.changes,
        p_table.table_name,
        kpi_engine.column_list(p_table.key_columns, 'target.%1$I = different.%1$I', ' AND '),
        kpi_engine.column_list(p_table.value_columns),
        kpi_engine.column_list(p_table.value_columns, 'different.%1$I'),
        kpi_engine.column_list(p_table.key_columns || p_table.value_columns),
        CASE
            WHEN
                -- A site notes the keys for its hub, too.
                p_table.upkeep = 'key' OR EXISTS (
                    SELECT FROM kpi_engine.derived_tables AS reader
                    WHERE p_table.table_name = ANY (reader.reads)
                )
                THEN format(
                    'INSERT INTO kpi_engine.%I (sign, %s) %s',
                    'changed_' || p_table.table_name,
                    kpi_engine.column_list(p_table.key_columns || p_table.value_columns),
                    kpi_engine.rows_that_change(p_table)
                )
            ELSE 'SELECT FROM different'
        END,
        -- An UPDATE would take one of several rows. The primary key refuses them.
        CASE WHEN p_table.upkeep = 'key' THEN format(
            ',
         refused AS (
             INSERT INTO kpi_engine.%1$I (%2$I)
             SELECT %2$I FROM fresh GROUP BY %2$I HAVING count(*) > 1
         )',
            p_table.table_name, p_table.key_columns[1]
        ) END,
        kpi_engine.only_keys(p_table, 'different.is_gone'),
        kpi_engine.only_keys(p_table, 'NOT different.is_new AND NOT different.is_gone')
    );
$upkeep_statement$;

COMMENT ON FUNCTION kpi_engine.upkeep_statement(kpi_engine.derived_tables) IS
'The statement that brings a derived table up to date: $1 are the keys to compute again (kept by '
'key), $2 is the day with which windows ended before. Internal; see '
'analytics.derived_statements().';

REVOKE ALL ON FUNCTION kpi_engine.upkeep_statement(kpi_engine.derived_tables) FROM public;
