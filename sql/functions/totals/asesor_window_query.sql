-- Writes the query for all rows that count for the 30-day windows, in the shape of
-- changed_asesor_rows.
--
-- Invariant: historical offers and notifications are rows of their own, never joined.

CREATE OR REPLACE FUNCTION kpi_engine.asesor_window_query(p_suffix text)
RETURNS text
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $asesor_window_query$
    SELECT format($query$
        SELECT
            1::smallint AS sign,
            historica.asesor_id,
            1 AS offers,
            historica.is_won::integer AS offers_won,
            historica.is_accepted::integer AS offers_accepted,
            historica.is_delivered::integer AS offers_delivered,
            historica.response_seconds,
            historica.amount,
            0 AS notifications,
            0 AS notifications_answered,
            NULL::numeric AS answer_seconds,
            historica.local_day
        FROM kpi_engine.%I AS historica
        UNION ALL
        SELECT
            1::smallint, notificacion.asesor_id, 0, 0, 0, 0, NULL, NULL,
            1, notificacion.is_answered::integer, notificacion.response_seconds,
            notificacion.local_day
        FROM kpi_engine.%I AS notificacion
        $query$, 'historica_facts' || p_suffix, 'notificacion_facts' || p_suffix);
$asesor_window_query$;

COMMENT ON FUNCTION kpi_engine.asesor_window_query(text) IS
'Query for the historical offers and notifications of a set (_a, _b, or nothing for the active '
'one), in the shape of changed_asesor_rows with sign 1, and their local_day. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.asesor_window_query(text) FROM public;
