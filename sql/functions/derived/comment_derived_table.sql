-- Copies the comments of a definition to the sets, the view and the work table of its derived
-- table.

CREATE OR REPLACE FUNCTION kpi_engine.comment_derived_table(p_table_name text)
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $comment_derived_table$
DECLARE
    v_definition constant regclass
        := format('kpi_engine.%I', 'recomputed_' || p_table_name)::regclass;
    v_relation record;
    v_column record;
    v_missing text;
BEGIN
    SELECT coalesce(
        CASE WHEN obj_description(v_definition, 'pg_class') IS NULL THEN 'the view itself' END,
        string_agg(format('column %I', pg_attribute.attname), ', ' ORDER BY pg_attribute.attnum)
    )
    INTO v_missing
    FROM pg_attribute
    WHERE
        pg_attribute.attrelid = v_definition
        AND pg_attribute.attnum > 0
        AND col_description(v_definition, pg_attribute.attnum) IS NULL;
    IF v_missing IS NOT NULL THEN
        RAISE EXCEPTION 'derived table %: its view % has no COMMENT for %',
            p_table_name, v_definition, v_missing
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Write COMMENT ON VIEW, and COMMENT ON COLUMN for each column.';
    END IF;
    FOR v_relation IN
        SELECT *
        FROM (VALUES
            (p_table_name, 'VIEW', 'The active set.'),
            (p_table_name || '_a', 'TABLE', format('Set a; read kpi_engine.%s.', p_table_name)),
            (p_table_name || '_b', 'TABLE', format('Set b; read kpi_engine.%s.', p_table_name)),
            (
                'changed_' || p_table_name, 'TABLE',
                'Work table of a refresh: the rows that go (sign -1) and come (sign 1).'
            )
        ) AS listed (name, kind, description)
    LOOP
        EXECUTE format(
            'COMMENT ON %s kpi_engine.%I IS %L', v_relation.kind, v_relation.name,
            concat_ws(' ', obj_description(v_definition, 'pg_class'), v_relation.description)
        );
        FOR v_column IN
            SELECT
                pg_attribute.attname,
                CASE
                    WHEN pg_attribute.attname = 'sign' THEN '-1: goes, 1: comes.'
                    WHEN wanted.attname IS NULL THEN 'Not in the definition any more: empty.'
                    ELSE col_description(v_definition, wanted.attnum)
                END AS description
            FROM pg_attribute
            LEFT JOIN pg_attribute AS wanted
                ON wanted.attrelid = v_definition
                AND wanted.attname = pg_attribute.attname
            WHERE
                pg_attribute.attrelid = format('kpi_engine.%I', v_relation.name)::regclass
                AND pg_attribute.attnum > 0
                AND NOT pg_attribute.attisdropped
        LOOP
            EXECUTE format(
                'COMMENT ON COLUMN kpi_engine.%I.%I IS %L',
                v_relation.name, v_column.attname, v_column.description
            );
        END LOOP;
    END LOOP;
    UPDATE kpi_engine.derived_tables
    SET description = coalesce(obj_description(v_definition, 'pg_class'), '')
    WHERE derived_tables.table_name = p_table_name;
END;
$comment_derived_table$;

COMMENT ON FUNCTION kpi_engine.comment_derived_table(text) IS
'Copies the comments of the view recomputed_<p_table_name> and its columns to everything that was '
'made for that derived table. Internal to kpi_engine.declare_derived_table() and make migrate.';

REVOKE ALL ON FUNCTION kpi_engine.comment_derived_table(text) FROM public;
