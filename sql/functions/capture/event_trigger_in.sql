-- Names the event trigger that raised an error.
--
-- Invariant: NULL for any other error. Event triggers belong to other people. The reader of the
-- error needs to know whom to ask.

CREATE OR REPLACE FUNCTION kpi_engine.event_trigger_in(p_context text)
RETURNS text
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $event_trigger_in$
    SELECT format(
        ' (raised by event trigger %s of this database, function %s: ask its owner %s)',
        string_agg(quote_ident(pg_event_trigger.evtname), ', ' ORDER BY pg_event_trigger.evtname),
        pg_event_trigger.evtfoid::regprocedure,
        string_agg(DISTINCT quote_ident(pg_get_userbyid(pg_event_trigger.evtowner)), ', ')
    )
    FROM pg_event_trigger
    INNER JOIN pg_proc ON pg_proc.oid = pg_event_trigger.evtfoid
    WHERE
        pg_event_trigger.evtenabled <> 'D'
        AND p_context ~ ('(^|[^[:alnum:]_$])' || regexp_replace(
            quote_ident(pg_proc.proname), '([^[:alnum:]_])', '\\\1', 'g'
        ) || '\(\)')
    GROUP BY pg_event_trigger.evtfoid
    LIMIT 1;
$event_trigger_in$;

COMMENT ON FUNCTION kpi_engine.event_trigger_in(text) IS
'Words about the event trigger whose function is in the context of an error, to be appended to its '
'message; NULL where there is none. Internal to the refresh and the rebuild.';

REVOKE ALL ON FUNCTION kpi_engine.event_trigger_in(text) FROM public;
GRANT EXECUTE ON FUNCTION kpi_engine.event_trigger_in(text)
TO analytics_operador, analytics_scheduler;
