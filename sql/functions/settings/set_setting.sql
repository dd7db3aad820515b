-- Changes one setting, validated by the trigger of analytics.settings.
--
-- Invariant: either the setting holds the new value afterwards, or there is an error.

CREATE OR REPLACE FUNCTION analytics.set_setting(p_name text, p_value text)
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $set_setting$
BEGIN
    PERFORM analytics.setting(p_name);
    IF p_value IS NULL THEN
        RAISE EXCEPTION 'p_value must not be NULL'
            USING ERRCODE = 'null_value_not_allowed',
                  DETAIL = format('Setting %I.', p_name),
                  HINT = (SELECT settings.description FROM kpi_engine.settings
                          WHERE settings.name = p_name);
    END IF;
    UPDATE kpi_engine.settings SET value = p_value WHERE settings.name = p_name;
END;
$set_setting$;

COMMENT ON FUNCTION analytics.set_setting(text, text) IS
'Changes a setting. It takes effect at once. For the owner. Operators change the daily slot with '
'analytics.set_schedule().';

REVOKE ALL ON FUNCTION analytics.set_setting(text, text) FROM public;
