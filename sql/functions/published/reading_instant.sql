-- Reads the moment as of which somebody asks: a day, or an instant.
--
-- Invariant: a day means its end, in the zone of the setting time_zone; today means now. An instant
-- without an offset is local, and without microseconds it means its whole millisecond. The answer
-- is NULL if the text is neither, or in the future.

CREATE OR REPLACE FUNCTION kpi_engine.reading_instant(p_text text)
RETURNS timestamptz
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $reading_instant$
DECLARE
    v_zone constant text := analytics.setting('time_zone');
    v_now constant timestamptz := analytics.now();
    v_instant timestamptz;
BEGIN
    IF p_text ~ '^\d{4}-\d\d-\d\d$' THEN
        IF p_text::date = analytics.today() THEN
            RETURN v_now;
        END IF;
        -- The first midnight, where the clock is put back over it.
        v_instant := coalesce(
            kpi_engine.slot_instant(p_text::date + 1, '00:00', v_zone),
            (p_text::date + 1)::timestamp AT TIME ZONE v_zone
        ) - interval '1 microsecond';
    ELSIF p_text ~ '^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?( ?(Z|[+-]\d\d(:?\d\d)?))?$' THEN
        v_instant := CASE
            WHEN p_text ~ '^.{11}.*[Z+-]' THEN p_text::timestamptz
            ELSE p_text::timestamp AT TIME ZONE v_zone
        END;
    END IF;
    RETURN CASE
        -- Answers of the API have milliseconds, and a publish has microseconds.
        WHEN v_instant <= v_now AND v_instant = date_trunc('milliseconds', v_instant)
            THEN least(v_instant + interval '999 microseconds', v_now)
        WHEN v_instant <= v_now THEN v_instant
    END;
EXCEPTION
    -- Such as 2026-02-30, or an offset of +16:00.
    WHEN datetime_field_overflow
        OR invalid_datetime_format
        OR invalid_time_zone_displacement_value THEN
        RETURN NULL;
END;
$reading_instant$;

COMMENT ON FUNCTION kpi_engine.reading_instant(text) IS
'A day (YYYY-MM-DD, meaning its end) or an instant (YYYY-MM-DDTHH:MM, with or without seconds and '
'offset) that is not in the future; NULL for any other text. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.reading_instant(text) FROM public;
