-- Tells what the server of a foreign table lacks so that its rows can be counted.
--
-- Invariant: no row for a table that is here. A server of postgres_fdw without row_security=off may
-- leave rows out without an error, and that gives a wrong number. One without limits of time can
-- hang, and would hold up the refresh. It looks into the catalog alone. Options of other wrappers
-- are unknown.

CREATE OR REPLACE FUNCTION kpi_engine.server_fault(p_relation oid)
RETURNS TABLE (server_name text, fault text, remedy text)
LANGUAGE sql
STABLE PARALLEL SAFE
ROWS 1
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $server_fault$
    SELECT
        pg_foreign_server.srvname::text,
        'has no limit of time (connect_timeout, statement_timeout), or may leave rows out '
        '(row_security)',
        format(
            'ALTER SERVER %I OPTIONS (ADD connect_timeout ''5'', ADD options ''-c '
            'statement_timeout=20s -c row_security=off''); (SET where it has such an option)',
            pg_foreign_server.srvname
        )
    FROM pg_foreign_table
    INNER JOIN pg_foreign_server ON pg_foreign_server.oid = pg_foreign_table.ftserver
    INNER JOIN pg_foreign_data_wrapper
        ON
            pg_foreign_data_wrapper.oid = pg_foreign_server.srvfdw
            AND pg_foreign_data_wrapper.fdwname = 'postgres_fdw'
    WHERE
        pg_foreign_table.ftrelid = p_relation
        AND NOT EXISTS (
            SELECT FROM pg_options_to_table(pg_foreign_server.srvoptions) AS option
            HAVING
                bool_or(
                    option.option_name = 'connect_timeout' AND option.option_value ~ '^[1-9]\d*$'
                )
                AND bool_or(
                    option.option_name = 'options'
                    AND option.option_value ~ 'statement_timeout=[1-9]'
                    AND option.option_value ~ 'row_security=off'
                )
        );
$server_fault$;

COMMENT ON FUNCTION kpi_engine.server_fault(oid) IS
'The server of a foreign table, if it has no limit of time or may leave rows out: its name, what '
'is wrong, and the statement that mends it. No row: nothing is wrong, or the table is no foreign '
'table of postgres_fdw. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.server_fault(oid) FROM public;
