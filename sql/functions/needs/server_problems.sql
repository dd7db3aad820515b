-- Lists what does not fit in the server and the database.
--
-- Invariant: is_fatal if the numbers would be wrong. Then migrate refuses to install. It runs this
-- query from the file.

CREATE OR REPLACE FUNCTION kpi_engine.server_problems()
RETURNS TABLE (is_fatal boolean, message text, hint text)
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $server_problems$
    SELECT
        problem.is_fatal,
        problem.message,
        problem.hint
    FROM (
        SELECT
            current_setting('server_version_num')::integer / 10000 AS version,
            pg_encoding_to_char(pg_database.encoding) AS encoding,
            -- The letter ë, which other encodings may not have.
            chr(CASE pg_encoding_to_char(pg_database.encoding) WHEN 'UTF8' THEN 235 END) AS letter
        FROM pg_database
        WHERE pg_database.datname = current_database()
    ) AS server
    CROSS JOIN LATERAL (
        VALUES
        (
            server.version < 15,
            true,
            format('PostgreSQL %s is too old: 15 to 18 are supported', server.version),
            'Upgrade the server.'
        ),
        (
            server.version > 18,
            false,
            format('PostgreSQL %s is newer than what was tested (15 to 18)', server.version),
            NULL
        ),
        (
            server.encoding <> 'UTF8',
            true,
            format('the database has encoding %s, and spellings of cities are compared in UTF8',
                server.encoding),
            'Move it to a database made with ENCODING ''UTF8''.'
        ),
        (
            upper(server.letter) = server.letter,
            true,
            'in this database upper(''ë'') is not ''Ë'', so CITROËN and citroën would be two brands',
            'Its locale (LC_CTYPE) knows ASCII only. Move it to a database made with a UTF-8 locale, '
            || 'such as LOCALE ''C.UTF-8'' TEMPLATE template0.'
        ),
        (
            upper('i') <> 'I',
            true,
            'in this database upper(''i'') is not ''I'', so KIA and kia would be two brands',
            'Its locale is that of Turkish or Azeri. Move it to a database made with another UTF-8 '
            || 'locale, such as LOCALE ''C.UTF-8'' TEMPLATE template0.'
        )
    ) AS problem (is_there, is_fatal, message, hint)
    WHERE problem.is_there;
$server_problems$;

COMMENT ON FUNCTION kpi_engine.server_problems() IS
'What does not fit: version, encoding, locale; whether the numbers would be wrong; what to do. '
'No row: all fits. Internal to the doctor and migrate.';

REVOKE ALL ON FUNCTION kpi_engine.server_problems() FROM public;
