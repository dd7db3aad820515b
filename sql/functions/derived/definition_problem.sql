-- Finds a fault in the query of a derived table, for which the engine could not keep it right.
--
-- Invariant: a table without a fault can be kept as it is declared. By difference, each column that
-- is no key is one sum or count, or a min or max that p_extremes names. grouping_problem() looks at
-- what is grouped. Each change of what the query reads computes rows again. The clock and chance
-- decide nothing.
-- It reads the text that pg_get_viewdef() writes: one column of the outermost query a line,
-- operators and casts in brackets. From PostgreSQL 16 on, columns of an only table stand alone.

CREATE OR REPLACE FUNCTION kpi_engine.definition_problem(
    p_table_name text, p_upkeep text, p_key_columns text[], p_entities jsonb, p_extremes jsonb
)
RETURNS text
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $definition_problem$
DECLARE
    v_view constant regclass := format('kpi_engine.%I', 'recomputed_' || p_table_name)::regclass;
    v_definition constant text := pg_get_viewdef(v_view);
    v_clock constant text := substring(v_definition from kpi_engine.clock_words());
    v_tree constant text := (
        SELECT pg_rewrite.ev_action::text FROM pg_rewrite WHERE pg_rewrite.ev_class = v_view
    );
    v_counts_rows boolean := false;
    v_column record;
    v_unwatched constant text := kpi_engine.unwatched_function(v_view);
    v_problem text;
