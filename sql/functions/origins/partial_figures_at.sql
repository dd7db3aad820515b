-- Lists what the figures lacked rows of at a moment of the past, and since when.

CREATE OR REPLACE FUNCTION kpi_engine.partial_figures_at(p_at timestamptz)
RETURNS TABLE (origen text, since timestamptz, is_site boolean)
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $partial_figures_at$
    SELECT spans.origen, spans.since, spans.is_site
    FROM kpi_engine.partial_spans AS spans
    WHERE
        spans.noted_at <= p_at
        AND coalesce(spans.ended_at > p_at, true);
$partial_figures_at$;

COMMENT ON FUNCTION kpi_engine.partial_figures_at(timestamptz) IS
'What kpi_engine.partial_figures(false) gave at p_at, as ticks and refreshes noted it. Internal to '
'the header X-Partial of an answer with as_of.';

REVOKE ALL ON FUNCTION kpi_engine.partial_figures_at(timestamptz) FROM public;
