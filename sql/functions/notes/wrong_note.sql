-- Names what is wrong with a note that somebody wants to write.
--
-- Invariant: no row if and only if the note can be written. At most one row: the first wrong
-- parameter, by its name in the HTTP API. Each rule is only here: SQL and HTTP ask this function.

CREATE OR REPLACE FUNCTION kpi_engine.wrong_note(p_day date, p_note text, p_view_name text)
RETURNS TABLE (parameter text, given text, right_values text)
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $wrong_note$
BEGIN
    IF p_day IS NULL
        OR NOT isfinite(p_day)
        OR p_day NOT BETWEEN '0001-01-01' AND '9999-12-31' THEN
        RETURN QUERY SELECT 'day', p_day::text, 'a day as YYYY-MM-DD, such as 2026-01-31';
    ELSIF p_note IS NULL
        OR length(p_note) > 200
        OR kpi_engine.trim_white_space(p_note) = ''
        -- Control characters, line ends, and what turns the direction of writing around.
        OR p_note ~ '[\u0001-\u001F\u007F-\u009F\u2028-\u202E\u2066-\u2069]' THEN
        RETURN QUERY
            SELECT
                'text', p_note,
                '1 to 200 characters, in one line, without control characters';
    ELSIF p_view_name IS NOT NULL AND NOT EXISTS (
        SELECT FROM kpi_engine.kpi_views(p_view_name) AS kpi
        WHERE has_table_privilege(kpi_engine.api_caller(), kpi.relation, 'SELECT')
    ) THEN
        RETURN QUERY
            SELECT 'view', p_view_name, 'left out, or one of ' || kpi_engine.readable_kpi_views();
    END IF;
END;
$wrong_note$;

COMMENT ON FUNCTION kpi_engine.wrong_note(date, text, text) IS
'The first parameter of a note that is wrong, by its name in the HTTP API, what was given, and '
'which values are right; no row for a right note. Internal to analytics.add_note() and '
'api.add_note().';

REVOKE ALL ON FUNCTION kpi_engine.wrong_note(date, text, text) FROM public;
