-- Says how the tables of a subscription are copied again.
--
-- Invariant: for a table that others share, it names all of their subscriptions: whoever empties it
-- takes the rows of each, and a copy brings those of one. TRUNCATE … CASCADE is never a part of it:
-- it also empties tables that are not copied again.

CREATE OR REPLACE FUNCTION kpi_engine.copy_again(p_subscription text, p_tables text[] DEFAULT NULL)
RETURNS text
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET quote_all_identifiers = off
AS $copy_again$
    SELECT CASE
        WHEN sharing.names IS NOT NULL
            THEN format('drop all subscriptions of its tables (%s), empty the tables, and create all of '
                'these subscriptions again', sharing.names)
        WHEN p_tables IS NOT NULL
            THEN 'as a superuser, SET session_replication_role = replica; '
                || array_to_string(ARRAY(
                    SELECT format('DELETE FROM %s;', emptied.name)
                    FROM unnest(p_tables) AS emptied (name)
                ), ' ')
                || ' (never TRUNCATE … CASCADE: what it empties beside is not copied again)'
        ELSE format('DROP SUBSCRIPTION %I, empty its tables, and create it again', p_subscription)
    END
    FROM (
        SELECT string_agg(DISTINCT listed.name, ', ') AS names
        FROM (
            -- One that is gone shared what it brought.
            SELECT quote_ident(other.subscription) AS name
            FROM kpi_engine.followed_tables AS mine
            INNER JOIN kpi_engine.followed_tables AS other
                ON other.table_name = mine.table_name AND other.subscription <> mine.subscription
            WHERE mine.subscription = p_subscription
            UNION ALL
            SELECT quote_ident(pg_subscription.subname)
            FROM pg_subscription AS mine
            INNER JOIN pg_subscription_rel AS its ON its.srsubid = mine.oid
            INNER JOIN pg_subscription_rel AS shared
                ON shared.srrelid = its.srrelid AND shared.srsubid <> mine.oid
            INNER JOIN pg_subscription ON pg_subscription.oid IN (shared.srsubid, mine.oid)
            WHERE mine.subname = p_subscription
        ) AS listed
    ) AS sharing;
$copy_again$;

COMMENT ON FUNCTION kpi_engine.copy_again(text, text[]) IS
'What copies the tables of a subscription again, in words: all of them, or only those of p_tables, '
'which it is about to copy. Internal to kpi_engine.replica_problem().';

REVOKE ALL ON FUNCTION kpi_engine.copy_again(text, text[]) FROM public;
