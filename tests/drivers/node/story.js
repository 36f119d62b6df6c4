// The story of docs/drivers.md, told with one JavaScript driver; the assertions are here.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { after, before, beforeEach, it } from 'node:test'
import { program, rows as query, snippet, withoutContext } from './drivers.js'

const clientIp = '203.0.113.7'
const promotion = { old_role: 'member', new_role: 'admin', reason_detail: 'Grüße, 東京 "quoted" \\' }
const whoAmI = 'SELECT pg_backend_pid() AS backend, activity.context() AS context'

const failure = async promise => {
  try {
    await promise
  } catch (error) {
    return error
  }
  return assert.fail('it must be refused')
}
const { connect, transaction, record, recordMany, readAll, refusal } = snippet

let pool, tenantId
before(() => { pool = connect(2) })
after(() => pool.end())
beforeEach(() => { tenantId = randomUUID() })

const as = (actorId, work, tenant = tenantId) =>
  transaction(pool, { tenantId: tenant, actorId, clientIp }, work)
const events = (tenant = tenantId, pageSize = 50) => readAll(pool, tenant, pageSize)
const refused = async work => refusal(await failure(as('alice', work)))

it('the documented program runs', () => {
  const output = execFileSync(process.execPath, [program], { encoding: 'utf8', timeout: 60_000 })
  assert.match(output, /^3 events; {"sqlstate":"23514","detail":{.*"problems":.*check_event.*\n$/)
})

it('an event carries the context of its transaction', async () => {
  const id = await as('alice', c => record(c, 'user.role_changed', promotion, 'user-7'))
  const [event, ...others] = await events()
  assert.equal(others.length, 0)
  assert.equal(event.event_id, id)
  assert.equal(event.tenant_id, tenantId)
  assert.equal(event.actor_id, 'alice')
  assert.equal(event.ip_prefix, '203.0.113.0/24')
  assert.equal(event.object_id, 'user-7')
  assert.deepEqual(event.metadata, promotion)
})

it('a null counts as not given', async () => {
  await as('alice', c => record(c, 'auth.logout', null, null))
  const [event] = await events()
  assert.equal(event.object_id, null)
  assert.deepEqual(event.metadata, {})
})

it('metadata that was encoded twice is stored as the object', async () => {
  await as('alice', c => record(c, 'user.role_changed', JSON.stringify(promotion)))
  const [event] = await events()
  assert.deepEqual(event.metadata, promotion)
})

it('an array of events is recorded at once', async () => {
  const once = { action: 'user.role_changed', metadata: promotion, idempotency_key: 'once' }
  const batch = [once, { action: 'auth.logout', actor_id: 'bob' }, once]
  const rows = await as('alice', c => recordMany(c, batch))
  assert.deepEqual(rows.map(row => row.ordinal), [1, 2, 3])
  assert.deepEqual(rows.map(row => row.inserted), [true, true, false])
  assert.equal(rows[0].event_id, rows[2].event_id)
  assert.deepEqual((await events()).map(event => event.actor_id), ['bob', 'alice'])
})

it('a bad event of an array is named and nothing is written', async () => {
  const batch = [{ action: 'auth.logout' }, { action: 'no.such.action' }]
  const { sqlstate, detail, hint } = await refused(c => recordMany(c, batch))
  assert.equal(sqlstate, '42704')
  assert.deepEqual(detail.map(problem => problem.ordinal), [2])
  assert.equal(detail[0].error.sqlstate, '42704')
  assert.match(hint, /skip/)
  assert.equal((await events()).length, 0)
})

it('a log is read page by page to its end', async () => {
  const recorded = await as('alice', async c => {
    const ids = []
    for (let number = 0; number < 8; number++) ids.push(await record(c, 'auth.logout', {}, `${number}`))
    return ids
  })
  for (const pageSize of [1, 3, 4, 50]) {
    const read = (await events(tenantId, pageSize)).map(event => event.event_id)
    assert.deepEqual(read, recorded.slice().reverse(), `pages of ${pageSize}`)
  }
})

it('another tenant reads nothing', async () => {
  await as('alice', c => record(c, 'auth.logout'))
  assert.equal((await events(randomUUID())).length, 0)
})

it('an unknown action is told by its sqlstate', async () => {
  const { sqlstate, detail, hint } = await refused(c => record(c, 'no.such.action'))
  assert.equal(sqlstate, '42704')
  assert.equal(detail, null)
  assert.match(hint, /register_action/)
})

it('a schema mismatch says where and repeats no payload', async () => {
  const metadata = { old_role: 'member', new_role: 20230710 }
  const { sqlstate, detail, hint } = await refused(c => record(c, 'user.role_changed', metadata))
  assert.equal(sqlstate, '23514')
  assert.equal(detail.problems[0].pointer, '/new_role')
  assert.doesNotMatch(JSON.stringify(detail), /20230710/)
  assert.match(hint, /check_event/)
})

it('a rolled back transaction leaves no event', async () => {
  const error = await failure(as('alice', async c => {
    await record(c, 'auth.logout')
    throw new Error('the business failed')
  }))
  assert.equal(error.message, 'the business failed')
  assert.equal((await events()).length, 0)
})

it('the next user of the connection has no context', async () => {
  const single = connect(1)
  try {
    const context = { tenantId, actorId: 'alice', clientIp }
    const [mine] = await transaction(single, context, c => query(c, whoAmI))
    await withoutContext(single, async c => {
      const [next] = await query(c, whoAmI)
      assert.equal(mine.context.actor_id, 'alice')
      assert.equal(next.backend, mine.backend)
      assert.deepEqual(next.context, {})
      assert.equal(refusal(await failure(record(c, 'auth.logout'))).sqlstate, '22004')
    })
  } finally {
    await single.end()
  }
})

it('transactions at the same time keep their contexts', async () => {
  const other = randomUUID()
  await as('alice', async mine => {
    await record(mine, 'auth.logout')
    await as('bob', theirs => record(theirs, 'auth.logout'), other)
    await record(mine, 'auth.logout')
  })
  assert.deepEqual((await events()).map(event => event.actor_id), ['alice', 'alice'])
  assert.deepEqual((await events(other)).map(event => event.actor_id), ['bob'])
})
