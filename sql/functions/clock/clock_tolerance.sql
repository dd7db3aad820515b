-- Says how far in the future a stamp may be before it counts as one of a wrong clock.

CREATE OR REPLACE FUNCTION kpi_engine.clock_tolerance()
RETURNS interval
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
SECURITY INVOKER
RETURN interval '5 minutes';

COMMENT ON FUNCTION kpi_engine.clock_tolerance() IS
'A stamp that is further ahead of the clock is void: it is one of a clock that was wrong. Clocks '
'that are set right by less repeat nothing.';

REVOKE ALL ON FUNCTION kpi_engine.clock_tolerance() FROM public;
