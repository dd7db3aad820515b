-- In which local week the advisors registered.

CREATE OR REPLACE VIEW kpi_engine.recomputed_week_registrations AS
SELECT
    CASE
        -- As kpi_engine.local_date() has its bounds: a week of requests lies between them, and a
        -- timestamp does not reach the ends of all dates.
        WHEN asesor_facts.registered_on IS NULL OR asesor_facts.registered_on < '1900-01-01'
            THEN date '-infinity'
        WHEN asesor_facts.registered_on >= '2200-01-01' THEN date 'infinity'
        ELSE date_trunc('week', asesor_facts.registered_on::timestamp)::date
    END AS semana,
    count(*) AS asesores
FROM kpi_engine.asesor_facts
GROUP BY 1;

COMMENT ON VIEW kpi_engine.recomputed_week_registrations IS
'Advisors by local week of their registration.';
COMMENT ON COLUMN kpi_engine.recomputed_week_registrations.semana IS
'Monday of the week; -infinity where it is not known or before 1900, infinity from 2200 on.';
COMMENT ON COLUMN kpi_engine.recomputed_week_registrations.asesores IS
'Advisors who registered in it, whatever their state.';

REVOKE ALL ON kpi_engine.recomputed_week_registrations FROM public;

SELECT kpi_engine.declare_derived_table(
    'week_registrations', 'difference', ARRAY['semana']
);
