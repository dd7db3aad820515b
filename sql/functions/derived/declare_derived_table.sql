-- Declares a derived table: its definition, its key, and its way of upkeep.
--
-- Invariant: the view recomputed_<name> defines the table. Nothing else is written for it. The file
-- of that view ends with this call. The two sets, the view over the active set and the work table
-- follow from the columns of the definition. Their comments follow too.
-- The next refresh fills a new column: it computes this table again, and the tables that read it.
-- A table that somebody dropped is made again, empty: the next refresh computes everything.
-- A definition that reads several derived tables must add their rows up (UNION ALL). For a join,
-- the rows that changed in one of them are not enough.

CREATE OR REPLACE FUNCTION kpi_engine.declare_derived_table(
    p_table_name text,
    p_upkeep text,
    p_key_columns text[],
    p_source_view text DEFAULT NULL,
    p_entities jsonb DEFAULT NULL,
    p_window_days integer[] DEFAULT NULL,
    p_extremes jsonb DEFAULT '{}',
    p_indexes text[] DEFAULT ARRAY[]::text[],
    p_fillfactor integer DEFAULT 90
)
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $declare_derived_table$
DECLARE
    v_definition constant regclass
        := format('kpi_engine.%I', 'recomputed_' || p_table_name)::regclass;
    v_reads text[];
    v_columns text[];
    v_set text;
    v_index text;
BEGIN
    IF p_upkeep = 'key' THEN
        PERFORM kpi_engine.unite_origins(p_table_name);
    END IF;
    -- Relations that it reads inside functions do not count: a definition is readable by itself.
    v_reads := ARRAY(
        SELECT DISTINCT derived_tables.table_name
        FROM pg_rewrite
        INNER JOIN pg_depend
            ON pg_depend.classid = 'pg_rewrite'::regclass
            AND pg_depend.objid = pg_rewrite.oid
            AND pg_depend.refclassid = 'pg_class'::regclass
            AND pg_depend.refobjid <> pg_rewrite.ev_class
        INNER JOIN pg_class
            ON pg_class.oid = pg_depend.refobjid
            AND pg_class.relnamespace = 'kpi_engine'::regnamespace
        INNER JOIN kpi_engine.derived_tables ON derived_tables.table_name = pg_class.relname
        WHERE pg_rewrite.ev_class = v_definition
        ORDER BY derived_tables.table_name
    );
    v_columns := ARRAY(
        SELECT pg_attribute.attname::text
        FROM pg_attribute
        WHERE pg_attribute.attrelid = v_definition AND pg_attribute.attnum > 0
        ORDER BY pg_attribute.attnum
    );
    PERFORM kpi_engine.check_declaration(
        p_table_name, p_upkeep, p_key_columns, p_source_view, p_entities, p_window_days, p_extremes,
        v_reads, v_columns
    );

    FOREACH v_set IN ARRAY ARRAY['_a', '_b'] LOOP
        CONTINUE WHEN to_regclass(format('kpi_engine.%I', p_table_name || v_set)) IS NOT NULL;
        IF p_table_name IN (SELECT derived_tables.table_name FROM kpi_engine.derived_tables) THEN
            PERFORM kpi_engine.note_rebuild_reason(format('table %s was gone', p_table_name || v_set));
        END IF;
        EXECUTE format(
            'CREATE TABLE kpi_engine.%I WITH (fillfactor = %s) AS SELECT * FROM %s WITH NO DATA',
            p_table_name || v_set, p_fillfactor, v_definition
        );
        EXECUTE format(
            'ALTER TABLE kpi_engine.%I ADD PRIMARY KEY (%s)',
            p_table_name || v_set, kpi_engine.column_list(p_key_columns)
        );
    END LOOP;
    PERFORM kpi_engine.add_derived_columns(p_table_name);
    FOREACH v_set IN ARRAY ARRAY['_a', '_b'] LOOP
        FOREACH v_index IN ARRAY p_indexes LOOP
            EXECUTE format(
                'CREATE INDEX IF NOT EXISTS %I ON kpi_engine.%I (%s)',
                format('%s%s_%s', p_table_name, v_set, split_part(v_index, ': ', 1)),
                p_table_name || v_set,
                CASE
                    WHEN v_index LIKE '%: %' THEN substr(v_index, strpos(v_index, ': ') + 2)
                    ELSE quote_ident(v_index)
                END
            );
        END LOOP;
    END LOOP;

    INSERT INTO kpi_engine.derived_tables AS known (
        table_name, upkeep, key_columns, value_columns, reads, depth, source_view, entities,
        window_days, extremes, root_entities, description
    )
    SELECT
        p_table_name,
        p_upkeep,
        p_key_columns,
        ARRAY(
            SELECT listed.name FROM unnest(v_columns) WITH ORDINALITY AS listed (name, place)
            WHERE listed.name <> ALL (p_key_columns)
            ORDER BY listed.place
        ),
        v_reads,
        coalesce(max(source.depth) + 1, 0),
        p_source_view,
        p_entities,
        p_window_days,
        p_extremes,
        ARRAY(
            SELECT DISTINCT root.entity
            FROM (
                SELECT jsonb_object_keys(p_entities)
                UNION
                SELECT unnest(through.root_entities) FROM kpi_engine.derived_tables AS through
                WHERE through.table_name = ANY (v_reads)
            ) AS root (entity)
            ORDER BY root.entity
        ),
        coalesce(obj_description(v_definition, 'pg_class'), '')
    FROM (SELECT) AS one
    LEFT JOIN kpi_engine.derived_tables AS source ON source.table_name = ANY (v_reads)
    ON CONFLICT (table_name) DO UPDATE SET
        upkeep = excluded.upkeep,
        key_columns = excluded.key_columns,
        value_columns = excluded.value_columns,
        reads = excluded.reads,
        depth = excluded.depth,
        source_view = excluded.source_view,
        entities = excluded.entities,
        window_days = excluded.window_days,
        extremes = excluded.extremes,
        root_entities = excluded.root_entities,
        description = excluded.description;
    IF p_upkeep = 'key' THEN
        EXECUTE format('GRANT SELECT ON kpi_engine.%I TO analytics_hub', p_table_name);
    END IF;
    PERFORM kpi_engine.generate_statements(p_table_name);
    PERFORM kpi_engine.comment_derived_table(p_table_name);
END;
$declare_derived_table$;

COMMENT ON FUNCTION kpi_engine.declare_derived_table(
    text, text, text[], text, jsonb, integer[], jsonb, text[], integer
) IS
'Declares the derived table p_table_name. The view recomputed_<p_table_name> defines its rows. '
'p_upkeep is key, difference or group; p_key_columns is its key. Kept by key: p_source_view is '
'the src_ view whose id is the key; p_entities has the entities of the change log, and the column '
'with the id of each. p_window_days: lengths of the windows, if the definition reads window_end. '
'p_extremes: columns that are a min or max, in a table kept by difference. p_indexes: columns '
'with an index of their own, or a name and an expression, such as next_month: ((mes + …)::date). '
'Errors: 22023 says what is wrong.';

REVOKE ALL ON FUNCTION kpi_engine.declare_derived_table(
    text, text, text[], text, jsonb, integer[], jsonb, text[], integer
) FROM public;
