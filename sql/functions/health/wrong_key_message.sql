-- Says why a derived table got a row without a key, or two rows with one key.
--
-- Invariant: NULL for any other error. The message names the source table with two rows of one id,
-- or else the file of the definition, and the cure: the same definition over the same rows fails
-- again.

CREATE OR REPLACE FUNCTION kpi_engine.wrong_key_message(
    p_sqlstate text, p_schema text, p_table text, p_column text
)
RETURNS text
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS $wrong_key_message$
DECLARE
    v_table kpi_engine.derived_tables;
    v_source record;
    v_id text;
BEGIN
    SELECT derived_tables.* INTO v_table
    FROM kpi_engine.derived_tables
    WHERE
        p_sqlstate IN ('23502', '23505')
        AND p_schema = 'kpi_engine'
        AND p_table IN (derived_tables.table_name || '_a', derived_tables.table_name || '_b');
    IF NOT FOUND THEN
        RETURN NULL;
    ELSIF p_sqlstate = '23502' THEN
        RETURN format(
            'derived table %1$s: column %2$s of its key is NULL in a row. In recomputed_%1$s.sql '
            'leave such rows out (WHERE … IS NOT NULL), or give them a value: coalesce(…). Then run '
            'make migrate and refresh', v_table.table_name, p_column
        );
    END IF;
    FOR v_source IN
        SELECT DISTINCT
            names.view_name,
            format('%I.%I', names.source_schema, names.table_name) AS table_name
        FROM kpi_engine.noted_tables() AS noted
        INNER JOIN kpi_engine.source_names() AS names
            ON names.union_name = 'src_' || noted.view_suffix
        WHERE
            noted.key_column = 'id'
            AND v_table.table_name
            = CASE noted.entity WHEN 'usuario' THEN 'asesor' ELSE noted.entity END || '_facts'
    LOOP
        EXECUTE format(
            'SELECT source.id FROM kpi_engine.%I AS source GROUP BY 1 HAVING count(*) > 1 LIMIT 1',
            v_source.view_name
        ) INTO v_id;
        IF v_id IS NOT NULL THEN
            RETURN format(
                'table %1$s has several rows with the id %2$s. Delete all but one of them, then '
                'refresh. A primary key keeps it so: ALTER TABLE %1$s ADD PRIMARY KEY (id)',
                v_source.table_name, v_id
            );
        END IF;
    END LOOP;
    RETURN format(
        'derived table %1$s: its definition gives several rows with the same key (%2$s). Make '
        'recomputed_%1$s.sql give one row for each key: what it joins must have one row for each. '
        'Then run make migrate and refresh',
        v_table.table_name, array_to_string(v_table.key_columns, ', ')
    );
END;
$wrong_key_message$;

COMMENT ON FUNCTION kpi_engine.wrong_key_message(text, text, text, text) IS
'Words for an error of SQLSTATE 23502 or 23505 in a set of a derived table, with the source table '
'or the file, and the cure; NULL for any other error. p_schema, p_table and p_column: where the '
'error is. Internal to refresh and rebuild, which fail with TA003 then.';

REVOKE ALL ON FUNCTION kpi_engine.wrong_key_message(text, text, text, text) FROM public;
