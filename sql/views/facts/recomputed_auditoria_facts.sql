-- What an audit adds to its advisor's totals, from the source.
--
-- Invariant: a row without advisor or date belongs to nothing.

CREATE OR REPLACE VIEW kpi_engine.recomputed_auditoria_facts AS
SELECT
    dated.id AS auditoria_id,
    dated.asesor_id,
    dated.local_day,
    dated.fecha_revision,
    dated.puntaje_confianza AS score
FROM (
    SELECT
        src_auditorias_tiendas.*,
        kpi_engine.local_date(
            src_auditorias_tiendas.fecha_revision, (SELECT analytics.setting('time_zone'))
        ) AS local_day
    FROM kpi_engine.src_auditorias_tiendas
) AS dated
WHERE
    dated.asesor_id IS NOT NULL
    AND dated.local_day IS NOT NULL;

COMMENT ON VIEW kpi_engine.recomputed_auditoria_facts IS
'kpi_engine.auditoria_facts, computed from the source table at this moment.';

REVOKE ALL ON kpi_engine.recomputed_auditoria_facts FROM public;
