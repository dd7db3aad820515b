-- Gives a derived table the columns of its definition, and a view and a work table over it.
--
-- Invariant: columns are matched by name, so a new column may stand anywhere in the definition.
-- A column that left the definition stays in the table, because views depend on the table. Nothing
-- may read it (kpi_engine.refuse_vanished_columns). The next refresh empties it.

CREATE OR REPLACE FUNCTION kpi_engine.add_derived_columns(p_table_name text)
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $add_derived_columns$
DECLARE
    v_work constant text := 'changed_' || p_table_name;
    v_active text;
    v_column record;
BEGIN
    IF to_regclass(format('kpi_engine.%I', v_work)) IS NULL THEN
        EXECUTE format(
            'CREATE UNLOGGED TABLE kpi_engine.%1$I (sign smallint NOT NULL, LIKE kpi_engine.%2$I)
             WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000)',
            v_work, p_table_name || '_a'
        );
        -- In a publication, a table without a replica identity refuses UPDATE and DELETE.
        EXECUTE format('ALTER TABLE kpi_engine.%I REPLICA IDENTITY FULL', v_work);
    END IF;
    FOR v_column IN
        SELECT
            wanted.attname,
            format_type(wanted.atttypid, wanted.atttypmod) AS type,
            set.name AS set_name,
            format_type(present.atttypid, present.atttypmod) AS present_type
        FROM unnest(ARRAY[p_table_name || '_a', p_table_name || '_b', v_work])
            WITH ORDINALITY AS set (name, place)
        CROSS JOIN pg_attribute AS wanted
        LEFT JOIN pg_attribute AS present
            ON present.attrelid = format('kpi_engine.%I', set.name)::regclass
            AND present.attname = wanted.attname
            AND NOT present.attisdropped
        WHERE
            wanted.attrelid = format('kpi_engine.%I', 'recomputed_' || p_table_name)::regclass
            AND wanted.attnum > 0
        ORDER BY set.place, wanted.attnum
    LOOP
        IF v_column.present_type IS NULL THEN
            EXECUTE format(
                'ALTER TABLE kpi_engine.%I ADD COLUMN %I %s',
                v_column.set_name, v_column.attname, v_column.type
            );
        ELSIF v_column.present_type <> v_column.type THEN
            RAISE EXCEPTION 'derived table %: column % is %, and was % before', p_table_name,
                v_column.attname, v_column.type, v_column.present_type
                USING ERRCODE = 'invalid_parameter_value',
                      DETAIL = 'Views depend on its type; nothing was changed.',
                      HINT = 'Cast it to the type that it had, or give the column another name.';
        END IF;
    END LOOP;
    SELECT derived_tables.active_set INTO v_active
    FROM kpi_engine.derived_tables
    WHERE derived_tables.table_name = p_table_name;
    EXECUTE format(
        'CREATE OR REPLACE VIEW kpi_engine.%I AS SELECT * FROM kpi_engine.%I',
        p_table_name, p_table_name || '_' || coalesce(v_active, 'a')
    );
END;
$add_derived_columns$;

COMMENT ON FUNCTION kpi_engine.add_derived_columns(text) IS
'Gives the sets, the view and the work table of a derived table the columns of its definition. '
'Errors: 22023 if a column has another type than before. Internal to '
'kpi_engine.declare_derived_table().';

REVOKE ALL ON FUNCTION kpi_engine.add_derived_columns(text) FROM public;
