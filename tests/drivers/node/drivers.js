// The snippets of the JavaScript drivers behind one interface, so that one story tries them both.
// The environment says which: SNIPPETS is the folder where the runner has put the code of
// docs/drivers.md, DRIVER the module, DATABASE_URL the server.
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const name = process.env.DRIVER
export const program = join(process.env.SNIPPETS, 'programs', `${name}.js`)
export const snippet = await import(
  pathToFileURL(join(process.env.SNIPPETS, 'functions', `${name}.js`)).href)

// withoutContext: runs work on a connection of the pool as its next user gets it.
const adapters = {
  with_node_postgres: {
    withoutContext: async (pool, work) => {
      const client = await pool.connect()
      try {
        return await work(client)
      } finally {
        client.release()
      }
    },
    rows: async (connection, query) => (await connection.query(query)).rows
  },
  with_postgres_js: {
    withoutContext: async (pool, work) => {
      const connection = await pool.reserve()
      try {
        return await work(connection)
      } finally {
        connection.release()
      }
    },
    rows: (connection, query) => connection.unsafe(query)
  }
}
export const { withoutContext, rows } = adapters[name]
