-- At a site: says to a hub whether it can take rows here, and which.
--
-- Invariant: refusal is NULL only if the facts are those of the rules of facts_version, in
-- time_zone.
-- SECURITY DEFINER: the role of a hub reads no other table of ours.

CREATE OR REPLACE FUNCTION kpi_engine.hub_offer(p_version bigint, p_mark uuid)
RETURNS TABLE (
    refusal text,
    facts_version text,
    time_zone text,
    today date,
    as_of timestamptz,
    version bigint,
    mark uuid,
    is_everything boolean
)
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on
SET quote_all_identifiers = off
SET datestyle = 'ISO, YMD'
SET intervalstyle = postgres
SET extra_float_digits = 1
SET bytea_output = hex
SET row_security = off
AS $hub_offer$
BEGIN
    SELECT
        CASE
            WHEN kpi_engine.is_hub() THEN 'it is a hub itself'
            WHEN analytics.setting('hub_days') = '0'
                THEN 'it notes no changes for a hub: at the site, SELECT '
                    'analytics.set_setting(''hub_days'', ''30'');'
            WHEN engine_state.rebuild_reason IS NOT NULL OR engine_state.time_zone IS NULL
                THEN 'it was never refreshed, or has to compute everything again: it waits for its '
                    'next refresh'
            WHEN
                engine_state.zone_rules <> kpi_engine.zone_rules(
                    engine_state.time_zone, engine_state.zone_from, engine_state.zone_until)
                THEN 'its server got other time zone data, and it was not refreshed since'
            WHEN EXISTS (
                SELECT FROM kpi_engine.derived_tables
                WHERE
                    derived_tables.upkeep = 'key'
                    AND derived_tables.table_name = ANY (kpi_engine.stale_derived_tables())
            )
                THEN 'its rules changed, and it was not refreshed since'
        END,
        engine_state.time_zone,
        engine_state.today
    INTO refusal, time_zone, today
    FROM kpi_engine.engine_state;
    SELECT installation.facts_version INTO facts_version FROM kpi_engine.installation;
    -- A view that reads no facts may be refreshed while the facts are not.
    SELECT coalesce(engine_state.facts_as_of, max(view_state.last_success_at))
    INTO as_of
    FROM kpi_engine.engine_state
    CROSS JOIN kpi_engine.view_state
    GROUP BY engine_state.facts_as_of;
    SELECT known.version, known.mark INTO version, mark
    FROM kpi_engine.hub_versions AS known
    ORDER BY known.version DESC
    LIMIT 1;
    IF version IS NULL AND refusal IS NULL THEN
        refusal := 'it has noted nothing for a hub yet: it waits for its next refresh';
    END IF;
    is_everything := NOT EXISTS (
        SELECT FROM kpi_engine.hub_versions AS known
        WHERE known.version = p_version AND known.mark = p_mark
    ) OR EXISTS (
        SELECT FROM kpi_engine.hub_versions AS known
        WHERE known.version > p_version AND known.is_everything
    );
    RETURN NEXT;
END;
$hub_offer$;

COMMENT ON FUNCTION kpi_engine.hub_offer(bigint, uuid) IS
'What this site offers to a hub that has version p_version with p_mark: why nothing (refusal), '
'the checksum of the rules, zone and local day of the facts, the last refresh that brought them up '
'to date, the newest version, and whether the hub has to take all rows.';

REVOKE ALL ON FUNCTION kpi_engine.hub_offer(bigint, uuid) FROM public;
GRANT EXECUTE ON FUNCTION kpi_engine.hub_offer(bigint, uuid) TO analytics_hub;
