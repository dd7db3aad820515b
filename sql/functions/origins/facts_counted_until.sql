-- Says until when all that happened is in the facts.
--
-- Invariant: a period that ends later may lack rows in them. A publisher, an origin or a site was
-- behind at the last refresh, or a site refreshed last before that end. -infinity where nobody
-- knows. A lag within the setting replica_lag counts, too, unless the setting is off or the clock
-- is pinned: a pinned instant can't be compared with those of a publisher.

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
                SELECT min(coalesce(sites.counted_until, '-infinity'))
                FROM kpi_engine.counted_sites() AS sites
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
