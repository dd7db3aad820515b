-- What an audit adds to its advisor's totals, from the source.
--
-- Invariant: a row without advisor or date belongs to nothing.

CREATE OR REPLACE VIEW analytics.recomputed_auditoria_facts AS
SELECT
    dated.id AS auditoria_id,
    dated.asesor_id,
    dated.local_day,
    dated.fecha_revision,
    dated.puntaje_confianza AS score
FROM (
    SELECT
        src_auditorias_tiendas.*,
        analytics.local_date(
            src_auditorias_tiendas.fecha_revision, (SELECT analytics.setting('time_zone'))
        ) AS local_day
    FROM analytics.src_auditorias_tiendas
) AS dated
WHERE
    dated.asesor_id IS NOT NULL
    AND dated.local_day IS NOT NULL;

COMMENT ON VIEW analytics.recomputed_auditoria_facts IS
'All audits.';
COMMENT ON COLUMN analytics.recomputed_auditoria_facts.auditoria_id IS 'Id of the audit.';
COMMENT ON COLUMN analytics.recomputed_auditoria_facts.asesor_id IS 'The advisor.';
COMMENT ON COLUMN analytics.recomputed_auditoria_facts.local_day IS 'Local date of fecha_revision.';
COMMENT ON COLUMN analytics.recomputed_auditoria_facts.fecha_revision IS 'As stored.';
COMMENT ON COLUMN analytics.recomputed_auditoria_facts.score IS 'puntaje_confianza.';

REVOKE ALL ON analytics.recomputed_auditoria_facts FROM public;

SELECT analytics.declare_derived_table(
    'auditoria_facts', 'key', ARRAY['auditoria_id'],
    p_source_view => 'src_auditorias_tiendas',
    p_entities => '{"auditoria": "auditoria_id"}',
    p_indexes => ARRAY['local_day', 'asesor_id']
);
