-- Lists the faults in the declaration of a KPI view. make migrate refuses such a view.
--
-- Invariant: a view without a fault has a complete entry in the catalogue, and a request can use
-- each of its dimensions.

CREATE OR REPLACE FUNCTION kpi_engine.kpi_problems(p_relation regclass)
RETURNS TABLE (problem text, right_form text)
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $kpi_problems$
    WITH RECURSIVE the_view AS (
        SELECT
            pg_class.relname AS name,
            kpi_engine.key_columns(pg_class.oid) AS key_columns,
            kpi_engine.kpi_compared_columns(pg_class.oid) AS compared_columns,
            EXISTS (
                SELECT FROM pg_attribute
                WHERE
                    pg_attribute.attrelid = pg_class.oid
                    AND pg_attribute.attname = ANY (kpi_engine.key_columns(pg_class.oid))
                    AND pg_attribute.atttypid = 'date'::regtype
            ) AS has_time,
            obj_description(pg_class.oid, 'pg_class') AS comment
        FROM pg_class
        WHERE pg_class.oid = p_relation
    ),

    the_columns AS (
        SELECT
            kpi.*,
            col_description(p_relation, pg_attribute.attnum) AS comment,
            parsed.words,
            kpi.column_name = ANY (the_view.key_columns) AS is_key
        FROM the_view
        CROSS JOIN LATERAL kpi_engine.kpi_columns(p_relation) AS kpi
        INNER JOIN pg_attribute
            ON pg_attribute.attrelid = p_relation AND pg_attribute.attname = kpi.column_name
        LEFT JOIN LATERAL kpi_engine.kpi_comment(
            col_description(p_relation, pg_attribute.attnum)
        ) AS parsed ON true
    ),

    -- What it reads, by itself or through plain views. The view of a derived table is an end: it
    -- always shows the active set.
    behind AS (
        SELECT NULL::oid AS reader, p_relation::oid AS relation
        UNION
        SELECT behind.relation, pg_depend.refobjid
        FROM behind
        INNER JOIN pg_class ON pg_class.oid = behind.relation
        INNER JOIN pg_rewrite ON pg_rewrite.ev_class = pg_class.oid
        INNER JOIN pg_depend
            ON pg_depend.classid = 'pg_rewrite'::regclass
            AND pg_depend.objid = pg_rewrite.oid
            AND pg_depend.refclassid = 'pg_class'::regclass
            AND pg_depend.refobjid <> pg_rewrite.ev_class
        WHERE
            (behind.reader IS NULL OR pg_class.relkind = 'v')
            AND NOT (
                pg_class.relnamespace = 'kpi_engine'::regnamespace
                AND pg_class.relname IN (
                    SELECT derived_tables.table_name FROM kpi_engine.derived_tables
                )
            )
    ),

    -- The queries that make its rows: its own, and those of plain views of ours in it.
    queries AS (
        SELECT
            behind.relation::regclass AS relation,
            pg_get_viewdef(behind.relation) AS definition,
            pg_rewrite.ev_action::text AS tree
        FROM (SELECT DISTINCT behind.relation FROM behind) AS behind
        INNER JOIN pg_class ON pg_class.oid = behind.relation
        INNER JOIN pg_rewrite ON pg_rewrite.ev_class = pg_class.oid
        WHERE
            pg_class.oid = p_relation
            OR pg_class.relkind = 'v'
            AND pg_class.relnamespace IN (
                'kpi_engine'::regnamespace, 'analytics'::regnamespace
            )
            AND NOT (
                pg_class.relnamespace = 'kpi_engine'::regnamespace
                AND pg_class.relname IN (
                    SELECT derived_tables.table_name FROM kpi_engine.derived_tables
                )
            )
    )

    SELECT
        format('%s has no plain unique index, and so no key', the_view.name),
        format('CREATE UNIQUE INDEX %1$s_mes ON %1$s (mes);', the_view.name)
    FROM the_view
    WHERE the_view.key_columns IS NULL
    UNION ALL
    SELECT
        format('%s has %s', the_view.name, CASE
            WHEN the_view.comment IS NULL THEN 'no COMMENT'
            ELSE 'a COMMENT of another form'
        END),
        format(
            E'COMMENT ON MATERIALIZED VIEW %s IS\n''Métricas mensuales / Monthly metrics\n'
            'es: Los indicadores de cada mes.\nen: The KPIs of each month.'';', the_view.name
        )
    FROM the_view
    WHERE NOT EXISTS (
        SELECT FROM kpi_engine.kpi_comment(the_view.comment) AS parsed
        WHERE parsed.name_en IS NOT NULL AND parsed.words IS NULL
    )
    UNION ALL
    SELECT
        format('column %s of %s has %s', the_columns.column_name, the_view.name, CASE
            WHEN the_columns.comment IS NULL THEN 'no COMMENT'
            WHEN the_columns.comment ~ '^[^\n]*\[[^]\n]*,[^ ]'
                THEN 'a COMMENT without a space after a comma in its brackets'
            ELSE 'a COMMENT of another form'
        END),
        format(
            E'COMMENT ON COLUMN %s.%s IS\n''Solicitudes creadas / Requests created [conteo, up]\n'
            'es: Solicitudes que los clientes crearon.\nen: Requests created.'';\n'
            'In the brackets: %s, fecha, instante or '
            'texto; up, down or none; then, where it is so, dimension, city, null, zero, whole, sum '
            'mv_view.column, or bands such as bands 50 over 70.',
            the_view.name, the_columns.column_name,
            array_to_string(kpi_engine.number_units(), ', ')
        )
    FROM the_view
    CROSS JOIN the_columns
    WHERE
        the_columns.unit IS NULL
        OR the_columns.unit <> ALL (
            kpi_engine.number_units() || ARRAY['fecha', 'instante', 'texto']
        )
        OR EXISTS (
            SELECT FROM unnest(the_columns.words[3:]) AS word (text)
            WHERE
                word.text <> ALL (ARRAY['dimension', 'city', 'null', 'zero', 'whole'])
                AND word.text !~ '^sum mv_[a-z0-9_]+\.[a-z0-9_]+$'
                AND NOT (
                    word.text LIKE 'bands %'
                    AND kpi_engine.kpi_bands(the_columns.comment) IS NOT NULL
                )
        )
    UNION ALL
    SELECT
        format(
            'the key of %s has the date %s', the_view.name,
            string_agg(the_columns.column_name, ' and the date ')
        ),
        'One date at most, by the name mes, semana or dia.'
    FROM the_view
    CROSS JOIN the_columns
    WHERE the_columns.is_key AND the_columns.column_type = 'date'
    GROUP BY the_view.name
    HAVING count(*) > 1 OR bool_or(the_columns.column_name NOT IN ('mes', 'semana', 'dia'))
    UNION ALL
    SELECT
        format(
            'column %s of %s is a dimension of type %s', the_columns.column_name, the_view.name,
            the_columns.column_type
        ),
        'A dimension is a text, a whole number or a uuid.'
    FROM the_view
    CROSS JOIN the_columns
    WHERE
        the_columns.is_dimension
        AND the_columns.column_type NOT IN (
            'text', 'character varying', 'smallint', 'integer', 'bigint', 'uuid'
        )
    UNION ALL
    SELECT
        format(
            'column %s of %s is a dimension, and a parameter of all KPIs',
            the_columns.column_name, the_view.name
        ),
        'Give it another name.'
    FROM the_view
    CROSS JOIN the_columns
    WHERE
        the_columns.is_dimension
        AND the_columns.column_name = ANY (kpi_engine.kpi_parameters() || 'format'::text)
    UNION ALL
    SELECT
        format(
            'column %s of %s has a name that statements give to its rows',
            the_columns.column_name, the_view.name
        ),
        'Give it another name.'
    FROM the_view
    CROSS JOIN the_columns
    WHERE the_columns.column_name IN ('kpi', 'shown')
    UNION ALL
    SELECT
        format(
            'column %s of %s has a name that compare gives to another column',
            the_columns.column_name, the_view.name
        ),
        'Give it another name.'
    FROM the_view
    CROSS JOIN the_columns
    WHERE
        the_columns.column_name = ANY (the_view.compared_columns)
        AND the_view.has_time
    UNION ALL
    SELECT
        format(
            'column %s of %s has a name that is too long for compare',
            the_columns.column_name, the_view.name
        ),
        'Give it a name of 54 bytes at most: compare adds _anterior to it.'
    FROM the_view
    CROSS JOIN the_columns
    WHERE
        the_columns.is_number
        AND octet_length(the_columns.column_name) > 54
        AND the_view.has_time
    UNION ALL
    SELECT
        format(
            'column %s of %s has the unit %s and the type %s', the_columns.column_name, the_view.name,
            the_columns.unit, the_columns.column_type
        ),
        'A fecha is a date, an instante a timestamptz, a texto a text, uuid or boolean; all other units '
        'are numbers.'
    FROM the_view
    CROSS JOIN the_columns
    WHERE the_columns.column_type <> ALL (CASE
        WHEN the_columns.unit = 'fecha' THEN ARRAY['date']
        WHEN the_columns.unit = 'instante' THEN ARRAY['timestamp with time zone']
        WHEN the_columns.unit = 'texto' THEN ARRAY['text', 'character varying', 'uuid', 'boolean']
        WHEN the_columns.unit = ANY (kpi_engine.number_units())
            THEN kpi_engine.number_types()::text[]
    END)
    UNION ALL
    SELECT
        format('nobody but the owner may read %s', the_view.name),
        format('GRANT SELECT ON %s TO analytics_lector, analytics_operador;', the_view.name)
    FROM the_view
    WHERE
        NOT has_table_privilege('analytics_lector', p_relation, 'SELECT')
        AND NOT has_table_privilege('analytics_operador', p_relation, 'SELECT')
    UNION ALL
    SELECT
        CASE
            WHEN read.clock ~ 'random|uuid' THEN format('%s has %s…)', the_view.name, read.clock)
            ELSE format('%s reads the clock (%s)', the_view.name, read.clock)
        END,
        CASE
            WHEN read.clock ~ 'random|uuid' THEN 'What comes by chance is never the same again.'
            ELSE 'Nobody would refresh it when the clock changes a row. Read today of '
                'kpi_engine.view_state, as mv_segmentos_asesores does.'
        END
    FROM the_view
    CROSS JOIN LATERAL (
        SELECT substring(pg_get_viewdef(p_relation) from kpi_engine.clock_words()) AS clock
    ) AS read
    WHERE read.clock IS NOT NULL
    UNION ALL
    SELECT
        format(
            '%s calls %s, which is not IMMUTABLE: a change of what it reads would refresh nothing',
            the_view.name, called.function
        ),
        'Read derived tables, kpi_engine.view_state and other materialized views.'
    FROM the_view
    CROSS JOIN LATERAL (
        SELECT kpi_engine.unwatched_function(p_relation) AS function
    ) AS called
    WHERE called.function IS NOT NULL
    UNION ALL
    SELECT
        format(
            '%s%s has %s: its order is chance', the_view.name,
            ' by view ' || nullif(queries.relation, p_relation), disorder.what
        ),
        disorder.cure
    FROM the_view
    CROSS JOIN queries
    CROSS JOIN LATERAL (VALUES
        (
            kpi_engine.has_unordered_aggregate(queries.definition),
            'array_agg() or the like without ORDER BY',
            'Write ORDER BY in its brackets, with the key of the rows as the last part: '
            'string_agg(marca, '', '' ORDER BY marca).'
        ),
        (
            queries.definition ~ concat(
                '\m(row_number|ntile|lag|lead|first_value|last_value|nth_value)\([^()]*\) OVER ',
                '\((PARTITION BY [^()]*)?\)'
            ),
            'a window function without ORDER BY',
            'Write ORDER BY in the brackets of OVER, with the key of the rows as the last part.'
        ),
        (
            queries.definition ~ '\mDISTINCT ON\M' AND queries.definition !~ '\mORDER BY\M',
            'DISTINCT ON without ORDER BY',
            'Write ORDER BY, with the key of the rows as the last part.'
        ),
        (
            queries.tree ~ ':sortClause <> :limitOffset <> :limitCount \{',
            'LIMIT without ORDER BY',
            'Write ORDER BY, with the key of the rows as the last part.'
        )
    ) AS disorder (is_there, what, cure)
    WHERE disorder.is_there
    UNION ALL
    SELECT
        format(
            '%s%s has %s: that drifts with the order of the rows', the_view.name,
            ' by view ' || nullif(queries.relation, p_relation), pg_proc.oid::regprocedure
        ),
        'Make it numeric: sum(x::numeric).'
    FROM the_view
    CROSS JOIN queries
    CROSS JOIN LATERAL regexp_matches(queries.tree, ':(?:aggfnoid|winfnoid) (\d+)', 'g')
        AS match (parts)
    INNER JOIN pg_proc ON pg_proc.oid = match.parts[1]::oid
    WHERE
        pg_proc.pronargs > 0
        AND pg_proc.proargtypes[0] IN ('real'::regtype, 'double precision'::regtype)
        AND pg_proc.proname NOT IN ('min', 'max', 'count', 'percentile_cont', 'percentile_disc')
        AND pg_proc.prokind = 'a'
    UNION ALL
    -- The row of another view has the day on which that one was published.
    SELECT
        format(
            '%s reads kpi_engine.view_state%s, and not its own row alone', the_view.name,
            ' through view ' || nullif(queries.relation, p_relation)
        ),
        format('Write WHERE view_state.view_name = %L.', the_view.name)
    FROM the_view
    INNER JOIN queries
        ON queries.relation IN (
            SELECT behind.reader FROM behind
            WHERE behind.relation = 'kpi_engine.view_state'::regclass
        )
    WHERE
        queries.definition !~ format('\mview_name = ''%s''::text', the_view.name)
        OR EXISTS (
            SELECT
            FROM regexp_matches(
                queries.definition, '\mview_name = ''([^'']*)''::text', 'g'
            ) AS named (parts)
            WHERE named.parts[1] <> the_view.name
        )
    UNION ALL
    SELECT
        format(
            '%s reads %s%s, a table behind derived table %s: a rebuild may leave it empty',
            the_view.name,
            read.relation,
            CASE
                WHEN read.reader <> p_relation THEN format(' through view %s', read.reader)
                ELSE ''
            END,
            read.table_name
        ),
        format('Read kpi_engine.%I.', read.table_name)
    FROM the_view
    CROSS JOIN LATERAL (
        SELECT DISTINCT
            behind.relation::regclass AS relation,
            behind.reader::regclass AS reader,
            derived_tables.table_name
        FROM behind
        INNER JOIN pg_class
            ON pg_class.oid = behind.relation AND pg_class.relnamespace = 'kpi_engine'::regnamespace
        INNER JOIN kpi_engine.derived_tables
            ON pg_class.relname IN (
                derived_tables.table_name || '_a',
                derived_tables.table_name || '_b',
                'changed_' || derived_tables.table_name
            )
        WHERE pg_class.relkind = 'r'
        ORDER BY derived_tables.table_name, relation, reader
    ) AS read
    UNION ALL
    SELECT
        format(
            'column %s of %s says %s, and there is no such column', the_columns.column_name,
            the_view.name, word.text
        ),
        'sum mv_view.column names a column whose sum over the period is the same.'
    FROM the_view
    CROSS JOIN the_columns
    CROSS JOIN LATERAL unnest(the_columns.words[3:]) AS word (text)
    CROSS JOIN LATERAL regexp_match(word.text, '^sum (mv_[a-z0-9_]+)\.([a-z0-9_]+)$') AS sum (parts)
    WHERE
        sum.parts IS NOT NULL
        AND NOT EXISTS (
            SELECT
            FROM pg_attribute
            INNER JOIN pg_class ON pg_class.oid = pg_attribute.attrelid
            WHERE
                pg_class.relkind = 'm'
                AND pg_class.relname = sum.parts[1]
                AND pg_attribute.attname = sum.parts[2]
                AND pg_attribute.attnum > 0
                AND NOT pg_attribute.attisdropped
        )
    UNION ALL
    SELECT
        format('column %s of %s is whole, but no number', the_columns.column_name, the_view.name),
        'Take the word whole away: compare shows numbers only.'
    FROM the_view
    CROSS JOIN the_columns
    WHERE the_columns.is_whole AND NOT the_columns.is_number;
$kpi_problems$;

COMMENT ON FUNCTION kpi_engine.kpi_problems(regclass) IS
'What is wrong with the key, the COMMENT, the columns'' COMMENTs and the dimensions of a KPI view, '
'and what would be right.';

REVOKE ALL ON FUNCTION kpi_engine.kpi_problems(regclass) FROM public;
