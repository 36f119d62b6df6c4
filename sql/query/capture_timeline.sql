-- What happened to the captured table with object type $3 as a whole, oldest first: TRUNCATE and
-- statements that were summed up, in the log of tenant $1 (NULL: of any) or of the system tenant $2, changes of
-- its columns, and what opened gaps.
SELECT event_id, recorded_at, action, metadata
FROM activity.events
WHERE ($1::uuid IS NULL OR tenant_id = ANY (ARRAY[$1, $2])) AND object_type = $3
  AND object_id IS NULL AND changes IS NULL AND source = 'capture'
UNION ALL
SELECT event_id, recorded_at, action, metadata
FROM activity.events
WHERE tenant_id = $2
  AND action = ANY (ARRAY['activity.capture.schema_changed', 'activity.capture.paused',
                          'activity.capture.detached', 'activity.capture.tampered',
                          'activity.capture.partitions_changed'])
  -- Partitions without rows came and went unnoticed by any row.
  AND (action <> 'activity.capture.partitions_changed' OR metadata @> '{"may_hold_rows": true}')
  AND source = 'system'
  AND metadata ->> 'object_type' = $3
ORDER BY event_id
