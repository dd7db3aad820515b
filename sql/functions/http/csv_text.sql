-- Returns a text as it may stand in a cell of a CSV file that a spreadsheet opens.
--
-- Invariant: a text that begins with =, +, -, @, tab or CR gets an apostrophe before it, so that a
-- spreadsheet shows it and does not run it. For texts only: a negative number is no text.

CREATE OR REPLACE FUNCTION kpi_engine.csv_text(p_text text)
RETURNS text
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
SECURITY INVOKER
RETURN CASE
    WHEN ascii(p_text) IN (9, 13, 43, 45, 61, 64) THEN '''' || p_text
    ELSE p_text
END;

COMMENT ON FUNCTION kpi_engine.csv_text(text) IS
'A text for a cell of CSV: with an apostrophe before it where a spreadsheet would take it for a '
'formula (it begins with =, +, -, @, tab or CR). NULL gives NULL.';

REVOKE ALL ON FUNCTION kpi_engine.csv_text(text) FROM public;
GRANT EXECUTE ON FUNCTION kpi_engine.csv_text(text) TO analytics_lector, analytics_operador;
