-- Kept by difference: adds the new rows and takes off the old rows.
--
-- Invariant: the definition over the rows that come, minus the definition over the rows that go, is
-- exactly the difference of the sums.
-- A row whose sums are all 0 does not exist. If the row with the lowest or highest value goes, and
-- no new row reaches that value, the group is looked up again.

CREATE OR REPLACE FUNCTION kpi_engine.changes_by_difference(p_table kpi_engine.derived_tables)
RETURNS text
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $changes_by_difference$
    SELECT format(
        'sides AS MATERIALIZED (%1$s),
         moved AS MATERIALIZED (
             SELECT %2$s, %3$s%4$s
             FROM (SELECT * FROM sides WHERE sign = 1) AS come
             FULL JOIN (SELECT * FROM sides WHERE sign = -1) AS gone USING (%2$s)
         ),
         known AS MATERIALIZED (
             SELECT %5$s FROM moved INNER JOIN kpi_engine.%6$I AS kept USING (%2$s)
         ),
         %7$s
         fresh AS MATERIALIZED (
             SELECT %8$s
             FROM (
                 SELECT %2$s, %9$s%10$s
                 FROM moved FULL JOIN known USING (%2$s)%11$s
                 -- A condition may not make other joins of these.
                 OFFSET 0
             ) AS summed
             WHERE %12$s
         )',
        kpi_engine.changed_sides(p_table),
        part.keys,
        kpi_engine.column_list(
            part.sums, 'coalesce(come.%1$I, 0) - coalesce(gone.%1$I, 0) AS %1$I'),
        ', ' || kpi_engine.column_list(
            part.extremes, 'come.%1$I, gone.%1$I AS gone_%1$s'),
        kpi_engine.column_list(p_table.key_columns || p_table.value_columns, 'kept.%1$I'),
        p_table.table_name,
        CASE WHEN part.extremes = ARRAY[]::text[] THEN '' ELSE format(
            'lost AS MATERIALIZED (
                 SELECT %1$s
                 FROM (
                     SELECT %1$s, %2$s AS is_lost FROM moved FULL JOIN known USING (%1$s) OFFSET 0
                 ) AS compared
                 WHERE is_lost
             ),
             again AS MATERIALIZED (SELECT %1$s, %3$s FROM (%4$s) AS groups),',
            part.keys,
            (
                SELECT string_agg(format(
                    '(moved.gone_%1$s = known.%1$I AND NOT coalesce(moved.%1$I %2$s known.%1$I, false))',
                    extreme.key, CASE extreme.value WHEN 'min' THEN '<=' ELSE '>=' END
                ), ' OR ')
                FROM jsonb_each_text(p_table.extremes) AS extreme
            ),
            kpi_engine.column_list(part.extremes),
            kpi_engine.rows_of_groups(p_table, 'lost')
        ) END,
        kpi_engine.column_list(p_table.key_columns || p_table.value_columns),
        kpi_engine.column_list(part.sums, 'coalesce(known.%1$I, 0) + moved.%1$I AS %1$I'),
        (
            SELECT string_agg(format(
                ', CASE WHEN lost.%2$I IS NULL THEN %3$s(known.%1$I, moved.%1$I) ELSE again.%1$I END '
                'AS %1$I',
                extreme.key, p_table.key_columns[1],
                CASE extreme.value WHEN 'min' THEN 'least' ELSE 'greatest' END
            ), '')
            FROM jsonb_each_text(p_table.extremes) AS extreme
        ),
        CASE WHEN part.extremes <> ARRAY[]::text[] THEN format(
            ' FULL JOIN lost USING (%1$s) FULL JOIN again USING (%1$s)', part.keys
        ) END,
        kpi_engine.counts_something(p_table)
    )
    FROM (
        SELECT
            kpi_engine.column_list(p_table.key_columns) AS keys,
            ARRAY(SELECT jsonb_object_keys(p_table.extremes)) AS extremes,
            ARRAY(
                SELECT listed.name
                FROM unnest(p_table.value_columns) WITH ORDINALITY AS listed (name, ordinality)
                WHERE NOT p_table.extremes ? listed.name
                ORDER BY listed.ordinality
            ) AS sums
    ) AS part;
$changes_by_difference$;

COMMENT ON FUNCTION kpi_engine.changes_by_difference(kpi_engine.derived_tables) IS
'WITH queries fresh and known of a table that is kept by difference. Internal to '
'kpi_engine.changes_of().';

REVOKE ALL ON FUNCTION kpi_engine.changes_by_difference(kpi_engine.derived_tables) FROM public;
