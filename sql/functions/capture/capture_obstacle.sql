-- Says why existing triggers of change capture can't note changes by key.
--
-- Invariant: NULL if and only if a trigger that fires finds its column, the log and the right to
-- write to it, as migrate made them. kpi_engine.sound_change_log() has the same conditions of the
-- log, for the triggers.

CREATE OR REPLACE FUNCTION kpi_engine.capture_obstacle()
RETURNS text
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $capture_obstacle$
DECLARE
    v_obstacle text;
BEGIN
    -- PL/pgSQL keeps the plan: each tick calls this.
    WITH log AS (
        SELECT
            wanted.name,
            format('kpi_engine.%s', wanted.name) AS full_name,
            pg_class.oid AS relation,
            pg_class.relkind = 'r'
            AND pg_class.relnatts = wanted.columns
            AND pg_class.relchecks = 0
            -- The marks of pg_class stay until the next VACUUM.
            AND NOT (pg_class.relhastriggers AND EXISTS (
                SELECT FROM pg_trigger WHERE pg_trigger.tgrelid = pg_class.oid
            ))
            AND NOT (pg_class.relhasrules AND EXISTS (
                SELECT FROM pg_rewrite WHERE pg_rewrite.ev_class = pg_class.oid
            ))
            AND NOT (pg_class.relhasindex AND EXISTS (
                SELECT FROM pg_index WHERE pg_index.indrelid = pg_class.oid
            ))
            AND NOT pg_class.relrowsecurity
            AND NOT pg_class.relispartition AS is_sound
        FROM (VALUES ('change_log', 2), ('lost_changes', 4)) AS wanted (name, columns)
        LEFT JOIN pg_class
            ON pg_class.relname = wanted.name
            AND pg_class.relnamespace = 'kpi_engine'::regnamespace
    ),

    noting AS (
        SELECT
            pg_proc.oid AS function,
            pg_proc.proname,
            pg_proc.proowner,
            pg_proc.prosecdef
        FROM pg_proc
        WHERE
            pg_proc.pronamespace = 'kpi_engine'::regnamespace
            AND pg_proc.proname = ANY (kpi_engine.noting_functions())
    )

    SELECT string_agg(DISTINCT obstacle.text, '; ' ORDER BY obstacle.text) INTO v_obstacle
    FROM (
        SELECT CASE
            WHEN log.relation IS NULL THEN format('table %s is missing', log.full_name)
            WHEN NOT log.is_sound THEN format(
                'table %s was altered (columns, constraint, trigger, rule, index, policy)',
                log.full_name
            )
            WHEN log.name = 'change_log' AND 2 <> (
                SELECT count(*) FROM pg_attribute
                WHERE
                    pg_attribute.attrelid = log.relation
                    AND (pg_attribute.attname, pg_attribute.atttypid) IN (
                        ('entity', 'text'::regtype), ('key', 'uuid'::regtype)
                    )
                    AND (pg_attribute.attname = 'entity' OR NOT pg_attribute.attnotnull)
            ) THEN format('the columns of table %s were altered', log.full_name)
        END AS text
        FROM log
        UNION ALL
        SELECT CASE
            WHEN NOT noting.prosecdef
                THEN format('function kpi_engine.%s() is not SECURITY DEFINER', noting.proname)
            WHEN NOT has_schema_privilege(noting.proowner, 'kpi_engine'::regnamespace, 'USAGE')
                OR NOT has_table_privilege(noting.proowner, log.relation, 'INSERT')
                THEN format(
                    'role %I, owner of function kpi_engine.%s(), may not insert into %s',
                    pg_get_userbyid(noting.proowner), noting.proname, log.full_name
                )
        END
        FROM noting
        CROSS JOIN log
        UNION ALL
        SELECT format(
            CASE key_found.kind
                WHEN 'v' THEN 'column %2$I of table %1$s is VIRTUAL, which triggers can''t read: make '
                    'it STORED'
                ELSE 'table %s has no column %I of type uuid'
            END, pg_trigger.tgrelid::regclass, key_column.name
        )
        FROM noting
        INNER JOIN pg_trigger ON pg_trigger.tgfoid = noting.function
        CROSS JOIN LATERAL (
            SELECT regexp_replace(noting.proname, '^note_(changed|row)_', '') AS name
        ) AS key_column
        LEFT JOIN LATERAL (
            SELECT pg_attribute.attgenerated AS kind
            FROM pg_attribute
            INNER JOIN pg_type ON pg_type.oid = pg_attribute.atttypid
            WHERE
                pg_attribute.attrelid = pg_trigger.tgrelid
                AND pg_attribute.attname = key_column.name
                AND NOT pg_attribute.attisdropped
                AND 'uuid'::regtype = CASE
                    WHEN pg_type.typtype = 'd' THEN kpi_engine.base_type(pg_type.oid)
                    ELSE pg_type.oid
                END
        ) AS key_found ON true
        WHERE
            noting.proname <> 'note_truncate' AND (key_found.kind IS NULL OR key_found.kind = 'v')
    ) AS obstacle;
    RETURN v_obstacle;
END;
$capture_obstacle$;

COMMENT ON FUNCTION kpi_engine.capture_obstacle() IS
'Why the triggers of change capture that are there can''t note changes by key: a column of a '
'source table, kpi_engine.change_log or a right was changed. NULL when they can. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.capture_obstacle() FROM public;
