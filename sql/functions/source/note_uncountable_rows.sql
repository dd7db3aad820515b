-- Notes rows of the source that can't be counted, and forgets rows that can be counted again.
--
-- Invariant: a refresh of few keys hardly notices the cost. This looks at nothing for more than
-- 1,000 keys, or for everything in a large source. The daily self-audit goes through all rows in
-- turn. It notes at most 1,000 rows at a time.

CREATE OR REPLACE FUNCTION kpi_engine.note_uncountable_rows(
    p_everything boolean,
    p_solicitud_ids uuid[] DEFAULT NULL,
    p_asesor_ids uuid[] DEFAULT NULL,
    p_usuario_ids uuid[] DEFAULT NULL,
    p_historica_ids uuid[] DEFAULT NULL,
    p_notificacion_ids uuid[] DEFAULT NULL,
    p_auditoria_ids uuid[] DEFAULT NULL
)
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $note_uncountable_rows$
DECLARE
    v_found record;
    v_ids jsonb;
BEGIN
    IF EXISTS (SELECT FROM kpi_engine.uncountable_rows) THEN
        SELECT jsonb_object_agg(known.table_name, known.ids) INTO v_ids
        FROM (
            SELECT uncountable_rows.table_name, array_agg(uncountable_rows.row_id) AS ids
            FROM kpi_engine.uncountable_rows
            GROUP BY uncountable_rows.table_name
        ) AS known;
        FOR v_found IN SELECT known.key AS table_name FROM jsonb_each(v_ids) AS known LOOP
            EXECUTE format(
                'DELETE FROM kpi_engine.uncountable_rows AS known
                 WHERE known.table_name = %1$L AND NOT EXISTS (
                     SELECT FROM kpi_engine.%2$I AS source
                     WHERE source.id = known.row_id AND source.uncountable IS NOT NULL
                 )',
                v_found.table_name,
                'src_' || replace(v_found.table_name, 'auditoria_tiendas', 'auditorias_tiendas')
            );
        END LOOP;
    END IF;
    INSERT INTO kpi_engine.uncountable_rows AS known (table_name, row_id, column_names)
    SELECT found.table_name, found.row_id, max(found.column_names)
    FROM kpi_engine.uncountable_in_source(
        p_everything, p_solicitud_ids, p_asesor_ids, p_usuario_ids, p_historica_ids,
        p_notificacion_ids, p_auditoria_ids
    ) AS found
    GROUP BY found.table_name, found.row_id
    LIMIT 1000
    ON CONFLICT (table_name, row_id) DO UPDATE SET column_names = excluded.column_names
    WHERE known.column_names <> excluded.column_names;
END;
$note_uncountable_rows$;

COMMENT ON FUNCTION kpi_engine.note_uncountable_rows(
    boolean, uuid[], uuid[], uuid[], uuid[], uuid[], uuid[]
) IS
'Brings analytics.uncountable_rows up to date for these keys, or for everything. Internal to the '
'refresh and the self-audit.';

REVOKE ALL ON FUNCTION kpi_engine.note_uncountable_rows(
    boolean, uuid[], uuid[], uuid[], uuid[], uuid[], uuid[]
) FROM public;
