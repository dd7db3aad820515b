-- Refuses views and functions that read a column which left the definition of a derived table.
--
-- Invariant: nobody would fill that column, so a view could show old values.
-- make migrate asks this at its end, when each file is applied. A function counts as a reader if it
-- names both the table and the column.

CREATE OR REPLACE FUNCTION kpi_engine.refuse_vanished_columns()
RETURNS void
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $refuse_vanished_columns$
DECLARE
    v_vanished record;
    v_readers text;
BEGIN
    -- Usually there is none. To read the bodies of all functions takes a while.
    FOR v_vanished IN
        SELECT
            derived_tables.table_name,
            pg_attribute.attrelid,
            pg_attribute.attnum,
            pg_attribute.attname
        FROM kpi_engine.derived_tables
        INNER JOIN pg_attribute
            ON pg_attribute.attrelid
            = to_regclass(format('kpi_engine.%I', derived_tables.table_name))
            AND pg_attribute.attnum > 0
            AND NOT pg_attribute.attisdropped
            AND pg_attribute.attname <> ALL (
                derived_tables.key_columns || derived_tables.value_columns
            )
        ORDER BY derived_tables.table_name, pg_attribute.attname
    LOOP
        SELECT string_agg(DISTINCT reader.name, ', ' ORDER BY reader.name) INTO v_readers
        FROM (
            SELECT pg_rewrite.ev_class::regclass::text AS name
            FROM pg_depend
            INNER JOIN pg_rewrite
                ON pg_rewrite.oid = pg_depend.objid
                AND pg_rewrite.ev_class <> v_vanished.attrelid
            WHERE
                pg_depend.refclassid = 'pg_class'::regclass
                AND pg_depend.refobjid = v_vanished.attrelid
                AND pg_depend.refobjsubid = v_vanished.attnum
                AND pg_depend.classid = 'pg_rewrite'::regclass
            UNION ALL
            SELECT functions.name
            FROM kpi_engine.functions_naming(v_vanished.table_name) AS functions
            WHERE
                -- Not where each use has the name of another relation, as in offer.estado.
                EXISTS (
                    SELECT
                    FROM regexp_matches(
                        functions.body, format('(?:\m(\w+)\.)?\m%s\M', v_vanished.attname), 'g'
                    ) AS used (words)
                    WHERE
                        used.words[1] IS NULL
                        OR NOT EXISTS (
                            SELECT
                            FROM regexp_matches(
                                functions.body,
                                format(
                                    '(?:FROM|JOIN)\s+(?:\w+\.)?(\w+\s+AS\s+%1$s|%1$s)\M',
                                    used.words[1]
                                ),
                                'gi'
                            ) AS named (words)
                            WHERE named.words[1] !~* format('^%s\M', v_vanished.table_name)
                        )
                )
        ) AS reader;
        IF v_readers IS NOT NULL THEN
            RAISE EXCEPTION 'column % of derived table % is not in its definition any more, '
                'and % reads it',
                v_vanished.attname, v_vanished.table_name, v_readers
                USING ERRCODE = 'dependent_objects_still_exist',
                      DETAIL = 'Nobody would fill it; nothing was changed.',
                      HINT = format('Change that too, or give recomputed_%s the column back.',
                          v_vanished.table_name);
        END IF;
    END LOOP;
END;
$refuse_vanished_columns$;

COMMENT ON FUNCTION kpi_engine.refuse_vanished_columns() IS
'Raises 2BP01 if a view or function reads a column of a derived table that its definition no '
'longer has. Internal to make migrate.';

REVOKE ALL ON FUNCTION kpi_engine.refuse_vanished_columns() FROM public;
