-- Writes a dated note.
--
-- Invariant: afterwards the note is there, with its author, or there is an error.
-- SECURITY DEFINER: operators write nothing by themselves.

CREATE OR REPLACE FUNCTION analytics.add_note(
    p_day date, p_note text, p_view_name text DEFAULT NULL
)
RETURNS bigint
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
AS $add_note$
DECLARE
    v_wrong record;
    v_note_id bigint;
BEGIN
    SELECT * INTO v_wrong FROM kpi_engine.wrong_note(p_day, p_note, p_view_name);
    IF FOUND THEN
        RAISE EXCEPTION '% must be %',
            CASE v_wrong.parameter
                WHEN 'view' THEN 'p_view_name'
                WHEN 'text' THEN 'p_note'
                ELSE 'p_' || v_wrong.parameter
            END, v_wrong.right_values
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format(
                      'Got %s.', coalesce(quote_literal(left(v_wrong.given, 300)), 'NULL'));
    END IF;
    INSERT INTO kpi_engine.notes (day, note, view_name, author, written_at)
    VALUES (
        p_day, kpi_engine.trim_white_space(p_note), p_view_name, kpi_engine.requester(),
        analytics.now()
    )
    RETURNING notes.note_id INTO v_note_id;
    RETURN v_note_id;
END;
$add_note$;

COMMENT ON FUNCTION analytics.add_note(date, text, text) IS
'Writes a note about a day, such as nuevos precios, and returns its number. p_note: 1 to 200 '
'characters, no control characters; markup has no meaning. p_view_name: the KPI view that it is '
'about, or NULL. Your name and the instant are kept. Error: 22023 names the wrong parameter and '
'the right values.';

REVOKE ALL ON FUNCTION analytics.add_note(date, text, text) FROM public;
GRANT EXECUTE ON FUNCTION analytics.add_note(date, text, text) TO analytics_operador;
