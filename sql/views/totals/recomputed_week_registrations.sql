-- In which local week the advisors registered.

CREATE OR REPLACE VIEW kpi_engine.recomputed_week_registrations AS
SELECT
    CASE
        WHEN asesor_facts.registered_on IS NULL THEN date '-infinity'
        ELSE date_trunc('week', asesor_facts.registered_on::timestamp)::date
    END AS semana,
    count(*) AS asesores
FROM kpi_engine.asesor_facts
GROUP BY 1;

COMMENT ON VIEW kpi_engine.recomputed_week_registrations IS
'Advisors by local week of their registration.';
COMMENT ON COLUMN kpi_engine.recomputed_week_registrations.semana IS
'Monday of the week; -infinity where it is not known.';
COMMENT ON COLUMN kpi_engine.recomputed_week_registrations.asesores IS
'Advisors who registered in it, whatever their state.';

REVOKE ALL ON kpi_engine.recomputed_week_registrations FROM public;

SELECT kpi_engine.declare_derived_table(
    'week_registrations', 'difference', ARRAY['semana']
);
