-- Sets the target of a KPI column, from a period on.
--
-- Invariant: afterwards the column has this target from the first period until its next target, or
-- there is an error. A target that is the same already keeps its name and instant, and each one
-- the instant at which it was first set.
-- SECURITY DEFINER: operators write nothing by themselves.

CREATE OR REPLACE FUNCTION analytics.set_target(
    p_view_name text,
    p_column_name text,
    p_first_period date,
    p_value numeric,
    p_better text DEFAULT NULL
)
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY DEFINER
SET standard_conforming_strings = on
SET quote_all_identifiers = off
SET datestyle = 'ISO, YMD'
SET intervalstyle = postgres
SET extra_float_digits = 1
SET bytea_output = hex
SET search_path = pg_catalog, pg_temp
AS $set_target$
DECLARE
    v_wrong record;
BEGIN
    SELECT * INTO v_wrong
    FROM kpi_engine.wrong_target(
        p_view_name, p_column_name, p_first_period, p_value, p_better
    );
    IF FOUND THEN
        RAISE EXCEPTION '% must be %',
            CASE v_wrong.parameter
                WHEN 'view' THEN 'p_view_name'
                WHEN 'column' THEN 'p_column_name'
                WHEN 'from' THEN 'p_first_period'
                ELSE 'p_' || v_wrong.parameter
            END, v_wrong.right_values
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('Got %s.', coalesce(quote_literal(v_wrong.given), 'NULL')),
                  HINT = 'SELECT * FROM analytics.targets; shows the targets that there are.';
    END IF;
    INSERT INTO kpi_engine.targets AS known (
        view_name, column_name, first_period, value, better, set_by, set_at, first_set_at
    )
    VALUES (
        p_view_name, p_column_name, p_first_period, trim_scale(p_value), p_better,
        kpi_engine.requester(), analytics.now(), analytics.now()
    )
    ON CONFLICT (view_name, column_name, first_period) DO UPDATE SET
        value = excluded.value,
        better = coalesce(excluded.better, known.better),
        set_by = excluded.set_by,
        set_at = excluded.set_at,
        -- Later than now: a clock was ahead.
        first_set_at = least(known.first_set_at, excluded.first_set_at)
    WHERE
        known.value <> excluded.value
        OR known.better IS DISTINCT FROM coalesce(excluded.better, known.better);
    IF FOUND THEN
        PERFORM kpi_engine.end_target_alerts(p_view_name, p_column_name, p_first_period);
    END IF;
END;
$set_target$;

COMMENT ON FUNCTION analytics.set_target(text, text, date, numeric, text) IS
'Sets the target of a column of a KPI view, from a period on until the next target of the column. '
'p_first_period: the first day of a month, week or day of the view; any day where the view has no '
'time. p_better: up (p_value or more is right) or down (p_value or less); it is needed where the '
'catalogue has no direction for the column, else leave it out. A target of the same period is '
'replaced. Your name and the instant are kept. Error: 22023 names the wrong parameter and the '
'right values.';

REVOKE ALL ON FUNCTION analytics.set_target(text, text, date, numeric, text) FROM public;
GRANT EXECUTE ON FUNCTION analytics.set_target(text, text, date, numeric, text)
TO analytics_operador;
