-- Moves the advisors' windows forward to another day.
--
-- Invariant: notes in the work tables what leaves and what enters the windows, once; rows
-- older than the 30-day window are forgotten. The cost follows the days that
-- leave and enter, not the windows.

CREATE OR REPLACE FUNCTION kpi_engine.move_asesor_windows(p_from date, p_to date)
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $move_asesor_windows$
BEGIN
    EXECUTE format(
        'INSERT INTO kpi_engine.changed_asesor_rows
         SELECT
             CASE WHEN local_day > $1 THEN 1 ELSE -1 END,
             asesor_id, offers, offers_won, offers_accepted, offers_delivered, response_seconds,
             amount, notifications, notifications_answered, answer_seconds
         FROM (%s) AS window_row
         WHERE
             local_day BETWEEN $1 - 29 AND least($1, $2 - 30)
             OR local_day BETWEEN greatest($1 + 1, $2 - 29) AND $2',
        kpi_engine.asesor_window_query('')
    ) USING p_from, p_to;
    DELETE FROM kpi_engine.historica_facts WHERE historica_facts.local_day < p_to - 29;
    DELETE FROM kpi_engine.notificacion_facts WHERE notificacion_facts.local_day < p_to - 29;

    INSERT INTO kpi_engine.changed_asesor_ids (asesor_id)
    SELECT DISTINCT auditoria_facts.asesor_id
    FROM kpi_engine.auditoria_facts
    WHERE
        auditoria_facts.local_day BETWEEN p_from - 89 AND least(p_from, p_to - 90)
        OR auditoria_facts.local_day BETWEEN p_from + 1 AND p_to;
END;
$move_asesor_windows$;

COMMENT ON FUNCTION kpi_engine.move_asesor_windows(date, date) IS
'Notes what leaves and enters the advisors'' windows when they end with p_to instead of the '
'earlier p_from. Internal to kpi_engine.apply_asesor_changes().';

REVOKE ALL ON FUNCTION kpi_engine.move_asesor_windows(date, date) FROM public;
