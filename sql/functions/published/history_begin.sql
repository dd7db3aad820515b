-- Says since when the history of a view is kept, in words.

CREATE OR REPLACE FUNCTION kpi_engine.history_begin(p_view_name text)
RETURNS text
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $history_begin$
    SELECT CASE
        WHEN kpi_engine.history_days(p_view_name) = 0
            THEN 'The setting publication_history keeps no history of this view.'
        WHEN count(*) = 0
            THEN 'It has no publish yet: SELECT * FROM refresh_all_mv();'
        ELSE format('It begins at %s.', kpi_engine.iso_instant(min(publications.published_at)))
    END
    FROM kpi_engine.publications
    WHERE publications.view_name = p_view_name;
$history_begin$;

COMMENT ON FUNCTION kpi_engine.history_begin(text) IS
'Since when the history of a view is kept, or why there is none: a sentence. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.history_begin(text) FROM public;
