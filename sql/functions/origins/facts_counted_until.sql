-- Says until when all that happened is in the facts.
--
-- Invariant: a period that ends later may lack rows in them: a publisher, an origin or a site was
-- behind at the last refresh, or a site refreshed last before that end. -infinity where nobody
-- knows. What a subscription lacks within the setting replica_lag counts, too, unless that is off.
-- With a pinned clock it does not: its instants are others than those of a publisher.

CREATE OR REPLACE FUNCTION kpi_engine.facts_counted_until()
RETURNS timestamptz
LANGUAGE plpgsql
STABLE PARALLEL RESTRICTED
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $facts_counted_until$
BEGIN
    -- PL/pgSQL keeps the plan: each refresh calls this.
    RETURN (
        SELECT least(
            analytics.now(),
            CASE
                WHEN engine_state.facts_behind IS NOT NULL
                    THEN coalesce(engine_state.facts_counted_as_of, '-infinity')
                WHEN analytics.setting('replica_lag') <> 'off' AND NOT kpi_engine.clock_is_pinned()
                    THEN engine_state.facts_counted_as_of
            END,
            (
                SELECT min(
                    CASE
                        WHEN hub_sites.as_of IS NULL THEN '-infinity'
                        WHEN hub_sites.behind IS NULL THEN hub_sites.as_of
                        ELSE least(hub_sites.as_of, coalesce(hub_sites.counted_as_of, '-infinity'))
                    END
                )
                FROM kpi_engine.hub_sites
            )
        )
        FROM kpi_engine.engine_state
    );
END;
$facts_counted_until$;

COMMENT ON FUNCTION kpi_engine.facts_counted_until() IS
'Until when the changes of all publishers, origins and sites are in the facts; -infinity if that '
'is not known. Internal to kpi_engine.run_refresh().';

REVOKE ALL ON FUNCTION kpi_engine.facts_counted_until() FROM public;
