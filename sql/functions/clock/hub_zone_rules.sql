-- At a site: tells a hub by which rules of the time zone the days here are computed.
--
-- Invariant: it is about the zone that kpi_engine.hub_offer() gives, the one of the facts. The
-- setting may be another one until the next refresh.
-- It is a function of its own: a hub also asks sites that do not have it yet.
-- SECURITY DEFINER: the role of a hub reads no setting of ours.

CREATE OR REPLACE FUNCTION kpi_engine.hub_zone_rules(p_from date, p_until date)
RETURNS text
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $hub_zone_rules$
    SELECT kpi_engine.zone_rules(
        coalesce(
            (SELECT engine_state.time_zone FROM kpi_engine.engine_state),
            analytics.setting('time_zone')
        ),
        -- No day of a fact is further away (kpi_engine.local_date).
        greatest(p_from, '1900-01-01'),
        least(p_until, '2200-01-01')
    );
$hub_zone_rules$;

COMMENT ON FUNCTION kpi_engine.hub_zone_rules(date, date) IS
'Checksum of the instants at which the local days p_from to p_until begin, in the time zone of the '
'facts by the rules of this server; NULL if one of them is NULL. For a hub, which compares it with '
'its own.';

REVOKE ALL ON FUNCTION kpi_engine.hub_zone_rules(date, date) FROM public;
GRANT EXECUTE ON FUNCTION kpi_engine.hub_zone_rules(date, date) TO analytics_hub;
