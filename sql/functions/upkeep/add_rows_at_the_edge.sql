-- Adds rows that enter or leave a window to the changed rows of a table.
--
-- Invariant: such a row has two equal lines. One goes, as the row counted for the windows before.
-- One comes, as it counts now. Only a definition that reads window_end makes a difference between
-- them.

CREATE OR REPLACE FUNCTION kpi_engine.add_rows_at_the_edge(
    p_table kpi_engine.derived_tables, p_today_before date, p_today date
)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $add_rows_at_the_edge$
DECLARE
    v_window_days integer[];
    v_rows bigint;
BEGIN
    SELECT array_agg(DISTINCT length.days) INTO v_window_days
    FROM kpi_engine.derived_tables AS reader
    CROSS JOIN LATERAL unnest(reader.window_days) AS length (days)
    WHERE p_table.table_name = ANY (reader.reads);
    IF v_window_days IS NULL THEN
        RETURN 0;
    END IF;
    EXECUTE format(
        'INSERT INTO kpi_engine.%1$I (sign, %2$s)
         SELECT side.sign, %3$s
         FROM kpi_engine.%4$I AS kept
         CROSS JOIN (VALUES (1), (-1)) AS side (sign)
         WHERE
             kept.local_day = ANY ($1)
             AND NOT EXISTS (
                 SELECT FROM kpi_engine.%1$I AS changed WHERE %5$s
             )',
        'changed_' || p_table.table_name,
        kpi_engine.column_list(p_table.key_columns || p_table.value_columns),
        kpi_engine.column_list(p_table.key_columns || p_table.value_columns, 'kept.%1$I'),
        p_table.table_name,
        kpi_engine.column_list(p_table.key_columns, 'changed.%1$I = kept.%1$I', ' AND ')
    ) USING kpi_engine.days_at_the_edge(v_window_days, p_today_before, p_today);
    GET DIAGNOSTICS v_rows := ROW_COUNT;
    RETURN v_rows;
END;
$add_rows_at_the_edge$;

COMMENT ON FUNCTION kpi_engine.add_rows_at_the_edge(kpi_engine.derived_tables, date, date) IS
'Notes the rows of a derived table that enter or leave a window when it ends with p_today instead '
'of p_today_before; returns how many lines it wrote. Internal to the refresh.';

REVOKE ALL ON FUNCTION kpi_engine.add_rows_at_the_edge(kpi_engine.derived_tables, date, date)
FROM public;
