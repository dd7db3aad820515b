-- The source tables whose changes have to be noted, with their partitions.
--
-- Invariant: a statement fires the triggers of the table it names, so every partition, and
-- every table that inherits, needs its own. A view or foreign table can't be captured.

CREATE OR REPLACE FUNCTION analytics.captured_tables()
RETURNS TABLE (relation oid, relation_kind char, entity text, function_name text)
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $captured_tables$
    WITH RECURSIVE wanted AS (
        SELECT
            pg_class.oid AS relation,
            contract.entity,
            contract.function_name
        FROM analytics.installation
        CROSS JOIN (VALUES
            ('usuarios', 'usuario', 'note_changed_id'),
            ('asesores', 'asesor', 'note_changed_id'),
            ('solicitudes', 'solicitud', 'note_changed_id'),
            ('repuestos_solicitados', 'solicitud', 'note_changed_solicitud_id'),
            ('ofertas', 'solicitud', 'note_changed_solicitud_id'),
            ('ofertas_detalle', 'oferta', 'note_changed_oferta_id'),
            ('adjudicaciones_repuesto', 'oferta', 'note_changed_oferta_id'),
            ('ofertas_historicas', 'historica', 'note_changed_id'),
            ('historial_respuestas_ofertas', 'notificacion', 'note_changed_id'),
            ('auditorias_tiendas', 'auditoria', 'note_changed_id'),
            ('auditoria_tiendas', 'auditoria', 'note_changed_id')
        ) AS contract (table_name, entity, function_name)
        INNER JOIN pg_namespace ON pg_namespace.nspname = installation.source_schema
        INNER JOIN pg_class
            ON pg_class.relnamespace = pg_namespace.oid
            AND pg_class.relname = contract.table_name
            AND pg_class.relkind IN ('r', 'p', 'v', 'm', 'f')
        WHERE
            contract.entity <> 'auditoria'
            OR (contract.table_name = 'auditorias_tiendas') = (installation.source_generation = 'A')
    ),

    tree AS (
        SELECT wanted.* FROM wanted
        UNION
        SELECT pg_inherits.inhrelid, tree.entity, tree.function_name
        FROM tree
        INNER JOIN pg_inherits ON pg_inherits.inhparent = tree.relation
    )

    SELECT tree.relation, pg_class.relkind, tree.entity, tree.function_name
    FROM tree
    INNER JOIN pg_class ON pg_class.oid = tree.relation;
$captured_tables$;

COMMENT ON FUNCTION analytics.captured_tables() IS
'Source tables and partitions on which change capture needs triggers, what their keys identify '
'and the trigger function that notes them.';

REVOKE ALL ON FUNCTION analytics.captured_tables() FROM public;
