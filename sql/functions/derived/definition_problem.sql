-- Finds a fault in the query of a derived table, for which the engine could not keep it right.
--
-- Invariant: a table without a fault can be kept as it is declared. By difference, each column that
-- is no key is one sum or count, or a min or max that p_extremes names. By difference, and by group
-- if the outermost query groups, the key is all expressions of the GROUP BY. The clock decides
-- nothing.
-- It reads the text that pg_get_viewdef() writes: one column of the outermost query a line,
-- operators and casts in brackets.

CREATE OR REPLACE FUNCTION kpi_engine.definition_problem(
    p_table_name text, p_upkeep text, p_key_columns text[], p_extremes jsonb
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
    v_grouped integer;
    v_column record;
    v_problem text;
BEGIN
    IF v_clock IS NOT NULL THEN
        RETURN format('its query reads the clock (%s), and nothing would tell the engine when that '
            'changes a row: read kpi_engine.window_end instead', v_clock);
    END IF;
    IF p_upkeep = 'key' THEN
        RETURN NULL;
    END IF;

    -- The outermost query comes last in the tree.
    SELECT count(*) INTO v_grouped
    FROM pg_rewrite
    CROSS JOIN LATERAL regexp_matches(
        substring(
            regexp_replace(pg_rewrite.ev_action::text, '^.*:groupClause ', '')
            from '^.*?(?= :group)'
        ),
        'SORTGROUPCLAUSE', 'g'
    ) AS clause (words)
    WHERE pg_rewrite.ev_class = v_view;
    -- A query over grouped ones groups nothing itself.
    IF v_grouped <> cardinality(p_key_columns) AND (p_upkeep = 'difference' OR v_grouped > 0) THEN
        RETURN format('its GROUP BY has %s expression(s), and p_key_columns %s: the key is all '
            'that its query groups by', v_grouped, cardinality(p_key_columns));
    END IF;
    IF p_upkeep = 'group' THEN
        RETURN NULL;
    END IF;

    IF v_definition ~ '\n  HAVING ' THEN
        RETURN 'its query has HAVING, and the engine adds and takes off rows one by one: declare '
            'the table group, or leave the rows out in the KPI view';
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
                substring(v_definition from '(?:^|\n) SELECT (.*?)\n   FROM '),
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
        IF v_problem IS NOT NULL THEN
            RETURN format('column %s is %s: %s', v_column.name,
                regexp_replace(v_column.expression, '\s+', ' ', 'g'), v_problem);
        END IF;
    END LOOP;
    RETURN NULL;
END;
$definition_problem$;

COMMENT ON FUNCTION kpi_engine.definition_problem(text, text, text[], jsonb) IS
'What is wrong with the query of the derived table p_table_name, declared with this way of upkeep, '
'key and extremes; NULL if nothing is. Internal to kpi_engine.check_declaration().';

REVOKE ALL ON FUNCTION kpi_engine.definition_problem(text, text, text[], jsonb) FROM public;
