-- What is wrong, in words for everybody.
--
-- Invariant: no statement, no table, no path, no figure: GET /health shows them without a token.

CREATE OR REPLACE FUNCTION kpi_engine.problem_in_short(p_problem text)
RETURNS text
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
SECURITY INVOKER
RETURN CASE p_problem
    WHEN 'never_populated' THEN 'a view has no data yet'
    WHEN 'stale' THEN 'the figures are over 26 hours old'
    WHEN 'aging' THEN 'the figures are over 25 hours old'
    WHEN 'refresh_failed' THEN 'the last refresh failed'
    WHEN 'scheduler_down' THEN 'the scheduler does not run'
    WHEN 'drift' THEN 'figures differ from what they are computed from'
    WHEN 'slow' THEN 'the last refresh was slow'
    WHEN 'missing_indexes' THEN 'refreshes are slower than they need to be'
    WHEN 'row_drop' THEN 'a view lost half of its rows'
    WHEN 'missed_slot' THEN 'a daily refresh did not start in time'
    WHEN 'clock' THEN 'the clock of the server was wrong or is wrong'
    WHEN 'lock_blocked' THEN 'a lock that somebody holds keeps refreshes from going on'
    WHEN 'uncountable_rows' THEN 'rows hold values that can not be counted'
    WHEN 'capture_gap' THEN 'changes are not noted'
    WHEN 'source_moved' THEN 'the operational tables changed and have to be bound again'
    WHEN 'source_hidden' THEN 'the operational tables can not be read in full'
    ELSE 'ask with a token for what it is'
END;

COMMENT ON FUNCTION kpi_engine.problem_in_short(text) IS
'General words for a problem of analytics.health_problems(), for who has no token of the HTTP '
'API.';

REVOKE ALL ON FUNCTION kpi_engine.problem_in_short(text) FROM public;
