-- Whether a figure misses a target.

CREATE OR REPLACE FUNCTION kpi_engine.misses_target(
    p_figure numeric, p_target numeric, p_better text
)
RETURNS boolean
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
SECURITY INVOKER
RETURN CASE p_better WHEN 'up' THEN p_figure < p_target ELSE p_figure > p_target END;

COMMENT ON FUNCTION kpi_engine.misses_target(numeric, numeric, text) IS
'True if p_figure is under p_target where more is better (p_better up), or over it where less is '
'better (down); NULL without a figure.';

REVOKE ALL ON FUNCTION kpi_engine.misses_target(numeric, numeric, text) FROM public;
