-- Shows the origins of the figures, if there are several, and how far each is.
--
-- Invariant: figures are partial while an origin is behind, and after that until what came
-- meanwhile is counted: until the next refresh, or until a tick sees that it has caught up and
-- nothing of it waits.
-- SECURITY DEFINER: for readers of the KPIs, who have no right on schema kpi_engine.

CREATE OR REPLACE FUNCTION analytics.origins()
RETURNS TABLE (
    origen text,
    subscriptions text[],
    is_behind boolean,
    cause text,
    as_of timestamptz,
    counted_as_of timestamptz,
    is_partial boolean
)
LANGUAGE plpgsql
STABLE PARALLEL RESTRICTED
SECURITY DEFINER
SET standard_conforming_strings = on
SET quote_all_identifiers = off
SET datestyle = 'ISO, YMD'
SET intervalstyle = postgres
SET extra_float_digits = 1
SET bytea_output = hex
SET search_path = pg_catalog, pg_temp
AS $origins$
#variable_conflict use_column
BEGIN
    RETURN QUERY
        SELECT
            states.origen,
            states.subscriptions,
            states.cause IS NOT NULL,
            states.cause,
            states.as_of,
            origin_marks.counted_as_of,
            states.cause IS NOT NULL OR coalesce(origin_marks.was_behind, false)
        FROM kpi_engine.origin_states() AS states
        LEFT JOIN kpi_engine.origin_marks ON origin_marks.origen = states.origen;
END;
$origins$;

COMMENT ON FUNCTION analytics.origins() IS
'The origins of the figures, if there are several: schemas of the operational tables, or '
'subscriptions that write into the same tables. For each the subscriptions that bring it; whether '
'it is behind now, and why (gone, disabled, no worker, failing, copying, late: by more than the '
'setting replica_lag); until when its changes are here (as far as a tick knows), and in the '
'figures of the last refresh; whether these figures are partial: the origin is behind, or it was '
'at the last refresh, or it is new and was never counted since it was behind. No row: there is one '
'origin.';

REVOKE ALL ON FUNCTION analytics.origins() FROM public;
GRANT EXECUTE ON FUNCTION analytics.origins() TO analytics_lector, analytics_operador;
