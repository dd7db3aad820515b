-- Says which definition gave a derived table a row without a key, or two rows with one key.
--
-- Invariant: NULL for any other error. The message names the file and the cure: the same definition
-- over the same rows fails again.

CREATE OR REPLACE FUNCTION kpi_engine.wrong_key_message(
    p_sqlstate text, p_schema text, p_table text, p_column text
)
RETURNS text
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $wrong_key_message$
    SELECT format(
        CASE p_sqlstate
            WHEN '23502'
                THEN 'derived table %1$s: column %2$s of its key is NULL in a row. In '
                    'recomputed_%1$s.sql leave such rows out (WHERE … IS NOT NULL), or give them a '
                    'value: coalesce(…)'
            ELSE 'derived table %1$s: its definition gives several rows with the same key (%3$s). '
                'Make recomputed_%1$s.sql give one row for each key: what it joins must have one '
                'row for each'
        END || '. Then run make migrate and refresh',
        derived_tables.table_name,
        p_column,
        array_to_string(derived_tables.key_columns, ', ')
    )
    FROM kpi_engine.derived_tables
    WHERE
        p_sqlstate IN ('23502', '23505')
        AND p_schema = 'kpi_engine'
        AND p_table IN (derived_tables.table_name || '_a', derived_tables.table_name || '_b');
$wrong_key_message$;

COMMENT ON FUNCTION kpi_engine.wrong_key_message(text, text, text, text) IS
'Words for an error of SQLSTATE 23502 or 23505 in a set of a derived table, with the file and the '
'cure; NULL for any other error. p_schema, p_table and p_column: where the error is. Internal to '
'refresh and rebuild, which fail with TA003 then.';

REVOKE ALL ON FUNCTION kpi_engine.wrong_key_message(text, text, text, text) FROM public;
