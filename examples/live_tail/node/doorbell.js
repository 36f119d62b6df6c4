// The one LISTEN connection of a process, which wakes the readers of all its tenants.
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'

// One reader's bell. A ring is a hint: whoever hears it reads on.
class Bell {
  rung = false
  wake = () => {}

  ring() {
    this.rung = true
    this.wake()
  }

  // Until it rings, or rang since the last wait, or the time is over.
  async wait(milliseconds) {
    if (!this.rung) {
      await new Promise(resolve => {
        const timer = setTimeout(resolve, milliseconds)
        this.wake = () => { clearTimeout(timer); resolve() }
      })
    }
    this.rung = false
  }
}

export class Doorbell {
  #url
  #client = null
  #bells = new Map() // tenant: the bells of its readers
  #channels = new Map() // tenant: the channel that is listened on
  #tenants = new Map() // and the other way round

  constructor(url) { this.#url = url }

  // It also rings once the tenant is listened to: so the reader always reads after the LISTEN,
  // whenever that succeeds.
  join(tenant) {
    const bell = new Bell()
    const first = !this.#bells.has(tenant)
    if (first) this.#bells.set(tenant, new Set())
    this.#bells.get(tenant).add(bell)
    if (first) this.#listen(tenant)
    return bell
  }

  leave(tenant, bell) {
    const bells = this.#bells.get(tenant)
    bells.delete(bell)
    if (bells.size > 0) return
    this.#bells.delete(tenant)
    this.#unlisten(tenant)
  }

  // Listens for ever: a connection that breaks is made again.
  async run() {
    for (;;) {
      const client = new pg.Client({ connectionString: this.#url })
      const broken = new Promise(resolve => {
        client.on('error', resolve)
        client.on('end', () => resolve(new Error('the connection has ended')))
      })
      client.on('notification', ({ channel }) => this.#answer(channel))
      try {
        await client.connect()
        this.#client = client
        for (const tenant of this.#bells.keys()) this.#listen(tenant)
        throw await broken
      } catch (error) {
        console.error('no notifications for now:', error.message)
      }
      this.#client = null
      this.#channels.clear()
      this.#tenants.clear()
      client.end().catch(() => {})
      await sleep(1000)
    }
  }

  #answer(channel) {
    if (channel === 'activity_everybody') for (const tenant of this.#bells.keys()) this.#ring(tenant)
    else this.#ring(this.#tenants.get(channel))
  }

  #ring(tenant) { for (const bell of this.#bells.get(tenant) ?? []) bell.ring() }

  // The client sends its queries one after the other, so that LISTEN and UNLISTEN keep their order.
  async #listen(tenant) {
    const client = this.#client
    try {
      const listening = await client?.query('SELECT activity.listen($1) AS channel', [tenant])
      if (!listening || client !== this.#client) return
      const { channel } = listening.rows[0]
      this.#channels.set(tenant, channel)
      this.#tenants.set(channel, tenant)
      if (this.#bells.has(tenant)) this.#ring(tenant)
      else await this.#unlisten(tenant)
    } catch (error) {
      // The tenant's readers are refused as well and tell their clients; or all is listened to anew.
      console.error('not listening:', error.message)
    }
  }

  async #unlisten(tenant) {
    const channel = this.#channels.get(tenant)
    if (!channel) return
    this.#channels.delete(tenant)
    this.#tenants.delete(channel)
    await this.#client?.query(`UNLISTEN ${pg.escapeIdentifier(channel)}`).catch(() => {})
  }
}
