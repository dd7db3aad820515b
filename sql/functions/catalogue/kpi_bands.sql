-- The bands of a KPI's column, as its COMMENT declares them.
--
-- Invariant: the one place that knows the form. The word in the brackets is one of
--
--   bands 50 over 70     bad under 50, attention from 50 to 70, good over 70
--   bands 2 from 3       bad under 2, attention from 2, good from 3
--   bands 10 15 25 30    bad under 10, attention from 10, good from 15 to 25, attention to 30, bad
--                        over 30
--
-- A text without such a word gives NULL.

CREATE OR REPLACE FUNCTION kpi_engine.kpi_bands(p_comment text)
RETURNS json
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $kpi_bands$
    SELECT json_build_object(
        'bad_below', coalesce(half.bounds[1], whole.bounds[1])::numeric,
        'good_above', CASE WHEN half.bounds[2] = 'over' THEN half.bounds[3]::numeric END,
        'good_from', CASE
            WHEN half.bounds[2] = 'from' THEN half.bounds[3]
            ELSE whole.bounds[2]
        END::numeric,
        'good_to', whole.bounds[3]::numeric,
        'bad_above', whole.bounds[4]::numeric
    )
    FROM kpi_engine.kpi_comment(p_comment) AS comment
    CROSS JOIN unnest(comment.words) AS word (text)
    LEFT JOIN LATERAL regexp_match(
        word.text, '^bands ([0-9.]+) (over|from) ([0-9.]+)$'
    ) AS half (bounds) ON true
    LEFT JOIN LATERAL regexp_match(
        word.text, '^bands ([0-9.]+) ([0-9.]+) ([0-9.]+) ([0-9.]+)$'
    ) AS whole (bounds) ON true
    WHERE half.bounds IS NOT NULL OR whole.bounds IS NOT NULL;
$kpi_bands$;

COMMENT ON FUNCTION kpi_engine.kpi_bands(text) IS
'The bands that the COMMENT of a KPI''s column declares: below and above which number it is bad, '
'from which number to which it is good; between them it needs attention. NULL without bands.';

REVOKE ALL ON FUNCTION kpi_engine.kpi_bands(text) FROM public;
