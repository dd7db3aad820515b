-- Tells whether a change of a source table, which could be noted in no table, may still be unseen.

CREATE OR REPLACE FUNCTION kpi_engine.has_unnoted_changes()
RETURNS boolean
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $has_unnoted_changes$
BEGIN
    -- PL/pgSQL keeps the plan: each tick calls this.
    RETURN (
        SELECT EXISTS (
            SELECT FROM kpi_engine.engine_state
            CROSS JOIN kpi_engine.unnoted_changes
            WHERE
                engine_state.unnoted_seen <> unnoted_changes.last_value
                OR engine_state.unnoted_until IS NOT NULL
        )
    );
END;
$has_unnoted_changes$;

COMMENT ON FUNCTION kpi_engine.has_unnoted_changes() IS
'True if the sequence kpi_engine.unnoted_changes moved and not everything was computed again '
'since. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.has_unnoted_changes() FROM public;
