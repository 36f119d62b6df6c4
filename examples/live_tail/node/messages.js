// The endless text of a response of server-sent events. Each message's id is where to go on behind it.
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { Doorbell } from './doorbell.js'

// How long a reader waits for the bell before it looks by itself: a notification can be lost.
const patience = 5000
const pageSize = 500
const start = 'SELECT activity.stream_start() AS cursor'
const startAgo = 'SELECT activity.stream_start(at => now() - make_interval(mins => $1)) AS cursor'
// The server writes the JSON: microseconds stay, and nothing depends on how a driver reads a type.
const read = `
  SELECT event_id IS NULL AS is_bookmark, next_cursor AS cursor, row_to_json(event)::text AS event
  FROM activity.read_stream($1, cursor => $2, page_size => $3) AS event`
// What passes by itself: lost connections, rollbacks to be retried, a server that is full, starts
// or stops. Everything else that the server says is a refusal, and asking again does not change it.
const transient = /^(08|40|53|57|58)/

const connectionString = process.env.DATABASE_URL
const pool = new pg.Pool({ connectionString, max: 4, connectionTimeoutMillis: patience })
// Idle connections that break are replaced when the next one is needed.
pool.on('error', error => console.error('a connection broke:', error.message))
const doorbell = new Doorbell(connectionString)
doorbell.run()

// Where a client without Last-Event-ID begins: now, or some minutes ago.
async function begin(minutes) {
  const { rows } = await (minutes ? pool.query(startAgo, [minutes]) : pool.query(start))
  return rows[0].cursor
}

const isRefusal = error => error instanceof pg.DatabaseError && !transient.test(error.code)

// Tells the client that trying again is of no use: its cursor is damaged, or behind retention.
function refusal({ code: sqlstate, message, detail, hint }) {
  return `event: refused\ndata: ${JSON.stringify({ sqlstate, message, detail, hint })}\n\n`
}

const format = ({ is_bookmark: isBookmark, cursor, event }) =>
  // An id without data is kept by the client and shown to nobody. Whoever is cut off before the
  // first event needs it.
  isBookmark ? `id: ${cursor}\n\n` : `id: ${cursor}\ndata: ${event}\n\n`

// Until the signal says that the client has gone, or the database refuses.
export async function* messages(tenant, { cursor, minutes }, signal) {
  yield 'retry: 1000\n\n'
  const bell = doorbell.join(tenant)
  signal.addEventListener('abort', () => bell.ring())
  try {
    while (!signal.aborted) {
      try {
        cursor ||= await begin(minutes)
        const { rows } = await pool.query(read, [tenant, cursor, pageSize])
        for (const row of rows) {
          yield format(row)
          cursor = row.cursor
        }
        if (rows.at(-1).is_bookmark) await bell.wait(patience)
      } catch (error) {
        if (isRefusal(error)) return yield refusal(error)
        yield ': the database is away\n\n'
        await sleep(1000)
      }
    }
  } finally {
    doorbell.leave(tenant, bell)
  }
}
