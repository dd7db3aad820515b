-- Refuses a declaration of a derived table that the engine could not keep right.

CREATE OR REPLACE FUNCTION kpi_engine.check_declaration(
    p_table_name text,
    p_upkeep text,
    p_key_columns text[],
    p_source_view text,
    p_entities jsonb,
    p_window_days integer[],
    p_extremes jsonb,
    p_reads text[],
    p_columns text[]
)
RETURNS void
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $check_declaration$
DECLARE
    v_definition constant text := kpi_engine.definition_of(p_table_name);
    v_window_days constant integer[] := ARRAY(
        SELECT DISTINCT match.parts[1]::integer + 1
        FROM regexp_matches(v_definition, 'window_end\.today - (\d+)', 'g') AS match (parts)
        ORDER BY 1
    );
    v_key_before constant text[] := (
        SELECT derived_tables.key_columns
        FROM kpi_engine.derived_tables
        WHERE derived_tables.table_name = p_table_name
    );
    v_window_problem constant text := CASE
        WHEN p_upkeep = 'key' AND p_window_days IS NOT NULL AND 'local_day' <> ALL (p_columns)
            THEN 'it has windows, and no column local_day to find the rows by that leave them'
        WHEN p_window_days IS NOT NULL
            THEN kpi_engine.window_problem(v_definition, p_upkeep, p_window_days, p_reads)
    END;
    -- What would be in the way of the view, the sets or the work table.
    v_taken constant text := (
        SELECT 'kpi_engine.' || min(pg_class.relname)
        FROM pg_class
        WHERE
            v_key_before IS NULL
            AND pg_class.relnamespace = 'kpi_engine'::regnamespace
            AND pg_class.relname IN (
                p_table_name, p_table_name || '_a', p_table_name || '_b', 'changed_' || p_table_name
            )
    );
    v_problem text;
BEGIN
    v_problem := CASE
        -- recomputed_, and _a or _b, are put to it.
        WHEN octet_length(p_table_name) > 52 OR p_table_name !~ '^[a-z][a-z0-9_]*$'
            THEN 'its name must be of small letters, digits and _, 52 at most'
        WHEN v_taken IS NOT NULL
            THEN format('the name %s is taken: give the table another one', v_taken)
        WHEN p_upkeep NOT IN ('key', 'difference', 'group')
            THEN format('p_upkeep must be key, difference or group, not %s', p_upkeep)
        WHEN cardinality(p_key_columns) = 0 OR NOT p_key_columns <@ p_columns
            THEN format('p_key_columns (%s) must be columns of the view', p_key_columns)
        WHEN NOT (p_key_columns <@ v_key_before AND p_key_columns @> v_key_before)
            THEN format('its key is %s, and was %s before; the table keeps its key. Give the table '
                'another name. Or take this file and what reads it away, run make migrate, and put '
                'them back',
                array_to_string(p_key_columns, ', '), array_to_string(v_key_before, ', '))
        WHEN p_key_columns @> p_columns
            THEN 'the view must have a column besides its key'
        WHEN p_upkeep = 'key' AND (p_source_view IS NULL OR p_entities IS NULL)
            THEN 'a table that is kept by key needs p_source_view and p_entities'
        WHEN p_upkeep = 'key' AND cardinality(p_key_columns) <> 1
            THEN 'a table that is kept by key has one key column'
        -- A row that comes is not here yet to be found by another column.
        WHEN p_upkeep = 'key' AND NOT kpi_engine.is_hub() AND NOT EXISTS (
            SELECT FROM kpi_engine.noted_tables() AS noted
            WHERE
                'src_' || noted.view_suffix = p_source_view
                AND p_entities ->> noted.fact_entity = p_key_columns[1]
        )
            THEN format('its key %s must be what is noted of %s%s: by another key it would never get '
                'a new row', p_key_columns[1], p_source_view, coalesce((
                    SELECT format(' (p_entities: {"%s": "%s"})', noted.fact_entity, p_key_columns[1])
                    FROM kpi_engine.noted_tables() AS noted
                    WHERE 'src_' || noted.view_suffix = p_source_view
                ), ', and nothing is'))
        WHEN p_upkeep = 'key' AND p_reads <> ARRAY[]::text[]
            THEN format('a table that is kept by key reads the source, not %s', p_reads)
        WHEN p_upkeep = 'key' AND (
            SELECT count(*) > 1
            FROM regexp_matches(
                v_definition, format('\mkpi_engine\.%s\M', p_source_view), 'g'
            )
        )
            THEN format('it reads %s twice, and a change of one row would not compute the rows that '
                'read it from the other side: count them in a table of their own', p_source_view)
        WHEN p_upkeep <> 'key' AND p_reads = ARRAY[]::text[]
            THEN format('a table that is kept by %s reads derived tables, and this one reads none: '
                'add up facts, or declare it key', p_upkeep)
        WHEN
            cardinality(p_reads) > 1
            AND regexp_replace(
                v_definition,
                'CROSS JOIN (kpi_engine\.window_end|LATERAL)', '', 'g'
            ) ~ 'JOIN'
            THEN format('a definition that reads several derived tables (%s) must not join them: '
                'join them in the KPI view, or add their rows up by UNION ALL',
                array_to_string(p_reads, ', '))
        WHEN (v_definition ~ '\mwindow_end\M') <> (p_window_days IS NOT NULL)
            THEN 'a definition that reads window_end needs p_window_days, and no other one does: the '
                'lengths of its windows in days, as in p_window_days => ARRAY[30]'
        WHEN v_window_problem IS NOT NULL
            THEN v_window_problem
        WHEN NOT v_window_days <@ coalesce(p_window_days, ARRAY[]::integer[])
            THEN format('its definition has windows of %s days (window_end.today - n is the first day '
                'of a window of n + 1): name them in p_window_days',
                array_to_string(v_window_days, ', '))
        WHEN p_extremes <> '{}' AND p_upkeep <> 'difference'
            THEN 'p_extremes are for a table that is kept by difference'
        WHEN NOT ARRAY(SELECT jsonb_object_keys(p_extremes)) <@ p_columns
            THEN format('p_extremes (%s) must be columns of the view', p_extremes)
        WHEN EXISTS (
            SELECT FROM jsonb_each_text(p_extremes) AS extreme WHERE extreme.value NOT IN ('min', 'max')
        )
            THEN format('p_extremes (%s) must say min or max', p_extremes)
        ELSE kpi_engine.definition_problem(
            p_table_name, p_upkeep, p_key_columns, p_entities, p_extremes, p_reads
        )
    END;
    IF v_problem IS NOT NULL THEN
        RAISE EXCEPTION 'derived table %: %', p_table_name, v_problem
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = format('Mend recomputed_%1$s.sql: its query, or the call of '
                      'kpi_engine.declare_derived_table() at its end.', p_table_name);
    END IF;
END;
$check_declaration$;

COMMENT ON FUNCTION kpi_engine.check_declaration(
    text, text, text[], text, jsonb, integer[], jsonb, text[], text[]
) IS
'Raises 22023 where a derived table is declared in a way that could not be kept right. Internal to '
'kpi_engine.declare_derived_table().';

REVOKE ALL ON FUNCTION kpi_engine.check_declaration(
    text, text, text[], text, jsonb, integer[], jsonb, text[], text[]
) FROM public;
