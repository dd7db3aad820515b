-- What earlier versions logged of kpi_engine.unnoted_changes.
--
-- nextval() logs a value 32 ahead of the one that it gives. So at a standby the sequence differed
-- for ever from what was seen, and each live figure there was computed in full. setval() logs the
-- exact value. It is another one than any before: a writer of now may move the sequence at the same
-- time. So everything is computed once more, if a change was ever unnoted here.

SELECT
    setval(
        'kpi_engine.unnoted_changes',
        uuid_hash_extended(gen_random_uuid(), 0) & 4611686018427387903
    )
FROM kpi_engine.unnoted_changes
WHERE unnoted_changes.is_called AND unnoted_changes.last_value > 0;
