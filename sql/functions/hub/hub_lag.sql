-- At a site: says to a hub whether the facts here lack rows, because the source is behind its
-- publishers, or are such that the gate here refuses them.
--
-- Invariant: behind is NULL only if the source kept up at the refresh that the facts are of, and
-- keeps up now, and the gate holds nothing. counted_as_of is NULL while behind is NULL if this site
-- counts no lag in its own periods either (kpi_engine.facts_counted_until). Else a hub could wait
-- for ever for a publisher that the site does not wait for. It is a function of its own: a hub also
-- asks sites that do not have it yet.
-- SECURITY DEFINER: the role of a hub reads no other table of ours.

CREATE OR REPLACE FUNCTION kpi_engine.hub_lag()
RETURNS TABLE (behind text, counted_as_of timestamptz)
LANGUAGE plpgsql
STABLE PARALLEL RESTRICTED
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on
SET quote_all_identifiers = off
SET datestyle = 'ISO, YMD'
SET intervalstyle = postgres
SET extra_float_digits = 1
SET bytea_output = hex
SET row_security = off
AS $hub_lag$
BEGIN
    RETURN QUERY
        SELECT
            lag.words,
            CASE
                -- Held views show older facts than these. What the breaker holds is in no facts.
                WHEN held.has_view THEN NULL
                WHEN
                    lag.words IS NOT NULL
                    OR analytics.setting('replica_lag') <> 'off'
                    AND NOT kpi_engine.clock_is_pinned()
                    THEN engine_state.facts_counted_as_of
            END
        FROM kpi_engine.engine_state
        LEFT JOIN (
            SELECT
                format('its gate holds back %s since %s', string_agg(
                    DISTINCT gate_holds.view_name, ', '), kpi_engine.iso_instant(min(gate_holds.held_at))
                ) AS words,
                bool_or(gate_holds.view_name <> 'changes') AS has_view
            FROM kpi_engine.gate_holds
            HAVING count(*) > 0
        ) AS held ON true
        CROSS JOIN LATERAL (
            SELECT nullif(
                concat_ws(
                    '; ',
                    coalesce(engine_state.facts_behind, (
                        SELECT string_agg(problem.message, '; ')
                        FROM kpi_engine.replica_problem() AS problem
                    )),
                    held.words
                ),
                ''
            ) AS words
        ) AS lag;
END;
$hub_lag$;

COMMENT ON FUNCTION kpi_engine.hub_lag() IS
'Why the figures of this site lack rows or are held back by its gate (NULL: neither), and until '
'when the changes of all its publishers are counted (NULL: not known, or it keeps up and its '
'setting replica_lag is off).';

REVOKE ALL ON FUNCTION kpi_engine.hub_lag() FROM public;
GRANT EXECUTE ON FUNCTION kpi_engine.hub_lag() TO analytics_hub;
