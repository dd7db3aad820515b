-- The checks of the doctor about what operators set: settings and targets.
--
-- Invariant: the rules are in kpi_engine.setting_problem(), the defaults in
-- kpi_engine.setting_defaults(), and nowhere else.
-- SECURITY DEFINER: operators may call neither function.

CREATE OR REPLACE FUNCTION kpi_engine.doctor_settings(p_check text, p_production boolean)
RETURNS TABLE (status text, message text, fixes text[])
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY DEFINER
SET standard_conforming_strings = on
SET quote_all_identifiers = off
SET datestyle = 'ISO, YMD'
SET intervalstyle = postgres
SET extra_float_digits = 1
SET bytea_output = hex
SET search_path = pg_catalog, pg_temp
AS $doctor_settings$
#variable_conflict use_column
BEGIN
    CASE p_check
        WHEN 'values' THEN
            RETURN QUERY
                SELECT
                    'wrong',
                    format('setting %s is %L. %s', settings.name, settings.value, problem.text),
                    ARRAY[CASE
                        WHEN defaults.name IS NULL
                            THEN format(
                                'DELETE FROM kpi_engine.settings WHERE name = %L;', settings.name
                            )
                        ELSE format(
                            'SELECT analytics.set_setting(%L, %L);  -- puts the default back',
                            settings.name, defaults.value
                        )
                    END]
                FROM analytics.settings
                CROSS JOIN LATERAL (
                    SELECT kpi_engine.setting_problem(settings.name, settings.value) AS text
                ) AS problem
                LEFT JOIN kpi_engine.setting_defaults() AS defaults ON defaults.name = settings.name
                WHERE problem.text IS NOT NULL
                ORDER BY settings.name;
            RETURN QUERY
                SELECT
                    'wrong',
                    format('setting %s is gone', defaults.name),
                    ARRAY[format(
                        'INSERT INTO kpi_engine.settings (name, value, description) SELECT * FROM '
                        'kpi_engine.setting_defaults() WHERE name = %L;', defaults.name
                    )]
                FROM kpi_engine.setting_defaults() AS defaults
                WHERE defaults.name NOT IN (SELECT settings.name FROM analytics.settings)
                ORDER BY defaults.name;
            RETURN QUERY
                SELECT 'ok', format('%s settings', count(*)), ARRAY[]::text[]
                FROM analytics.settings;
        WHEN 'clock' THEN
            RETURN QUERY
                SELECT
                    CASE WHEN clock.can_be_pinned AND p_production THEN 'warning' ELSE 'ok' END,
                    CASE
                        WHEN NOT clock.can_be_pinned THEN 'can''t be pinned'
                        WHEN p_production
                            THEN 'sessions may pin the clock (allow_pinned_clock is on): with it an '
                                || 'operator can publish the ranking of another day'
                        ELSE 'can be pinned, for tests; not right in production '
                            || '(ENVIRONMENT=production)'
                    END,
                    CASE
                        WHEN clock.can_be_pinned AND p_production THEN ARRAY[
                            'SELECT analytics.set_setting(''allow_pinned_clock'', ''off'');',
                            '-- $ ENVIRONMENT=production make migrate  # keeps it off'
                        ]
                        ELSE ARRAY[]::text[]
                    END
                FROM (
                    SELECT analytics.setting('allow_pinned_clock') <> 'off' AS can_be_pinned
                ) AS clock;
        WHEN 'targets' THEN
            RETURN QUERY
                SELECT
                    'warning',
                    format(
                        'the target of %s.%s from %s counts for nothing: %s',
                        target.view_name, target.column_name, target.first_period, target.stale
                    ),
                    ARRAY[format(
                        'SELECT analytics.remove_target(%L, %L, %L);',
                        target.view_name, target.column_name, target.first_period
                    )]
                FROM kpi_engine.known_targets() AS target
                WHERE target.stale IS NOT NULL;
            RETURN QUERY
                SELECT 'ok', format('%s targets', count(*)), ARRAY[]::text[]
                FROM kpi_engine.targets;
    END CASE;
END;
$doctor_settings$;

COMMENT ON FUNCTION kpi_engine.doctor_settings(text, boolean) IS
'Makes one check of group settings of analytics.doctor(): status, message, fixes. The checks:
values: each setting exists and has a right value
clock: nobody can pin the clock of a session in production
targets: each target is of a column that exists
p_production says whether this is production. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.doctor_settings(text, boolean) FROM public;
GRANT EXECUTE ON FUNCTION kpi_engine.doctor_settings(text, boolean)
TO analytics_operador;
