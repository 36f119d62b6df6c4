-- How the triggers of capture $1 on table $2 stand: the level that is complete, the one that is
-- wanted, how many are missing, how many are there but not as they should be, and how many are on
-- tables that are no part of it any more, or bear another name.
SELECT activity._level_in_effect(c.capture_id, $2, c.replicated),
       activity._wanted_level(c.level, $2),
       (SELECT count(*) FROM activity._capture_soundness(c.capture_id) s WHERE NOT s.is_sound AND NOT s.is_there),
       (SELECT count(*) FROM activity._capture_soundness(c.capture_id) s WHERE NOT s.is_sound AND s.is_there),
       (SELECT count(*) FROM activity._capture_triggers() t
        WHERE t.capture_id = c.capture_id::text AND NOT t.is_clone
          -- A row trigger on another table is somebody's own.
          AND CASE WHEN t.relation IN (SELECT w.relation FROM activity._wanted_triggers($2, 'row', c.replicated) w)
                   THEN t.kind IS NULL AND NOT EXISTS (
                       SELECT FROM activity._wanted_triggers($2, 'row', c.replicated) w
                       WHERE w.relation = t.relation AND w.name = t.name)
                   ELSE t.kind <> 'row' END)
FROM activity.captures c
WHERE c.capture_id = $1
