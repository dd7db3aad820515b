-- For how many days the history of a view is kept, by the setting publication_history.

CREATE OR REPLACE FUNCTION kpi_engine.history_days(p_view_name text)
RETURNS integer
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $history_days$
DECLARE
    v_days text;
BEGIN
    -- PL/pgSQL keeps the plan: each publish asks this.
    SELECT split_part(entry.word, '=', 2) INTO v_days
    FROM regexp_split_to_table(analytics.setting('publication_history'), ', *') AS entry (word)
    WHERE split_part(entry.word, '=', 1) IN (p_view_name, '*')
    -- The name of the view goes before the star.
    ORDER BY split_part(entry.word, '=', 1) = '*'
    LIMIT 1;
    RETURN CASE coalesce(v_days, 'all')
        WHEN 'none' THEN 0
        WHEN 'all' THEN NULL
        ELSE v_days::integer
    END;
END;
$history_days$;

COMMENT ON FUNCTION kpi_engine.history_days(text) IS
'For how many days the history of a view is kept: NULL for ever, 0 not at all. From the setting '
'publication_history.';

REVOKE ALL ON FUNCTION kpi_engine.history_days(text) FROM public;
