-- Finds a fault in the query of a derived table, for which the engine could not keep it right.
--
-- Invariant: a table without a fault can be kept as it is declared. By difference, each column that
-- is no key is one sum or count, or a min or max that p_extremes names. grouping_problem() looks at
-- what is grouped. Each change of what the query reads computes rows again. The clock and chance
-- decide nothing.
-- It reads the text that pg_get_viewdef() writes: one column of the outermost query a line,
-- operators and casts in brackets. From PostgreSQL 16 on, columns of an only table stand alone.

CREATE OR REPLACE FUNCTION kpi_engine.definition_problem(
    p_table_name text,
    p_upkeep text,
    p_key_columns text[],
    p_entities jsonb,
    p_extremes jsonb,
    p_reads text[]
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
    -- Columns of the engine's own statements.
    v_own_names constant text :=
        '^(sign|is_new|is_gone|is_extra|is_missing|audited_day|fresh|known|target|known_\d+)$';
    v_counts_rows boolean := false;
    v_place integer := 0;
    -- Of the columns besides the key, in their order: by difference each has one.
    v_aggregates oid[];
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
        WHEN pg_attribute.attname ~ v_own_names
            THEN format('column %I has a name that the engine uses itself: give it another one',
                pg_attribute.attname)
        ELSE format(
            'column %I is %s, and two of its values can not be compared: make it text or jsonb', pg_attribute.attname, format_type(pg_attribute.atttypid, NULL))
    END
    INTO v_problem
    FROM pg_attribute
    WHERE
        pg_attribute.attrelid = v_view
        AND pg_attribute.attnum > 0
        AND (
            pg_attribute.attname ~ v_own_names
            OR format_type(pg_attribute.atttypid, NULL)
            ~ '^(json|xml|point|line|lseg|box|path|polygon|circle)(\[\])?$'
        )
    ORDER BY pg_attribute.attnum
    LIMIT 1;
    IF v_problem IS NOT NULL THEN
        RETURN v_problem;
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
    -- An array may be a set between two queries, as that of the awarded parts is.
    IF v_problem IS NULL
        AND p_upkeep = 'key'
        AND kpi_engine.has_unordered_aggregate(replace(v_definition, 'array_agg(', '(')) THEN
        v_problem := 'its query has string_agg() or the like without ORDER BY, so that its order is '
            'chance';
    END IF;
    IF v_problem IS NULL AND p_upkeep = 'key' THEN
        v_problem := CASE
            -- OVER () alone numbers what one key has.
            WHEN v_definition ~ '\mOVER (\([^)]|[a-z_"])'
                THEN 'its query has a window function, and a change computes the rows of the changed '
                    'keys alone, without those beside them: compute it in the KPI view'
            WHEN
                (SELECT count(*) FROM jsonb_object_keys(p_entities)) > 1
                AND replace(v_definition, 'FILTER (WHERE', '')
                ~ '\mWHERE\M|(?<!LEFT |CROSS )\mJOIN\M'
                THEN 'a change of another entity finds its rows among those that the table has. So it '
                    'leaves none out: LEFT JOIN instead of JOIN, no WHERE, and the condition in a '
                    'column or in the KPI view'
        END;
    END IF;
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
        WHEN kpi_engine.has_unordered_aggregate(v_definition)
            THEN 'has array_agg() or the like without ORDER BY, so that its order is chance'
    END;
    IF v_problem IS NOT NULL THEN
        RETURN 'its query ' || v_problem;
    END IF;

    v_problem := kpi_engine.grouping_problem(v_view, p_upkeep, p_key_columns);
    IF v_problem IS NOT NULL THEN
        RETURN 'its query ' || v_problem;
    END IF;
    v_problem := kpi_engine.period_problem(v_definition, p_key_columns, p_reads);
    IF v_problem IS NOT NULL OR p_upkeep = 'group' THEN
        RETURN v_problem;
    END IF;

    v_aggregates := ARRAY(
        SELECT parts.number::oid
        FROM kpi_engine.query_parts(v_view) WITH ORDINALITY AS parts
        WHERE parts.fact = 'aggregate' AND parts.part = 1
        ORDER BY parts.ordinality
    );
    FOR v_column IN
        SELECT
            named.name,
            regexp_replace(named.text, ' AS ("[^"]+"|\w+)$', '') AS expression,
            p_extremes ->> named.name AS extreme,
            format_type(pg_attribute.atttypid, NULL) AS type,
            pg_attribute.atttypmod AS type_modifier
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
        v_place := v_place + 1;
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
            -- Rounded differences do not add up to the rounded sum.
            WHEN
                v_column.type IN ('smallint', 'integer', 'bigint')
                AND v_aggregates[v_place] = 'sum(numeric)'::regprocedure
                OR v_column.type = 'numeric' AND v_column.type_modifier <> -1
                THEN 'it rounds a sum: keep the sum here, and round in the KPI view'
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

COMMENT ON FUNCTION kpi_engine.definition_problem(text, text, text[], jsonb, jsonb, text[]) IS
'What is wrong with the query of the derived table p_table_name, declared with this way of upkeep, '
'key, entities, extremes and the derived tables that it reads; NULL if nothing is. Internal to '
'kpi_engine.check_declaration().';

REVOKE ALL ON FUNCTION kpi_engine.definition_problem(
    text, text, text[], jsonb, jsonb, text[]
) FROM public;
