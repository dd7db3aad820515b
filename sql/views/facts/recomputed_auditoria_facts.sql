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
'All audits.';
COMMENT ON COLUMN kpi_engine.recomputed_auditoria_facts.auditoria_id IS 'Id of the audit.';
COMMENT ON COLUMN kpi_engine.recomputed_auditoria_facts.asesor_id IS 'The advisor.';
COMMENT ON COLUMN kpi_engine.recomputed_auditoria_facts.local_day IS
'Local date of fecha_revision.';
COMMENT ON COLUMN kpi_engine.recomputed_auditoria_facts.fecha_revision IS 'As stored.';
COMMENT ON COLUMN kpi_engine.recomputed_auditoria_facts.score IS 'puntaje_confianza.';

REVOKE ALL ON kpi_engine.recomputed_auditoria_facts FROM public;

SELECT kpi_engine.declare_derived_table(
    'auditoria_facts', 'key', ARRAY['auditoria_id'],
    p_source_view => 'src_auditorias_tiendas',
    p_entities => '{"auditoria": "auditoria_id"}',
    p_indexes => ARRAY['local_day', 'asesor_id']
);