BEGIN
    IF v_clock ~ 'random|uuid' THEN
        RETURN format('its query has %s…): what comes by chance is never the same again', v_clock);
    END IF;
    IF v_clock IS NOT NULL THEN
        RETURN format('its query reads the clock (%s), and nothing would tell the engine when that '
            'changes a row: read kpi_engine.window_end instead', v_clock);
    END IF;
    IF v_unwatched IS NOT NULL THEN
        RETURN format('its query calls %s, which is not IMMUTABLE: what it reads is not watched',
            v_unwatched);
    END IF;
    SELECT CASE
        WHEN p_upkeep <> 'key' AND NOT seen.is_derived
            THEN format('its query reads %s, whose changes it would not follow: it may read derived '
                'tables and kpi_engine.window_end', seen.name)
        WHEN p_upkeep = 'key' AND kpi_engine.is_hub()
            THEN format('at a hub its query reads %s, and not the copy of the sites'' facts: run make '
                'migrate', seen.name)
        WHEN p_upkeep = 'key' AND seen.src_view IS NULL
            THEN format('its query reads %s, whose changes it would not follow: it may read views '
                'kpi_engine.src_… and kpi_engine.window_end', seen.name)
        WHEN p_upkeep = 'key' AND NOT coalesce(p_entities ? noted.fact_entity, false)
            THEN format('its query reads %s, and a change there computes no row again: %s. Join the '
                'two in the KPI view', seen.name, coalesce(
                    format('it is noted for entity %s, which p_entities does not name', noted.fact_entity),
                    'it is not noted'))
    END
    INTO v_problem
    FROM (
        SELECT DISTINCT
            pg_class.oid::regclass AS name,
            EXISTS (
                SELECT FROM kpi_engine.derived_tables
                WHERE
                    derived_tables.table_name = pg_class.relname
                    AND pg_class.relnamespace = 'kpi_engine'::regnamespace
            ) AS is_derived,
            CASE
                WHEN pg_class.relnamespace = 'kpi_engine'::regnamespace
                    THEN substring(
                        -- Each origin has views of its own.
                        regexp_replace(pg_class.relname, '^src_\d+_', 'src_') from '^src_.*$'
                    )
            END AS src_view
        FROM pg_rewrite
        INNER JOIN pg_depend
            ON pg_depend.classid = 'pg_rewrite'::regclass
            AND pg_depend.objid = pg_rewrite.oid
            AND pg_depend.refclassid = 'pg_class'::regclass
            AND pg_depend.refobjid <> pg_rewrite.ev_class
        INNER JOIN pg_class ON pg_class.oid = pg_depend.refobjid
        WHERE
            pg_rewrite.ev_class = v_view
            AND pg_class.oid <> 'kpi_engine.window_end'::regclass
            -- At a hub, facts are a copy of the facts of its sites, and each pull notes what changed.
            AND NOT (
                pg_class.relnamespace = 'kpi_engine'::regnamespace AND pg_class.relname ~ '^hub_'
            )
    ) AS seen
    LEFT JOIN kpi_engine.noted_tables() AS noted ON 'src_' || noted.view_suffix = seen.src_view
    ORDER BY 1
    LIMIT 1;
    IF v_problem IS NOT NULL OR p_upkeep = 'key' THEN
        RETURN v_problem;
    END IF;

    v_problem := CASE
        WHEN v_tree ~ '\{SUBLINK'
            THEN 'has a subquery in an expression: join what it reads in the KPI view'
        WHEN v_tree ~ ':hasWindowFuncs true'
            THEN 'has a window function: compute it in the KPI view'
        WHEN v_tree ~ ':limit(Count|Offset) \{' OR v_tree ~ ':hasDistinctOn true'
            THEN 'has LIMIT, OFFSET or DISTINCT ON: leave rows out in the KPI view'
        WHEN (
            SELECT count(*)
            FROM regexp_matches(v_definition, '\m(array_agg|string_agg|jsonb?_agg)\(', 'g')
        ) > (SELECT count(*) FROM regexp_matches(v_definition, 'ORDER BY', 'g'))
            THEN 'has array_agg() or the like without ORDER BY, so that its order is chance'
    END;
    IF v_problem IS NOT NULL THEN
        RETURN 'its query ' || v_problem;
    END IF;

    v_problem := kpi_engine.grouping_problem(v_view, p_upkeep, p_key_columns);
    IF v_problem IS NOT NULL THEN
        RETURN 'its query ' || v_problem;
    END IF;
    IF p_upkeep = 'group' THEN
        -- rows_of_groups() reads only the facts of these days.
        RETURN (
            SELECT format('column %1$s of its key is not the %2$s of local_day, and by that name the '
                'engine reads only the facts of that %2$s: give it another name, or write %3$s',
                period.column_name, period.grain, period.right_form)
            FROM (VALUES
                ('dia', 'day', 'local_day'),
                ('semana', 'week', 'date_trunc(''week'', local_day::timestamp)::date'),
                ('mes', 'month', 'date_trunc(''month'', local_day::timestamp)::date')
            ) AS period (column_name, grain, right_form)
            WHERE
                period.column_name = ANY (p_key_columns)
                -- Its own column of that name, or the expression; in parts of the query, too.
                AND v_definition !~ format(
                    CASE period.grain
                        WHEN 'day' THEN '\mlocal_day AS %1$s\M|(?:\.|\n +|SELECT )%1$s,'
                        ELSE 'date_trunc\(''%2$s''::text, \(?(?:\w+\.)?local_day\)?::timestamp[^,]*'
                             '\)\)::date AS %1$s\M|(?:\.|\n +|SELECT )%1$s,'
                    END,
                    period.column_name, period.grain
                )
                AND EXISTS (
                    SELECT FROM kpi_engine.derived_tables
                    WHERE
                        'local_day' = ANY (derived_tables.value_columns)
                        AND v_definition ~ format('\m%s\M', derived_tables.table_name)
                )
            LIMIT 1
        );
    END IF;

    FOR v_column IN
        SELECT
            named.name,
            regexp_replace(named.text, ' AS ("[^"]+"|\w+)$', '') AS expression,
            p_extremes ->> named.name AS extreme,
            format_type(pg_attribute.atttypid, NULL) AS type
        FROM (
            SELECT
                item.text,
                trim('"' FROM coalesce(
                    substring(item.text from ' AS ("[^"]+"|\w+)$'),
                    substring(item.text from '("[^"]+"|\w+)$')
                )) AS name
            FROM regexp_split_to_table(
                substring(v_definition from '(?:^|\n) SELECT\s(.*?)\n   FROM '),
                ',\n    (?! )|,\n        (?=CASE\M)'
            ) AS item (text)
        ) AS named
        LEFT JOIN pg_attribute
            ON pg_attribute.attrelid = v_view AND pg_attribute.attname = named.name
        WHERE named.name <> ALL (p_key_columns)
    LOOP
        v_problem := CASE
            WHEN v_column.extreme IS NOT NULL AND v_column.expression ~ format(
                '^%s\(.*\)( FILTER \(WHERE .*\))?$', v_column.extreme
            )
                THEN NULL
            WHEN v_column.extreme IS NOT NULL
                THEN format('p_extremes says %s', v_column.extreme)
            WHEN v_column.expression ~ '^(min|max)\('
                THEN 'p_extremes must name it'
            WHEN v_column.type IN ('real', 'double precision')
                THEN 'sums of this type drift: make it numeric'
            -- One sum or count, and nothing around it.
            WHEN
                v_column.expression !~ '\m(sum|count)\(DISTINCT |\) OVER \('
                AND (
                    SELECT count(*)
                    FROM regexp_matches(v_column.expression, '\m(sum|count)\(', 'g')
                ) = 1
                AND v_column.expression ~ concat(
                    '^(COALESCE\((sum|count)\(.*\)( FILTER \(WHERE .*\))?, \(?''?0''?\)?(::[a-z ]+)?\)',
                    '|COALESCE\(\((sum|count)\(.*\)( FILTER \(WHERE .*\))?\)::[a-z ]+, ',
                    '\(?''?0''?\)?(::[a-z ]+)?\)',
                    '|count\(.*\)( FILTER \(WHERE .*\))?',
                    '|\((count|COALESCE\(sum)\(.*\)( FILTER \(WHERE .*\))?\)::[a-z ]+)$'
                )
                THEN NULL
            WHEN v_column.expression ~ '^\(?sum\('
                THEN 'by difference a sum over nothing is 0: write coalesce(sum(…), 0), and nothing '
                    'around it'
            ELSE 'by difference a column is one sum() or count(), or a min() or max() of p_extremes. '
                'Declare the table group, or keep what adds up, and divide in the KPI view'
        END;
        v_counts_rows := v_counts_rows OR v_column.expression ~ '^\(?count\(\*\)(\)::[a-z ]+)?$';
        IF v_problem IS NOT NULL THEN
            RETURN format('column %s is %s: %s', v_column.name,
                regexp_replace(v_column.expression, '\s+', ' ', 'g'), v_problem);
        END IF;
    END LOOP;
    IF NOT v_counts_rows THEN
        RETURN 'by difference it needs a column count(*): without one, a row whose sums are all 0 '
            'would be taken for none';
    END IF;
    RETURN NULL;
END;
$definition_problem$;

COMMENT ON FUNCTION kpi_engine.definition_problem(text, text, text[], jsonb, jsonb) IS
'What is wrong with the query of the derived table p_table_name, declared with this way of upkeep, '
'key, entities and extremes; NULL if nothing is. Internal to kpi_engine.check_declaration().';

REVOKE ALL ON FUNCTION kpi_engine.definition_problem(text, text, text[], jsonb, jsonb) FROM public;
