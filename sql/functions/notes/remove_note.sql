-- Removes a note.
--
-- Invariant: afterwards the note is gone, or there is an error.
-- SECURITY DEFINER: operators write nothing by themselves.

CREATE OR REPLACE FUNCTION analytics.remove_note(p_note_id bigint)
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY DEFINER
SET standard_conforming_strings = on
SET quote_all_identifiers = off
SET datestyle = 'ISO, YMD'
SET intervalstyle = postgres
SET extra_float_digits = 1
SET bytea_output = hex
SET search_path = pg_catalog, pg_temp
AS $remove_note$
BEGIN
    DELETE FROM kpi_engine.notes WHERE notes.note_id = p_note_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no note %', coalesce(p_note_id::text, 'NULL')
            USING ERRCODE = 'no_data_found',
                  HINT = 'SELECT * FROM analytics.notes; lists them.';
    END IF;
END;
$remove_note$;

COMMENT ON FUNCTION analytics.remove_note(bigint) IS
'Removes a note by its number (analytics.notes). Error: P0002 if there is none.';

REVOKE ALL ON FUNCTION analytics.remove_note(bigint) FROM public;
GRANT EXECUTE ON FUNCTION analytics.remove_note(bigint) TO analytics_operador;
